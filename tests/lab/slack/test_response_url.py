"""Answers through response URLs, with the unmodified webhook client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.lab.slack import SlackOptions, SlackWorkspace
from tests.lab.slack.conftest import connected

Json = dict[str, Any]
BUTTON: Json = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
ACTIONS: list[Json] = [{"type": "actions", "elements": [BUTTON]}]


@pytest.fixture
async def bodies(ws: SlackWorkspace, client: Any) -> AsyncIterator[list[Json]]:
    """Bodies of commands and clicks, as they come."""
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    async def keep(ack: Any, body: Json) -> None:
        await ack()
        seen.append(body)

    app.command("/cni")(keep)
    app.action("go")(keep)
    async with connected(ws, app):
        yield seen


async def url_of_command(ws: SlackWorkspace, bodies: list[Json]) -> str:
    before = len(bodies)
    await ws.user("alice").slash("#general", "/cni", "x")
    await ws.until(lambda: len(bodies) > before)
    return bodies[-1]["response_url"]


async def test_answers_even_where_the_bot_is_not(ws: SlackWorkspace, bodies: list[Json]) -> None:
    webhook: Any = AsyncWebhookClient(await url_of_command(ws, bodies))
    answer = await webhook.send(text="invite me")
    assert (answer.status_code, answer.body) == (200, "ok")
    assert [one.text for one in ws.user("alice").ephemerals("#general")] == ["invite me"]
    await webhook.send(text="for all", response_type="in_channel")
    assert [one.text for one in ws.messages("#general")] == ["for all"]


async def test_is_good_five_times(ws: SlackWorkspace, bodies: list[Json]) -> None:
    webhook: Any = AsyncWebhookClient(await url_of_command(ws, bodies))
    answers = [await webhook.send(text=str(number)) for number in range(6)]
    assert [one.status_code for one in answers] == [200, 200, 200, 200, 200, 404]
    assert answers[-1].body == "used_url"


async def test_is_good_for_half_an_hour() -> None:
    async with SlackWorkspace.start(SlackOptions(response_url_ttl_s=-1)) as ws:
        app: Any = AsyncApp(token=ws.bot_token, client=None)
        app.client.base_url = ws.api_url
        seen: list[Json] = []

        @app.command("/cni")
        async def command(ack: Any, body: Json) -> None:
            await ack()
            seen.append(body)

        async with connected(ws, app):
            webhook: Any = AsyncWebhookClient(await url_of_command(ws, seen))
            answer = await webhook.send(text="late")
            assert (answer.status_code, answer.body) == (404, "expired_url")


async def clicked(ws: SlackWorkspace, bodies: list[Json], ts: str) -> Any:
    before = len(bodies)
    assert (await ws.user("alice").click("#incidents", ts, "go")).acked
    await ws.until(lambda: len(bodies) > before)
    return AsyncWebhookClient(bodies[-1]["response_url"])


async def test_replaces_and_deletes_the_message_that_was_clicked(
    ws: SlackWorkspace, client: Any, bodies: list[Json]
) -> None:
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="press", blocks=ACTIONS))["ts"]
    webhook = await clicked(ws, bodies, ts)
    await webhook.send(text="pressed", replace_original=True)
    (message,) = ws.messages("#incidents")
    assert (message.ts, message.text, message.blocks) == (ts, "pressed", [])
    await webhook.send(delete_original=True)
    assert ws.messages("#incidents") == []


async def test_replaces_and_deletes_an_ephemeral_message(ws: SlackWorkspace, client: Any, bodies: list[Json]) -> None:
    ts = (await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ALICE", text="press", blocks=ACTIONS))[
        "message_ts"
    ]
    webhook = await clicked(ws, bodies, ts)
    assert "message" not in bodies[-1], "Slack does not send ephemeral messages along"
    assert bodies[-1]["container"]["is_ephemeral"] is True
    await webhook.send(text="pressed", replace_original=True)
    assert [(one.ts, one.text) for one in ws.user("alice").ephemerals()] == [(ts, "pressed")]
    await webhook.send(delete_original=True)
    assert ws.user("alice").ephemerals() == []


async def test_answers_in_the_thread_of_the_click(ws: SlackWorkspace, client: Any, bodies: list[Json]) -> None:
    root = await ws.user("alice").say("#incidents", "root")
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=ACTIONS, thread_ts=root))["ts"]
    webhook = await clicked(ws, bodies, ts)
    assert (bodies[-1]["container"]["thread_ts"], bodies[-1]["message"]["ts"]) == (root, ts)
    await webhook.send_dict(
        {"text": "all", "response_type": "in_channel", "replace_original": False, "thread_ts": root}
    )
    assert [one.text for one in ws.thread("#incidents", root)] == ["root", "x", "all"]
    await webhook.send(text="just you")
    assert ws.user("alice").ephemerals()[0].thread_ts == root


async def test_refuses_what_slack_refuses(ws: SlackWorkspace, bodies: list[Json]) -> None:
    url = await url_of_command(ws, bodies)
    webhook: Any = AsyncWebhookClient(url)
    answer = await webhook.send(blocks=[{"type": "no"}])
    assert (answer.status_code, "invalid_blocks" in answer.body) == (400, True)
    async with aiohttp.ClientSession() as session, session.post(url, data=b"[" * 100_000) as response:
        assert (response.status, await response.text()) == (400, "invalid_payload")


async def test_bolts_respond_never_raises(ws: SlackWorkspace, client: Any) -> None:
    """A lost answer shows only in the returned status: prefer chat.* for what must arrive."""
    app: Any = AsyncApp(client=client)
    statuses: list[int] = []

    @app.command("/cni")
    async def command(ack: Any, respond: Any) -> None:
        await ack()
        answers = [await respond("x") for _ in range(6)]
        statuses.extend(answer.status_code for answer in answers)

    async with connected(ws, app):
        await ws.user("alice").slash("#incidents", "/cni", "x")
        await ws.until(lambda: len(statuses) == 6)
        assert statuses[-1] == 404
