"""Bad days, and the traps into which unmodified libraries fall on them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace
from tests.lab.slack.conftest import connected, refused

Json = dict[str, Any]


def careful(ws: SlackWorkspace) -> Any:
    """A client that retries rate limits only."""
    return AsyncWebClient(
        token=ws.bot_token, base_url=ws.api_url, retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=2)]
    )


async def test_the_default_client_posts_twice_when_a_reply_is_lost(ws: SlackWorkspace, client: Any) -> None:
    """The trap: its connection retry sends the POST again, though Slack has executed it."""
    ws.faults.lose_replies("chat.postMessage", times=1)
    await client.chat_postMessage(channel="C0INCIDENTS", text="once")
    assert [one.text for one in ws.messages("#incidents")] == ["once", "once"]
    assert [call.is_lost for call in ws.calls.of("chat.postMessage")] == [True, False]


async def test_a_careful_client_is_told_and_can_look(ws: SlackWorkspace) -> None:
    """Without that retry the caller gets an error, and finds the message by its metadata."""
    ws.faults.lose_replies("chat.postMessage", times=1)
    client = careful(ws)
    metadata = {"event_type": "outbox", "event_payload": {"key": "k1"}}
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="C0INCIDENTS", text="once", metadata=metadata)
    found = await client.conversations_history(channel="C0INCIDENTS", include_all_metadata=True)
    assert [one["metadata"]["event_payload"]["key"] for one in found["messages"]] == ["k1"]


async def test_a_rate_limit_raises_at_once_by_default(ws: SlackWorkspace, client: Any) -> None:
    ws.faults.rate_limit("chat.postMessage", times=1, retry_after=7)
    answer = await refused(client.chat_postMessage(channel="C0INCIDENTS", text="x"))
    assert (answer.status_code, answer["error"], answer.headers["Retry-After"]) == (429, "ratelimited", "7")
    assert (await client.chat_postMessage(channel="C0INCIDENTS", text="x"))["ok"]
    assert len(ws.messages("#incidents")) == 1


async def test_a_rate_limit_may_hold_for_one_channel(ws: SlackWorkspace, client: Any) -> None:
    ws.faults.rate_limit("C0ALERTS", times=100)
    assert (await client.chat_postMessage(channel="C0INCIDENTS", text="x"))["ok"]
    assert (await refused(client.chat_postMessage(channel="C0ALERTS", text="x"))).status_code == 429
    ws.faults.clear()
    assert (await client.chat_postMessage(channel="C0ALERTS", text="x"))["ok"]


@pytest.mark.parametrize("status", [500, 503])
async def test_server_errors_execute_nothing(ws: SlackWorkspace, client: Any, status: int) -> None:
    ws.faults.server_error("chat.postMessage", times=1, status=status)
    assert (await refused(client.chat_postMessage(channel="C0INCIDENTS", text="x"))).status_code == status
    assert ws.messages("#incidents") == []


async def test_slow_calls(ws: SlackWorkspace, client: Any) -> None:
    ws.faults.slow("auth.test", 0.05)
    begun = time.monotonic()
    await client.auth_test()
    assert time.monotonic() - begun >= 0.05


async def test_down_refuses_everything_and_then_comes_back(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    async with connected(ws, app, ping_interval=0.1):
        ws.faults.down()
        await ws.until(lambda: not ws.sockets.connections)
        with pytest.raises((aiohttp.ClientError, SlackApiError)):
            await careful(ws).auth_test()
        outcome = await ws.user("alice").slash("#incidents", "/cni", "x")
        assert (outcome.acked, outcome.error) == (False, "/cni failed with the error 'slack_down'")
        ws.faults.down(False)
        await ws.until(lambda: ws.sockets.connections)
        assert (await client.auth_test())["ok"]


async def test_a_lost_upload(ws: SlackWorkspace, client: Any) -> None:
    ws.faults.lose_replies("upload", times=1)
    step = await client.files_getUploadURLExternal(filename="a.txt", length=1)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(step["upload_url"], data=b"a")
    assert ws.state.files[step["file_id"]].content == b"a"


async def test_bolt_reconnects_after_a_reset(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[str] = []

    @app.event("message")
    async def message(event: Json) -> None:
        seen.append(event["text"])

    async with connected(ws, app, connections=2, ping_interval=0.1):
        ws.faults.drop_sockets()
        await ws.until(lambda: ws.sockets.opened == 4 and len(ws.sockets.connections) == 2)
        await ws.user("alice").say("#incidents", "still here?")
        await ws.until(lambda: seen == ["still here?"])


async def test_bolt_follows_a_request_to_reconnect(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    async with connected(ws, app):
        ws.faults.ask_to_reconnect()
        await ws.until(lambda: ws.sockets.opened == 2 and len(ws.sockets.connections) == 1)


async def test_the_sdk_knocks_on_a_dead_ticket_again_and_again(ws: SlackWorkspace, client: Any) -> None:
    """The trap: it never asks for a new address, so only a new handler helps."""
    app: Any = AsyncApp(client=client)
    async with connected(ws, app, ping_interval=0.05):
        ws.faults.dead_tickets(1)
        ws.faults.drop_sockets()
        await ws.until(lambda: ws.sockets.refused >= 3)
        assert len(ws.calls.of("apps.connections.open")) == 2
        assert ws.sockets.connections == []


async def test_the_first_retry_number_is_zero(ws: SlackWorkspace, client: Any) -> None:
    """The trap: who drops requests with a retry header drops every event of Socket Mode."""
    app: Any = AsyncApp(client=client)
    headers: list[Any] = []

    @app.middleware
    async def look(req: Any, next_: Any) -> None:
        headers.append(req.headers.get("x-slack-retry-num"))
        await next_()

    @app.event("message")
    async def message() -> None: ...

    async with connected(ws, app):
        await ws.user("alice").say("#incidents", "hello")
        await ws.until(lambda: headers)
        assert headers == [["0"]]


async def test_an_unmatched_event_is_never_acknowledged(client: Any) -> None:
    """The trap: without a catch-all it comes four times."""
    async with SlackWorkspace.start(SlackOptions(ack_timeout_s=0.1, retry_delays_s=(0.0, 0.0, 0.0))) as ws:
        app: Any = AsyncApp(client=AsyncWebClient(token=ws.bot_token, base_url=ws.api_url))
        async with connected(ws, app):
            await ws.user("alice").say("#incidents", "hello")
            await ws.until(lambda: ws.deliveries.log[0].is_given_up)
            assert [one.error for one in ws.deliveries.log[0].attempts] == ["timeout"] * 4


async def test_an_exception_right_after_the_ack_cancels_it() -> None:
    """The trap: the runner forgets the acknowledgement before it is sent."""
    async with SlackWorkspace.start(SlackOptions(ack_timeout_s=0.3)) as ws:
        app: Any = AsyncApp(client=AsyncWebClient(token=ws.bot_token, base_url=ws.api_url))

        @app.command("/cni")
        async def command(ack: Any) -> None:
            await ack()
            raise RuntimeError("boom")

        async with connected(ws, app):
            outcome = await ws.user("alice").slash("#incidents", "/cni", "x")
            assert (outcome.acked, outcome.error) == (False, "/cni failed with the error 'operation_timeout'")


async def test_the_first_failing_auth_test_eats_an_event(ws: SlackWorkspace, client: Any) -> None:
    """The trap: Bolt acknowledges with 200 and drops it; so call auth.test before you connect."""
    app: Any = AsyncApp(client=client)
    seen: list[str] = []

    @app.event("message")
    async def message(event: Json) -> None:
        seen.append(event["text"])

    async with connected(ws, app):
        ws.faults.bad_auth = True
        await ws.user("alice").say("#incidents", "lost")
        await ws.until(lambda: ws.deliveries.log[0].attempts)
        assert ws.deliveries.log[0].is_acked
        ws.faults.bad_auth = False
        await ws.user("alice").say("#incidents", "found")
        await ws.until(lambda: seen == ["found"])


async def test_edits_of_ones_own_customised_message_come_back() -> None:
    """The trap: Bolt's guard against self does not see them; own posts and edits it does."""
    async with SlackWorkspace.start() as ws:
        ws.app.scopes |= {"chat:write.customize"}
        client: Any = AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)
        app: Any = AsyncApp(client=client)
        seen: list[str] = []

        @app.event("message")
        async def message(event: Json) -> None:
            seen.append(event.get("text") or event["message"]["text"])

        async with connected(ws, app):
            plain = (await client.chat_postMessage(channel="C0INCIDENTS", text="own"))["ts"]
            custom = (await client.chat_postMessage(channel="C0INCIDENTS", text="spoof", username="Root"))["ts"]
            await client.chat_update(channel="C0INCIDENTS", ts=plain, text="own, edited")
            await client.chat_update(channel="C0INCIDENTS", ts=custom, text="spoof, edited")
            await ws.until(lambda: len(ws.deliveries.log) == 4 and all(log.attempts for log in ws.deliveries.log))
            assert seen == ["spoof, edited"]


