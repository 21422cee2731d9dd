"""Unmodified Bolt over Socket Mode."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp

from bot.lab.slack import SlackWorkspace
from tests.lab.slack.conftest import connected


async def test_slash_command_click_modal_and_thread(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[str] = []

    @app.command("/cni")
    async def command(ack: Any, body: dict[str, Any], client: Any) -> None:
        await ack()
        button = {"type": "button", "action_id": "cni_details", "text": {"type": "plain_text", "text": "Details"}}
        blocks = [{"type": "actions", "elements": [button]}]
        await client.chat_postMessage(channel=body["channel_id"], text=f"diagnosing {body['text']}", blocks=blocks)

    @app.action("cni_details")
    async def details(ack: Any, body: dict[str, Any], client: Any) -> None:
        await ack()
        view: dict[str, Any] = {
            "type": "modal",
            "callback_id": "details",
            "title": {"type": "plain_text", "text": "Details"},
            "submit": {"type": "plain_text", "text": "Send"},
            "blocks": [
                {
                    "type": "input",
                    "block_id": "why",
                    "label": {"type": "plain_text", "text": "Why"},
                    "element": {"type": "plain_text_input", "action_id": "reason"},
                }
            ],
        }
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.view("details")
    async def submitted(ack: Any, view: dict[str, Any]) -> None:
        await ack()
        seen.append(view["state"]["values"]["why"]["reason"]["value"])

    @app.event("app_mention")
    async def mentioned(event: dict[str, Any], client: Any) -> None:
        await client.chat_postMessage(channel=event["channel"], text="here", thread_ts=event["ts"])

    @app.event("message")
    async def message(event: dict[str, Any]) -> None:
        seen.append(event["text"])

    async with connected(ws, app, 2):
        alice = ws.user("alice")
        outcome = await alice.slash("#incidents", "/cni", "diagnose seldon-mesh")
        assert outcome.acked, outcome
        await ws.until(lambda: ws.messages("#incidents"))
        (posted,) = ws.messages("#incidents")
        assert posted.text == "diagnosing diagnose seldon-mesh"
        assert (await alice.click("#incidents", posted.ts, "cni_details")).acked
        await ws.until(alice.modals)
        (modal,) = alice.modals()
        assert (await alice.submit(modal.id, {"reason": "the route is gone"})).acked
        assert alice.modals() == []
        ts = await alice.say("#incidents", f"{ws.mention} diagnose")
        await ws.until(lambda: len(ws.thread("#incidents", ts)) == 2)
        await ws.until(lambda: f"{ws.mention} diagnose" in seen)
        assert "the route is gone" in seen


async def test_a_thousand_events_with_every_tenth_again(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    deliveries: list[str] = []

    @app.middleware
    async def count(body: dict[str, Any], next_: Any) -> None:
        deliveries.append(body["event_id"])
        await next_()

    @app.event("message")
    async def message() -> None: ...

    ws.faults.redeliver(every=10)
    async with connected(ws, app, 2):
        for number in range(1000):
            await ws.user("alice").say("#incidents", str(number))
            if number % 50 == 49:  # as many as an app keeps up with
                await ws.until(lambda: all(log.is_acked for log in ws.deliveries.log), 60)
        await ws.until(lambda: len(deliveries) == 1100, 60)
        assert len(set(deliveries)) == 1000
        await ws.until(lambda: all(log.is_acked for log in ws.deliveries.log))
