"""The one client: deadlines, proxies by address, and what is repeated."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.client import is_repeatable, open_client


async def ask(client: AsyncWebClient, method: str) -> None:
    """One call."""
    await client.api_call(method, json={})  # pyright: ignore[reportUnknownMemberType] bare dicts


class Breaking:
    """A server that takes requests and breaks the first connections before answering."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.left > 0:
            self.left -= 1
            assert request.transport
            request.transport.abort()
        return web.json_response({"ok": True, "ts": "1.0", "user": {}})

    def server(self) -> TestServer:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self.answer)
        return TestServer(app)


@pytest.mark.parametrize(
    ("url", "repeatable"),
    [
        ("https://slack.com/api/users.info", True),
        ("https://slack.com/api/usergroups.users.list", True),
        ("https://slack.com/api/conversations.replies", True),
        ("https://slack.com/api/auth.test", True),
        ("https://slack.com/api/apps.connections.open", True),
        ("https://slack.com/api/chat.getPermalink?channel=C1", True),
        ("https://slack.com/api/chat.postMessage", False),
        ("https://slack.com/api/chat.update", False),
        ("https://slack.com/api/views.open", False),
        ("https://slack.com/api/conversations.open", False),
        ("https://slack.com/api/files.completeUploadExternal", False),
        ("https://files.slack.com/upload/v1/abc", False),
    ],
)
def test_what_may_be_asked_again(url: str, *, repeatable: bool) -> None:
    assert is_repeatable(url) is repeatable


async def test_a_read_survives_a_broken_connection_and_a_post_is_not_repeated() -> None:
    breaking = Breaking(times=1)
    async with breaking.server() as server, open_client("xoxb-1", base_url=str(server.make_url("/api/"))) as client:
        await ask(client, "users.info")
        assert breaking.asked == ["/api/users.info"] * 2

        breaking.left, breaking.asked = 1, []
        with pytest.raises(Exception, match=r"[Dd]isconnected|reset"):
            await ask(client, "chat.postMessage")
        assert breaking.asked == ["/api/chat.postMessage"]


async def test_429_is_the_callers_to_wait_for() -> None:
    async def limited(_: web.Request) -> web.Response:
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "3600"})

    app = web.Application()
    app.router.add_route("*", "/api/{method}", limited)
    async with (
        asyncio.timeout(600),
        TestServer(app) as server,
        open_client("xoxb-1", base_url=str(server.make_url("/api/"))) as client,
    ):
        with pytest.raises(SlackApiError, match="429"):
            await ask(client, "users.info")


async def test_proxies_are_chosen_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK by itself would ask the proxy for everything: it does not read NO_PROXY."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    breaking = Breaking(times=0)
    async with breaking.server() as server, open_client("xoxb-1", base_url=str(server.make_url("/api/"))) as client:
        await ask(client, "users.info")
        assert breaking.asked == ["/api/users.info"]
        monkeypatch.setenv("NO_PROXY", "elsewhere")
        monkeypatch.setenv("no_proxy", "elsewhere")
        with pytest.raises(Exception, match=r"Cannot connect to host 127\.0\.0\.1:1"):
            await ask(client, "chat.postMessage")


@pytest.mark.parametrize(("status", "outcome"), [(200, "answered"), (429, "limited"), (503, "failed")])
async def test_each_call_is_timed_by_method_and_outcome(status: int, outcome: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"ok": status == 200}, status=status, headers={"Retry-After": "1"})

    def calls() -> float:
        labels = {"method": "chat.update", "outcome": outcome}
        return REGISTRY.get_sample_value("cnibot_slack_call_seconds_count", labels) or 0.0

    app = web.Application()
    app.router.add_route("*", "/api/{method}", answer)
    before = calls()
    async with TestServer(app) as server, open_client("xoxb-1", base_url=str(server.make_url("/api/"))) as client:
        with suppress(SlackApiError):
            await ask(client, "chat.update")

    assert calls() == before + 1


async def test_an_address_for_a_file_is_one_method_whatever_is_in_it() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="OK")

    app = web.Application()
    app.router.add_route("*", "/upload/v1/{token}", answer)
    labels = {"method": "upload", "outcome": "answered"}
    before = REGISTRY.get_sample_value("cnibot_slack_call_seconds_count", labels) or 0.0
    async with TestServer(app) as server, open_client("xoxb-1") as client:
        assert client.session
        for token in ("AbC", "dEf"):
            await client.session.post(server.make_url(f"/upload/v1/{token}"))

    assert REGISTRY.get_sample_value("cnibot_slack_call_seconds_count", labels) == before + 2
