"""`POST /alertmanager` over a real connection and into a real store."""

import asyncio
import hashlib
import hmac
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.incidents.alerting.intake import AlertIntake
from bot.incidents.clusters import Clusters
from bot.store import Store
from bot.web.alertmanager import MAX_BODY_BYTES, Webhook
from bot.web.api import build_api
from bot.web.server import listening, run_server
from tests.recorded_cluster import RecordedCluster
from tests.redis import RedisServer

TOKEN, SECRET = "t0ken", "s3cret"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def payload(*names: str, **changes: object) -> bytes:
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": name, "namespace": "shop"},
            "startsAt": "2026-11-29T23:31:02.113Z",
            "endsAt": "0001-01-01T00:00:00Z",
            **changes,
        }
        for name in names
    ]
    return json.dumps({"version": "4", "alerts": alerts}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@asynccontextmanager
async def webhook(
    store: Store, *, token: str = TOKEN, secret: str = "", clusters: tuple[str, ...] = ("lab",)
) -> AsyncGenerator[aiohttp.ClientSession]:
    async with (
        served(store, token=token, secret=secret, clusters=clusters) as address,
        aiohttp.ClientSession(address) as session,
    ):
        yield session


@asynccontextmanager
async def served(
    store: Store, *, token: str = TOKEN, secret: str = "", clusters: tuple[str, ...] = ("lab",)
) -> AsyncGenerator[str]:
    """The address of a webhook."""
    places = Clusters([RecordedCluster(name=name, recordings={}) for name in clusters])
    hook = Webhook(take=AlertIntake(store.inbox, places), token=token, hmac_secret=secret)
    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, asyncio.TaskGroup() as group:
        group.create_task(run_server(build_api(alertmanager=hook), bound, stop, drain_s=1))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        stop.set()


async def post(
    session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str] = BEARER, path: str = "/alertmanager"
) -> tuple[int, str]:
    async with session.post(path, data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.text()


async def waiting(store: Store) -> int:
    return (await store.inbox.counts()).waiting


async def test_alerts_are_kept_before_they_are_acknowledged(store: Store) -> None:
    async with webhook(store) as session:
        assert await post(session, payload("A", "B")) == (200, "2 new, 0 known.\n")
        assert await waiting(store) == 2
        assert await post(session, payload("B", "C")) == (200, "1 new, 1 known.\n")
        assert await post(session, payload()) == (200, "0 new, 0 known.\n")
        assert await waiting(store) == 3


async def test_hundreds_in_one_notification(store: Store) -> None:
    names = [f"A{number}" for number in range(1_000)]
    async with webhook(store) as session:
        answers = [await post(session, payload(*names)) for _ in range(2)]

    assert answers == [(200, "1000 new, 0 known.\n"), (200, "0 new, 1000 known.\n")]
    assert await waiting(store) == 1_000


STRANGERS = {
    "nothing": {},
    "another token": {"authorization": "Bearer other"},
    "no token": {"authorization": "Bearer "},
    "another scheme": {"authorization": f"Basic {TOKEN}"},
    "a signature where none counts": {"x-cnibot-signature": signature(payload("A"))},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS.keys())
async def test_strangers_change_nothing(store: Store, headers: Mapping[str, str]) -> None:
    async with webhook(store) as session:
        status, _ = await post(session, payload("A"), headers)

    assert status == 401
    assert await waiting(store) == 0


@pytest.mark.parametrize("header", ["X-Cnibot-Signature", "X-Grafana-Alerting-Signature"])
@pytest.mark.parametrize("prefix", ["", "sha256="])
async def test_a_signature_of_the_body_is_enough(store: Store, header: str, prefix: str) -> None:
    body = payload("A")
    async with webhook(store, token="", secret=SECRET) as session:
        assert (await post(session, body, {header: prefix + signature(body)}))[0] == 200
        assert (await post(session, payload("B"), {header: prefix + signature(body)}))[0] == 401
        assert (await post(session, body, {header: prefix + signature(body, "other")}))[0] == 401
        assert (await post(session, body, {header: ""}))[0] == 401
        assert (await post(session, body, {"authorization": "Bearer "}))[0] == 401

    assert await waiting(store) == 1


def test_a_webhook_without_a_secret_cannot_be_made() -> None:
    async def take(body: bytes, cluster: str | None) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="open to everybody"):
        Webhook(take=take)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"alerts": 7}', b"\xff\xfe", b"[" * 200_000])
async def test_what_is_no_notification_is_refused(store: Store, body: bytes) -> None:
    async with webhook(store) as session:
        status, text = await post(session, body)

    assert status == 400
    assert text.startswith("This is no webhook payload of Alertmanager")
    assert await waiting(store) == 0


async def test_a_body_has_a_bound(store: Store) -> None:
    async with webhook(store) as session:
        status, text = await post(session, b" " * (MAX_BODY_BYTES + 1))

    assert (status, "max_alerts" in text) == (413, True)


async def test_the_sender_may_say_which_cluster(store: Store) -> None:
    async with webhook(store, clusters=("eu", "us")) as session:
        assert (await post(session, payload("A"), path="/alertmanager?cluster=eu"))[0] == 200
        assert (await post(session, payload("A"), path="/alertmanager?cluster=us"))[1] == "1 new, 0 known.\n"
        status, text = await post(session, payload("A"), path="/alertmanager?cluster=asia")

    assert (status, text) == (400, "There is no cluster 'asia'. There are: eu, us.\n")


async def test_a_store_that_is_away_is_answered_with_503_and_loses_nothing(store: Store, tmp_path: Any) -> None:
    from bot.store import open_store  # noqa: PLC0415

    with RedisServer() as server:
        async with open_store(server.url, tmp_path) as fragile, webhook(fragile) as session:
            assert (await post(session, payload("A")))[0] == 200
            server.stop()
            assert (await post(session, payload("A", "B")))[0] == 503
            server.start()
            await fragile.connection.until_back()
            assert await post(session, payload("A", "B")) == (200, "1 new, 1 known.\n")


async def test_without_a_secret_there_is_no_such_address() -> None:
    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, asyncio.TaskGroup() as group:
        group.create_task(run_server(build_api(), bound, stop, drain_s=1))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{bound.getsockname()[1]}") as session:
            assert (await post(session, payload("A")))[0] == 404
        stop.set()


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alerts", "labels", "status", "startsAt", "fingerprint", "alertname"]), inner
        )
    ),
    max_leaves=12,
)


async def test_nothing_that_is_sent_is_a_fault_of_ours(store: Store) -> None:
    """No 5xx; and what is refused leaves nothing behind."""
    async with webhook(store) as session:
        loop = asyncio.get_running_loop()

        @given(ANY, st.sampled_from([BEARER, {}]), st.binary(max_size=3))
        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def send(value: Any, headers: Mapping[str, str], junk: bytes) -> None:
            async def once() -> None:
                before = await waiting(store)
                status, _ = await post(session, json.dumps(value).encode() + junk, headers)
                assert status in {200, 400, 401}
                if status != 200:
                    assert await waiting(store) == before

            asyncio.run_coroutine_threadsafe(once(), loop).result(30)

        await asyncio.to_thread(send)
