"""`POST /alertmanager` over TLS: a client certificate instead of a secret."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from bot.domain.errors import ConfigurationError
from bot.incidents.alerting.intake import AlertIntake
from bot.incidents.clusters import Clusters
from bot.settings import Settings
from bot.store import Store
from bot.web.alertmanager import Webhook
from bot.web.api import build_api
from bot.web.server import listening, run_server
from bot.web.tls import tls_context
from tests.certificates import Authority, Pair
from tests.recorded_cluster import RecordedCluster
from tests.web.test_alertmanager import BEARER, TOKEN, payload, waiting


@dataclass(frozen=True)
class TlsServer:
    """A webhook that knows clients of `ours` and speaks with a certificate of `ours`."""

    address: str
    directory: Path
    ours: Authority

    async def post(self, shown: Pair | None, headers: dict[str, str] | None = None) -> int:
        """The status that a client with this certificate gets."""
        context = ssl.create_default_context(cafile=self.ours.certificate)
        if shown:
            context.load_cert_chain(shown.certificate, shown.key)
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{self.address}/alertmanager", data=payload("A"), headers=headers) as answer,
        ):
            return answer.status


@asynccontextmanager
async def listening_webhook(
    store: Store, directory: Path, *, token: str = "", knows_certificates: bool = True
) -> AsyncGenerator[TlsServer]:
    ours = Authority(directory, "ours")
    server = ours.server("server")
    context = tls_context(server.certificate, server.key, client_ca=ours.certificate if knows_certificates else None)
    places = Clusters([RecordedCluster(name="lab", recordings={})])
    hook = Webhook(take=AlertIntake(store.inbox, places), token=token, knows_certificates=knows_certificates)
    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, asyncio.TaskGroup() as group:
        group.create_task(run_server(build_api(alertmanager=hook), bound, stop, drain_s=1, tls=context))
        yield TlsServer(f"https://127.0.0.1:{bound.getsockname()[1]}", directory, ours)
        stop.set()


async def test_a_certificate_of_our_authority_is_enough(store: Store, tmp_path: Path) -> None:
    async with listening_webhook(store, tmp_path) as here:
        assert await here.post(here.ours.client("alertmanager")) == 200

    assert await waiting(store) == 1


async def test_who_shows_none_needs_a_secret(store: Store, tmp_path: Path) -> None:
    async with listening_webhook(store, tmp_path, token=TOKEN) as here:
        assert await here.post(None) == 401
        assert await here.post(None, BEARER) == 200


async def test_what_another_signed_what_has_ended_and_what_is_for_servers_is_refused(
    store: Store, tmp_path: Path
) -> None:
    async with listening_webhook(store, tmp_path) as here:
        for shown in (
            Authority(tmp_path, "another").client("stranger"),
            here.ours.client("late", ends=timedelta(hours=-1)),
            here.ours.server("other-server"),
        ):
            with pytest.raises(aiohttp.ClientError):  # the handshake ends: not a word is read
                await here.post(shown)

    assert await waiting(store) == 0


async def test_a_certificate_says_nothing_where_no_authority_is_named(store: Store, tmp_path: Path) -> None:
    async with listening_webhook(store, tmp_path, token=TOKEN, knows_certificates=False) as here:
        assert await here.post(here.ours.client("alertmanager")) == 401


def test_files_that_hold_no_certificate_are_named(tmp_path: Path) -> None:
    server = Authority(tmp_path, "ours").server("server")
    (tmp_path / "empty").touch()

    with pytest.raises(ConfigurationError, match="CNIBOT_HTTP_TLS_CERT"):
        tls_context(tmp_path / "absent", server.key)
    with pytest.raises(ConfigurationError, match="CNIBOT_ALERTMANAGER_CLIENT_CA"):
        tls_context(server.certificate, server.key, client_ca=tmp_path / "empty")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"http_tls_cert": "a"}, "belong together"),
        ({"alertmanager_client_ca": "a", "alert_channel": "C0ALERTS"}, "without http_tls_cert"),
    ],
)
def test_half_a_set_up_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Settings.model_validate(given)