async def test_strict_rates_refuse_the_fifth_post_at_once() -> None:
    async with SlackWorkspace.start(SlackOptions(strict_rates=True)) as ws:
        client: Any = AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)
        for _ in range(4):
            await client.chat_postMessage(channel="C0INCIDENTS", text="x")
        answer = await refused(client.chat_postMessage(channel="C0INCIDENTS", text="x"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert (await client.chat_postMessage(channel="C0ALERTS", text="x"))["ok"]
        assert len(ws.messages("#incidents")) == 4


async def test_bolt_closes_the_old_socket_before_it_opens_the_new(ws: SlackWorkspace, client: Any) -> None:
    """The trap: even at a mere warning, so one connection alone has a gap."""
    app: Any = AsyncApp(client=client)
    async with connected(ws, app):
        (old,) = ws.sockets.connections
        open_at_once: list[int] = []

        def followed() -> bool:
            open_at_once.append(len(ws.sockets.connections))
            return ws.sockets.opened == 2 and old not in ws.sockets.connections

        ws.faults.warn_sockets()
        await ws.until(followed)
        assert max(open_at_once) == 1


async def test_a_failing_refresh_keeps_the_old_socket(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)

    @app.event("message")
    async def message() -> None: ...

    async with connected(ws, app):
        ws.faults.server_error("apps.connections.open", times=1)
        ws.faults.warn_sockets()
        await ws.until(lambda: len(ws.calls.of("apps.connections.open")) == 2)
        assert ws.sockets.opened == 1
        await ws.user("alice").say("#incidents", "still here?")
        await ws.until(lambda: ws.deliveries.log[0].is_acked)


async def test_connecting_with_a_bad_token_never_ends(ws: SlackWorkspace, client: Any) -> None:
    """The trap: so ask apps.connections.open yourself first, and bound the connect."""
    app: Any = AsyncApp(client=client)
    handler: Any = AsyncSocketModeHandler(app, "xapp-wrong", ping_interval=0.05)
    async with asyncio.TaskGroup() as group:
        connecting = group.create_task(handler.connect_async())
        await ws.until(lambda: len(ws.calls.of("apps.connections.open")) > 2)
        assert not connecting.done()
        connecting.cancel()
    assert {call.error for call in ws.calls.of("apps.connections.open")} == {"invalid_auth"}
    await handler.close_async()
