"""Strange and hostile requests get an answer; the workspace stays whole (its fixture raises what went wrong inside)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.web_api import METHODS

DEEP = "[" * 5000 + "]" * 5000
STRANGE: list[Any] = [
    None, 0, -1, 1e300, True, "", " ", "\x00", "C0INCIDENTS", "x" * 5000, [], {}, [None], [[]], {"type": []},
    {"id": {}}, {"type": "modal", "title": None, "blocks": {}},
    [{"type": "section", "text": {"type": {}}}], [{"id": []}],
    "{", DEEP,
    "1.1", "nan", "9" * 400,
]  # fmt: skip
NAMES = [
    "channel", "channel_id", "channels", "text", "blocks", "attachments", "metadata", "thread_ts", "ts", "timestamp",
    "message_ts", "name", "user", "user_id", "users", "usergroup", "view", "view_id", "external_id", "hash",
    "trigger_id", "files", "file", "filename", "length", "cursor", "limit", "oldest", "latest", "types", "inclusive",
    "message",
]  # fmt: skip


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_answers_strange_arguments(
    ws: SlackWorkspace, http: aiohttp.ClientSession, method: str
) -> None:
    ws.app.scopes |= {"channels:join", "im:write", "reactions:read", "team:read", "chat:write.customize"}
    token = ws.app_token if method == "apps.connections.open" else ws.bot_token
    headers = {"Authorization": f"Bearer {token}"}
    ts = await ws.user("alice").say("#incidents", "x")
    for number, value in enumerate(STRANGE):
        sensible: dict[str, Any] = {
            "channel": "C0INCIDENTS", "text": "x", "ts": ts, "timestamp": ts, "message_ts": ts, "user": "U0ALICE",
            "user_id": "U0ALICE",
        }  # fmt: skip
        for body in (dict.fromkeys(NAMES, value), *({**sensible, name: value} for name in NAMES[number % 8 :: 8])):
            async with http.post(f"{ws.api_url}{method}", json=body, headers=headers) as response:
                assert response.status == 200, (method, body)
                assert isinstance((await response.json())["ok"], bool)


@pytest.mark.parametrize(
    ("content_type", "data", "error"),
    [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"\xff\xfe", "invalid_json"),
        ("application/json", b"[]", "json_not_object"),
        ("application/json", DEEP.encode(), "invalid_json"),
        ("application/json", b'{"channel": NaN}', "invalid_json"),
        ("multipart/form-data", b"x", "invalid_form_data"),
        ("text/plain", b"hello", "invalid_post_type"),
        ("application/x-www-form-urlencoded", b"%ff%fe=%00&channel", "invalid_arguments"),
    ],
)
async def test_bodies_that_are_none(
    ws: SlackWorkspace, http: aiohttp.ClientSession, content_type: str, data: bytes, error: str
) -> None:
    headers = {"Authorization": f"Bearer {ws.bot_token}", "Content-Type": content_type}
    async with http.post(f"{ws.api_url}chat.postMessage", data=data, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (200, error)


@pytest.mark.parametrize(
    "path",
    ["/", "/api/", "/api/a/b", "/link/", "/link/?ticket=%00", "/upload/v1/x", "/services/a/b/c", "/files-pri/x/y"],
)
@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_paths_that_are_none(ws: SlackWorkspace, http: aiohttp.ClientSession, verb: str, path: str) -> None:
    async with http.request(verb, f"{ws.base_url}{path}") as response:
        assert 400 <= response.status < 500


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000, b""])
async def test_noise_instead_of_http(ws: SlackWorkspace, client: Any, noise: bytes) -> None:
    port = int(ws.base_url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(noise)
    writer.close()
    assert (await client.auth_test())["ok"]


async def test_clients_that_leave_in_the_middle(ws: SlackWorkspace, client: Any) -> None:
    port = int(ws.base_url.rpartition(":")[2])
    ws.faults.slow("chat.postMessage", 0.05)
    head = f"POST /api/chat.postMessage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ws.bot_token}\r\n"
    body = b'{"channel": "C0INCIDENTS", "text": "gone"}'
    for length in (len(body), len(body) + 10):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.transport.abort()
    ws.faults.clear()
    assert (await client.chat_postMessage(channel="C0INCIDENTS", text="here"))["ok"]
