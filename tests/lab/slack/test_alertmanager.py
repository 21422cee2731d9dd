"""Alertmanager's messages, as it really sends them."""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_bolt.app.async_app import AsyncApp

from bot.lab.slack import AlertGroup, SlackWorkspace
from tests.lab.slack.conftest import connected

Json = dict[str, Any]
FIRING = AlertGroup(
    group_labels={"alertname": "ModelTimeouts", "namespace": "seldon-mesh"},
    common_labels={"alertname": "ModelTimeouts", "namespace": "seldon-mesh", "severity": "critical"},
    count=3,
)


async def test_through_the_webhook(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    @app.event({"type": "message", "subtype": "bot_message"})
    async def message(event: Json) -> None:
        seen.append(event)

    async with connected(ws, app):
        ts = await ws.alertmanager.notify(FIRING)
        (event,) = await ws.until(lambda: seen)
        assert (event["bot_id"], event["username"], event["ts"]) == ("B0ALERTMANAGER", "Alertmanager", ts)
        assert "user" not in event
        assert "app_id" not in event
        (attachment,) = event["attachments"]
        assert attachment["title"] == "[FIRING:3] ModelTimeouts seldon-mesh (critical)"
        assert attachment["color"] == "danger"
        assert attachment["title_link"] == "http://alertmanager.example:9093/#/alerts?receiver=slack"
        assert event["text"] == ""


async def test_with_its_bot_token_it_may_update(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    @app.event("message")
    async def message(event: Json) -> None:
        seen.append(event)

    async with connected(ws, app):
        ts = await ws.alertmanager.notify_as_bot(FIRING, "#alerts")
        resolved = AlertGroup(group_labels=FIRING.group_labels, common_labels=FIRING.group_labels, status="resolved")
        await ws.alertmanager.notify_as_bot(resolved, "#alerts", update_ts=ts)
        await ws.until(lambda: len(seen) == 2)
        posted, changed = sorted(seen, key=lambda event: "subtype" in event)
        assert (posted["app_id"], posted["user"], posted["bot_profile"]["name"]) == (
            "A0ALERTMANAGER",
            "U0ALERTMANAGER",
            "Alertmanager",
        )
        assert (changed["subtype"], changed["hidden"], changed["message"]["ts"]) == ("message_changed", True, ts)
        assert changed["message"]["attachments"][0]["title"] == "[RESOLVED] ModelTimeouts seldon-mesh "
        assert changed["message"]["attachments"][0]["color"] == "good"
        assert changed["previous_message"]["attachments"][0]["color"] == "danger"
        assert [one.ts for one in ws.messages("#alerts")] == [ts]


async def test_a_webhook_refuses_in_plain_text(ws: SlackWorkspace) -> None:
    url = ws.alertmanager.webhook_url
    cases: list[tuple[str, Any, tuple[int, str]]] = [
        (url, {"text": "hello"}, (200, "ok")),
        (url, {}, (400, "no_text")),
        (url, [], (400, "invalid_payload")),
        (url, {"attachments": [{"nonsense": 1}]}, (400, "invalid_attachments")),
        (url + "x", {"text": "hello"}, (404, "no_service")),
    ]
    async with aiohttp.ClientSession() as session:
        for target, body, expected in cases:
            async with session.post(target, json=body) as response:
                assert (response.status, await response.text()) == expected
        async with session.post(url, data={"payload": '{"text": "as a form"}'}) as response:
            assert await response.text() == "ok"
        ws.admin.archive("#alerts")
        async with session.post(url, json={"text": "hello"}) as response:
            assert (response.status, await response.text()) == (400, "channel_is_archived")
    assert [one.text for one in ws.messages("#alerts")] == ["hello", "as a form"]
