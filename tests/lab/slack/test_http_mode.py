"""HTTP mode: an unmodified Bolt app behind a real HTTP server, and Slack's signed requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace

Json = dict[str, Any]
HTTP = SlackOptions(mode="http", retry_delays_s=(0.0, 0.02, 0.05))


@asynccontextmanager
async def listening(ws: SlackWorkspace, handler: Any) -> AsyncGenerator[None]:
    """The handler, reachable for Slack."""
    application = web.Application()
    application.router.add_post("/slack/events", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ws.set_request_url(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    try:
        yield
    finally:
        await runner.cleanup()


def bolt(ws: SlackWorkspace, **more: Any) -> tuple[Any, Any]:
    """An app and its HTTP handler."""
    from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request  # noqa: PLC0415  # aiohttp's adapter

    client = AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)
    app: Any = AsyncApp(client=client, signing_secret=ws.signing_secret, **more)

    async def handle(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    return app, handle


async def test_bolt_echoes_the_challenge() -> None:
    async with SlackWorkspace.start(HTTP) as ws:
        _, handle = bolt(ws)
        async with listening(ws, handle):
            assert await ws.verify_request_url()
        ws.set_request_url(f"{ws.base_url}/nothing")
        assert not await ws.verify_request_url()


async def test_commands_clicks_submissions_and_events() -> None:
    async with SlackWorkspace.start(HTTP) as ws:
        app, handle = bolt(ws)
        seen: list[str] = []
        button = {"type": "button", "action_id": "go", "value": "1", "text": {"type": "plain_text", "text": "Go"}}

        @app.command("/cni")
        async def command(ack: Any, body: Json, client: Any) -> None:
            await ack("working on it")
            await client.chat_postMessage(
                channel=body["channel_id"], text=body["text"], blocks=[{"type": "actions", "elements": [button]}]
            )

        @app.action("go")
        async def pressed(ack: Any, body: Json) -> None:
            await ack()
            seen.append(f"{body['user']['id']} pressed {body['actions'][0]['value']}")

        @app.event("app_mention")
        async def mentioned(event: Json) -> None:
            seen.append(event["text"])

        @app.event("message")
        async def message() -> None:
            seen.append("message")

        @app.shortcut("cni_diagnose_message")
        async def shortcut(ack: Any, body: Json) -> None:
            await ack()
            seen.append(f"shortcut on {body['message']['text']}")

        async with listening(ws, handle):
            alice = ws.user("alice")
            outcome = await alice.slash("#incidents", "/cni", "a=b & ü")
            assert (outcome.acked, outcome.reply) == (True, {"text": "working on it"})
            (posted,) = await ws.until(lambda: ws.messages("#incidents"))
            assert posted.text == "a=b &amp; ü", "Slack escapes what people type after a command"
            assert alice.ephemerals("#incidents")[0].text == "working on it"
            assert (await ws.user("bob").click("#incidents", posted.ts, "go")).acked
            assert (await alice.shortcut("#incidents", posted.ts, "cni_diagnose_message")).acked
            await alice.say("#incidents", f"{ws.mention} hello")
            await ws.until(lambda: len(seen) == 4)
            assert set(seen) == {
                "U0BOB pressed 1", "shortcut on a=b &amp; ü", f"{ws.mention} hello", "message",
            }  # fmt: skip


async def test_bolt_refuses_a_wrong_signature_and_a_skewed_clock() -> None:
    async with SlackWorkspace.start(HTTP) as ws:
        app, handle = bolt(ws)

        @app.command("/cni")
        async def command(ack: Any) -> None:
            await ack()

        async with listening(ws, handle):
            assert (await ws.user("alice").slash("#incidents", "/cni", "x")).acked
            ws.faults.clock_skew_s = -600
            outcome = await ws.user("alice").slash("#incidents", "/cni", "x")
            assert outcome.error == "/cni failed with the error 'dispatch_unknown_error'"
            ws.faults.clear()
            ws.app.signing_secret = "another"
            assert not (await ws.user("alice").slash("#incidents", "/cni", "x")).acked


async def test_unacknowledged_events_come_again_with_headers() -> None:
    async with SlackWorkspace.start(HTTP) as ws:
        seen: list[tuple[str | None, str | None]] = []

        async def handle(request: web.Request) -> web.Response:
            seen.append((request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason")))
            return web.Response(status=500)

        async with listening(ws, handle):
            await ws.user("alice").say("#incidents", "hello")
            await ws.until(lambda: ws.deliveries.log[0].is_given_up)
        assert seen == [(None, None), ("1", "http_error"), ("2", "http_error"), ("3", "http_error")]


async def test_an_app_may_decline_retries() -> None:
    async with SlackWorkspace.start(HTTP) as ws:

        async def handle(request: web.Request) -> web.Response:
            return web.Response(status=500, headers={"x-slack-no-retry": "1"})

        async with listening(ws, handle):
            await ws.user("alice").say("#incidents", "hello")
            await ws.until(lambda: ws.deliveries.log[0].is_given_up)
            assert len(ws.deliveries.log[0].attempts) == 1


async def test_nobody_listening_is_a_failed_connection() -> None:
    async with SlackWorkspace.start(HTTP) as ws:
        _, handle = bolt(ws)
        async with listening(ws, handle):
            assert ws.app.request_url
        await ws.user("alice").say("#incidents", "hello")
        await ws.until(lambda: ws.deliveries.log[0].is_given_up)
        assert {attempt.error for attempt in ws.deliveries.log[0].attempts} == {"connection_failed"}
        outcome = await ws.user("alice").slash("#incidents", "/cni", "x")
        assert outcome.error == "/cni failed with the error 'dispatch_failed'"


async def test_middleware_that_raises_is_no_acknowledgement() -> None:
    """So what is stored before the ack is stored, or delivered again."""
    async with SlackWorkspace.start(HTTP) as ws:
        app, handle = bolt(ws)
        stored: list[str] = []

        @app.middleware
        async def store(body: Json, next_: Any) -> None:
            if len(ws.deliveries.log[0].attempts) == 0:
                raise RuntimeError("the store is away")
            stored.append(body["event_id"])
            await next_()

        @app.event("message")
        async def message() -> None: ...

        async with listening(ws, handle):
            await ws.user("alice").say("#incidents", "hello")
            await ws.until(lambda: ws.deliveries.log[0].is_acked)
            assert stored == [ws.deliveries.log[0].event_id]
            assert [one.error for one in ws.deliveries.log[0].attempts] == ["http_error", ""]
