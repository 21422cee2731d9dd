"""A running API server for tests: on a free port of the loopback, with a local kubelet and, if wanted, controllers."""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bot.lab.cluster.apiserver.bootstrap import bootstrap
from bot.lab.cluster.apiserver.http.fault_injection import ApiFaults
from bot.lab.cluster.apiserver.http.server import serve
from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.tokens import Tokens
from bot.lab.cluster.controllers import run_controllers
from tests.lab.cluster.apiserver.local_kubelet import LocalKubelet

DEADLINE_S = 30.0
"""No test waits longer than this for anything."""


@dataclass(kw_only=True)
class Running:
    """What tests need of a running server."""

    storage: Storage
    tokens: Tokens
    kubelet: LocalKubelet
    api_faults: ApiFaults
    pki: Pki
    url: str
    session: aiohttp.ClientSession
    """As cluster admin, with the user agent of the recordings."""

    def kubeconfig(self, directory: Path, token: str | None = None) -> Path:
        """A kubeconfig for a token, or for a cluster admin."""
        name = "admin" if token is None else "limited"
        return self.pki.kubeconfig(directory / name, server=self.url, token=token or self.tokens.add())

    async def settled(self) -> None:
        """Until the controllers have nothing left to do: their loops never wait when they have."""
        async with asyncio.timeout(DEADLINE_S):
            quiet = 0
            while quiet < 20:
                revision = self.storage.revision
                await asyncio.sleep(0)
                quiet = quiet + 1 if self.storage.revision == revision else 0


@asynccontextmanager
async def running(
    directory: Path, *, controllers: bool = False, rng: random.Random | None = None
) -> AsyncGenerator[Running]:
    """A server with an empty cluster (bootstrapped objects only)."""
    storage = Storage(rng=rng)
    bootstrap(storage)
    pki = Pki.create(directory)
    tokens, kubelet, api_faults = Tokens(storage, pki.signing_key()), LocalKubelet(), ApiFaults()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    context = ssl.create_default_context(cadata=pki.ca_pem)
    headers = {"Authorization": f"Bearer {tokens.add()}", "User-Agent": "Python-urllib/3.11"}
    with closing(listener):
        async with kubelet, asyncio.TaskGroup() as group:
            server = serve(storage, kubelet, listener, pki=pki, tokens=tokens, api_faults=api_faults)
            tasks = [group.create_task(server)]
            if controllers:
                tasks.append(group.create_task(run_controllers(storage)))
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
                yield Running(
                    storage=storage,
                    tokens=tokens,
                    kubelet=kubelet,
                    api_faults=api_faults,
                    pki=pki,
                    url=url,
                    session=session,
                )
            for task in tasks:
                task.cancel()
