"""A proxy before the lab's API server, in which every kind of trouble can be made, also for what agents print.

The bot's kubeconfig leads here. Nothing else knows: people, controllers and kubelets talk to the API server itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.http.fault_injection import ApiFaults

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
AGENT = "cnibot-agent"
_DROPPED = {"host", "connection", "upgrade", "content-length", "transfer-encoding", "accept-encoding"}

Impostor = Callable[[web.WebSocketResponse], Awaitable[None]]
"""Speaks instead of a node agent: frames of a channel number and data."""


@dataclass
class ClusterProxy:
    """What is between the bot and the API server."""

    upstream: URL
    session: aiohttp.ClientSession
    api_faults: ApiFaults = field(default_factory=ApiFaults)
    impostor: Impostor | None = None
    """Speaks in place of every node agent."""
    page_size: int = 0
    """At most so many objects in a page; 0: as many as are asked for."""
    url: str = ""
    troubled: int = 0
    """How many requests were not answered as they should."""
    agents_troubled: int = 0
    """How many node agents did not speak for themselves."""

    def heal(self) -> None:
        """The API server answers as it should."""
        self.api_faults.clear()
        self.page_size = 0

    def heal_agents(self) -> None:
        """Node agents speak for themselves."""
        self.impostor = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The API server's answer, or trouble."""
        trouble = await self.api_faults.meet(request)
        if trouble is not None:
            return trouble
        target = self._target(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request, target)
        return await self._pass_on(request, target)

    def _target(self, request: web.BaseRequest) -> URL:
        path = request.path_qs
        if self.page_size and "limit=" in path:
            query = request.rel_url.query.copy()
            query["limit"] = str(self.page_size)
            path = str(request.rel_url.with_query(query))
        return self.upstream.join(URL(path, encoded=True))

    async def _pass_on(self, request: web.BaseRequest, target: URL) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        try:
            async with self.session.request(request.method, target, headers=headers, data=await request.read()) as got:
                answer = web.StreamResponse(status=got.status, headers={"Content-Type": got.headers["Content-Type"]})
                await answer.prepare(request)
                async for chunk in got.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer
        except (aiohttp.ClientError, ConnectionError):
            return _hang_up(request)

    async def _stream(self, request: web.BaseRequest, target: URL) -> web.StreamResponse:
        near = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
        await near.prepare(request)
        is_agent = AGENT in request.rel_url.query.getall("command", [])
        if is_agent and self.impostor:
            self.agents_troubled += 1
            await self.impostor(near)
            return near
        headers = {"Authorization": request.headers.get("Authorization", "")}
        protocols = (near.ws_protocol,) if near.ws_protocol else ()
        try:
            async with self.session.ws_connect(target, protocols=protocols, headers=headers, max_msg_size=0) as far:
                await _join(near, far)
        except (aiohttp.ClientError, ConnectionError):
            return _hang_up(request)
        return near


def _hang_up(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _join(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    """Hand on frames both ways until one side closes."""

    async def out() -> None:
        async for message in near:
            await far.send_bytes(message.data)

    async def back() -> None:
        async for message in far:
            await near.send_bytes(message.data)

    async with TaskGroup() as group:
        tasks = [group.create_task(out()), group.create_task(back())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    await near.close()


@asynccontextmanager
async def before(kubeconfig: Path, directory: Path) -> AsyncGenerator[tuple[ClusterProxy, Path]]:
    """A proxy before the cluster of this kubeconfig, and the kubeconfig that leads to the proxy."""
    known = json.loads(await asyncio.to_thread(kubeconfig.read_text, encoding="utf-8"))
    cluster = known["clusters"][0]["cluster"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    connector = aiohttp.TCPConnector(ssl=trust, limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        proxy = ClusterProxy(URL(cluster["server"]), session)
        runner = web.ServerRunner(web.Server(proxy.answer), shutdown_timeout=0.1)  # 0 would be without end
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            proxy.url = f"http://{host}:{port}"
            known["clusters"][0]["cluster"] = {"server": proxy.url}
            led = directory / "kubeconfig"
            led.write_text(json.dumps(known), encoding="utf-8")
            yield proxy, led
        finally:
            await runner.cleanup()
