"""The HTTP side, over a real connection: Slack's requests, health, readiness, metrics."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from fastapi import FastAPI

from bot.domain.errors import ConfigurationError
from bot.slack.requests import Requests
from bot.web.api import OnSlack, build_api, build_health_api
from bot.web.health import Health
from bot.web.server import listening, run_server
from tests.slack.bodies import SECRET, command, encoded, event, press, signed
from tests.slack.intake import Kept, app_into


@asynccontextmanager
async def served(api: FastAPI) -> AsyncGenerator[aiohttp.ClientSession]:
    """A client of a running server."""
    stop = asyncio.Event()
    async with listening("127.0.0.1", 0) as bound, asyncio.TaskGroup() as group:
        group.create_task(run_server(api, bound, stop, drain_s=1))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{bound.getsockname()[1]}") as session:
            yield session
        stop.set()


def web(on_slack: OnSlack | None = None) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    return served(build_api(on_slack=on_slack))


@asynccontextmanager
async def slack_over_http(kept: Kept) -> AsyncGenerator[aiohttp.ClientSession]:
    async with web(Requests(app_into(kept), SECRET)) as session:
        yield session


async def post(session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    async with session.post("/slack/events", data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("body", "dedup_id"), [(event(), "event:Ev1"), (command(), "command:t1"), (press(), "action:t2")]
)
async def test_signed_requests_are_kept(body: dict[str, object], dedup_id: str) -> None:
    kept = Kept()
    async with slack_over_http(kept) as session:
        answer = await post(session, encoded(body), signed(encoded(body)))

    assert answer == (200, "")
    assert list(kept.entries) == [dedup_id]


async def test_the_same_signed_request_again_is_kept_once() -> None:
    """Whoever holds it may send it again within five minutes."""
    kept = Kept()
    body = encoded(press())
    async with slack_over_http(kept) as session:
        answers = [await post(session, body, signed(body)) for _ in range(3)]

    assert answers == [(200, "")] * 3
    assert list(kept.entries) == ["action:t2"]


async def test_slacks_check_of_the_address_is_answered() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a", "token": "x"}).encode()
    async with slack_over_http(Kept()) as session:
        status, text = await post(session, body, signed(body))

    assert (status, json.loads(text)) == (200, {"challenge": "3eZbrw1a"})


BODY = encoded(event())
SHAPELESS = b'{"type":"event_callback","event":[]}'
STRANGE: dict[str, tuple[bytes, Callable[[], Mapping[str, str]], int]] = {
    "not signed": (BODY, lambda: {"content-type": "application/json"}, 401),
    "signed by another": (BODY, lambda: signed(BODY, secret="other"), 401),
    "signature of another body": (BODY + b" ", lambda: signed(BODY), 401),
    "signed an hour ago": (BODY, lambda: signed(BODY, at=1_000_000_000), 401),
    "timestamp is no number": (BODY, lambda: {**signed(BODY), "x-slack-request-timestamp": "today"}, 401),
    "timestamp is a foreign digit": (BODY, lambda: {**signed(BODY), "x-slack-request-timestamp": "%C2%B2"}, 401),
    "timestamp without end": (BODY, lambda: {**signed(BODY), "x-slack-request-timestamp": "9" * 4000}, 401),
    "not text": (b"\xff\xfe", lambda: signed(b"\xff\xfe"), 401),
    "malformed JSON": (b"{broken", lambda: signed(b"{broken"), 400),
    "JSON of another shape": (SHAPELESS, lambda: signed(SHAPELESS), 400),
    "malformed JSON, not signed": (b"{broken", lambda: {"content-type": "application/json"}, 401),
    "too large": (b"x" * (2**20 + 1), lambda: signed(b"x"), 413),
}
"""Body, headers (signed when the test runs, for signatures grow old) and the answer's status."""


@pytest.mark.parametrize("strange", STRANGE)
async def test_strange_requests_are_refused(strange: str) -> None:
    body, headers, status = STRANGE[strange]
    kept = Kept()
    async with slack_over_http(kept) as session:
        answer = await post(session, body, headers())

    assert answer[0] == status, answer
    assert kept.entries == {}


async def test_a_body_that_hides_its_size_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while sent < 64 * 2**20:
            sent += 2**16
            yield b"x" * 2**16

    async with slack_over_http(Kept()) as session:
        try:
            async with session.post("/slack/events", data=endless(), headers=signed(b"x")) as answer:
                status = answer.status
        except aiohttp.ClientError:  # the answer came while we were still sending, and the connection was closed
            status = 413

    assert status == 413
    assert sent < 32 * 2**20


async def test_slack_is_asked_to_come_again_when_nothing_can_be_kept() -> None:
    kept = Kept(is_down=True)
    async with slack_over_http(kept) as session:
        answer = await post(session, BODY, signed(BODY))

    assert answer == (503, "")


async def test_without_a_secret_nothing_is_believed() -> None:
    kept = Kept()
    async with web(Requests(app_into(kept), "")) as session:
        answer = await post(session, BODY, signed(BODY, secret=""))

    assert answer[0] == 401


async def test_in_socket_mode_there_is_no_door_for_slack() -> None:
    async with web() as session:
        answer = await post(session, BODY, signed(BODY))

    assert answer[0] == 404


async def test_readiness_names_what_is_missing() -> None:
    missing = {"slack": "no connection", "store": ""}
    health = Health(parts={name: lambda name=name: missing[name] for name in missing})
    async with served(build_health_api(health)) as session:
        async with session.get("/readyz") as answer:
            before = answer.status, await answer.json()
        missing["slack"] = ""
        async with session.get("/readyz") as answer:
            after = answer.status, await answer.json()
        async with session.get("/healthz") as answer:
            alive = answer.status

    assert before == (503, {"ready": False, "not_ready": {"slack": "no connection"}})
    assert after == (200, {"ready": True, "not_ready": {}})
    assert alive == 200


async def test_metrics_tell_what_came_from_slack() -> None:
    async with slack_over_http(Kept()) as session, served(build_health_api(Health())) as own:
        await post(session, BODY, signed(BODY))
        async with own.get("/metrics") as answer:
            text = await answer.text()

    assert 'cnibot_slack_received_total{kind="event",outcome="new"}' in text
    assert 'cnibot_slack_ack_seconds_bucket{kind="event",le="0.3"}' in text


async def test_a_port_in_use_is_said() -> None:
    async with listening("127.0.0.1", 0) as bound:
        with pytest.raises(ConfigurationError, match=r"CNIBOT_HTTP_PORT.*in use"):
            async with listening("127.0.0.1", bound.getsockname()[1]):
                pass
