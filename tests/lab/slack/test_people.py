"""What people can do, what they see, and what others hear of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.lab.slack import Change, SlackWorkspace, UserClientError
from tests.lab.slack.conftest import connected

Json = dict[str, Any]


def button(action_id: str = "go", value: str = "1", **more: Any) -> Json:
    return {
        "type": "button",
        "action_id": action_id,
        "value": value,
        "text": {"type": "plain_text", "text": value},
        **more,
    }


def actions(*elements: Json) -> list[Json]:
    return [{"type": "actions", "block_id": "row", "elements": list(elements)}]


async def test_a_click_carries_what_slack_sends(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    @app.action("go")
    async def pressed(ack: Any, body: Json) -> None:
        await ack()
        seen.append(body)

    async with connected(ws, app):
        root = await ws.user("alice").say("#incidents", "root")
        ts = (
            await client.chat_postMessage(
                channel="C0INCIDENTS", text="x", thread_ts=root, blocks=actions(button(value="1"), button("no"))
            )
        )["ts"]
        assert (await ws.user("bob").click("#incidents", ts, "go")).acked
        (body,) = seen
        assert body["type"] == "block_actions"
        assert body["user"] == {"id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0LAB"}
        assert body["team"] == {"id": "T0LAB", "domain": "lab"}
        assert (body["api_app_id"], body["channel"]) == ("A0CNIBOT", {"id": "C0INCIDENTS", "name": "incidents"})
        assert body["container"] == {
            "type": "message",
            "message_ts": ts,
            "channel_id": "C0INCIDENTS",
            "is_ephemeral": False,
            "thread_ts": root,
        }
        assert body["message"]["ts"] == ts
        (action,) = body["actions"]
        assert (action["action_id"], action["block_id"], action["value"], action["type"]) == (
            "go",
            "row",
            "1",
            "button",
        )
        assert body["response_url"].startswith(f"{ws.base_url}/actions/T0LAB/")


async def test_an_external_persons_click_names_their_own_team(ws: SlackWorkspace, client: Any) -> None:
    """So who keys by team looks in the wrong place."""
    ws.invite("#shared", "cni")
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    @app.action("go")
    async def pressed(ack: Any, body: Json) -> None:
        await ack()
        seen.append(body)

    @app.event("message")
    async def message(body: Json) -> None:
        seen.append(body)

    async with connected(ws, app):
        ts = (await client.chat_postMessage(channel="C0SHARED", text="x", blocks=actions(button())))["ts"]
        assert (await ws.user("eve").click("#shared", ts, "go")).acked
        assert (seen[0]["user"]["team_id"], seen[0]["team"]["id"]) == ("T0PARTNER", "T0PARTNER")
        await ws.user("eve").say("#shared", "hello")
        await ws.until(lambda: len(seen) == 2)
        assert seen[1]["is_ext_shared_channel"] is True
        assert (seen[1]["event"]["team"], seen[1]["team_id"]) == ("T0PARTNER", "T0LAB")
        outcome = await ws.user("eve").slash("#shared", "/cni", "status")
        assert outcome.error.startswith("/cni is not a valid command. In Slack"), (
            "commands are for the installing workspace"
        )


async def test_a_person_presses_only_what_is_there(ws: SlackWorkspace, client: Any) -> None:
    post = await client.chat_postMessage(
        channel="C0INCIDENTS", text="x", blocks=actions(button(visible_to_user_ids=["U0BOB"]))
    )
    with pytest.raises(UserClientError, match="alice sees no element go"):
        await ws.user("alice").click("#incidents", post["ts"], "go")
    with pytest.raises(UserClientError, match="bob sees no element stop"):
        await ws.user("bob").click("#incidents", post["ts"], "stop")
    with pytest.raises(UserClientError, match="no message"):
        await ws.user("bob").click("#incidents", "1.000001", "go")


async def test_of_buttons_with_one_action_id_the_value_says_which(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[str] = []

    @app.action("pick")
    async def picked(ack: Any, action: Json) -> None:
        await ack()
        seen.append(action.get("value") or action["selected_option"]["value"])

    blocks = [
        {"type": "actions", "elements": [button("pick", "one")]},
        {"type": "actions", "elements": [button("pick", "two")]},
    ]
    menu = {
        "type": "overflow",
        "action_id": "pick",
        "options": [{"text": {"type": "plain_text", "text": "Three"}, "value": "three"}],
    }
    async with connected(ws, app):
        ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=blocks))["ts"]
        await ws.user("alice").click("#incidents", ts, "pick", "two")
        ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=actions(menu)))["ts"]
        await ws.user("alice").click("#incidents", ts, "pick", "three")
        assert seen == ["two", "three"]


async def test_who_sees_what(ws: SlackWorkspace) -> None:
    await ws.user("alice").say("#general", "members may look into public channels")
    for name, channel in (("carol", "#general"), ("eve", "#incidents"), ("carol", "#alerts")):
        with pytest.raises(UserClientError, match=f"{name} does not see"):
            await ws.user(name).say(channel, "hello")
    ws.remove("#general", "bob")
    with pytest.raises(UserClientError, match="bob has not joined"):
        await ws.user("bob").slash("#general", "/cni", "status")
    with pytest.raises(UserClientError, match="dave is deactivated"):
        await ws.user("dave").say("#incidents", "hello")
    hidden = ws.admin.create_channel("hidden", members=["alice"], is_private=True)
    with pytest.raises(UserClientError, match="bob does not see"):
        await ws.user("bob").say(hidden.id, "hello")
    for name in ("nobody", "cni"):
        with pytest.raises(UserClientError):
            ws.user(name)
    with pytest.raises(UserClientError, match="no channel"):
        ws.channel("#nowhere")


async def test_a_command_says_whom_it_means(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[str] = []

    @app.command("/cni")
    async def command(ack: Any, body: Json) -> None:
        await ack()
        seen.append(body["text"])

    async with connected(ws, app):
        await ws.user("alice").slash("#incidents", "/cni", "ask <@U0BOB> in <#C0ALERTS> & <!here> <@U0NOBODY>")
        assert seen == ["ask <@U0BOB|bob> in <#C0ALERTS|alerts> &amp; &lt;!here&gt; <@U0NOBODY>"]


async def test_an_app_may_say_what_it_is_doing(ws: SlackWorkspace, client: Any) -> None:
    ts = await ws.user("alice").say("#incidents", "help")
    await client.assistant_threads_setStatus(channel_id="C0INCIDENTS", thread_ts=ts, status="is diagnosing…")
    assert ws.state.thread_status["C0INCIDENTS", ts] == "is diagnosing…"
    await client.chat_postMessage(channel="C0INCIDENTS", thread_ts=ts, text="done")
    assert ws.state.thread_status == {}, "an answer ends it"
    assert (await client.bots_info(bot="B0ALERTMANAGER"))["bot"]["app_id"] == "A0ALERTMANAGER"


async def test_a_mention_is_two_events(ws: SlackWorkspace, client: Any) -> None:
    """The same message with two event ids: dedupe by event id alone lets it through twice."""
    app: Any = AsyncApp(client=client)
    seen: list[tuple[str, str, str]] = []

    @app.middleware
    async def look(body: Json, next_: Any) -> None:
        seen.append((body["event"]["type"], body["event"]["ts"], body["event_id"]))
        await next_()

    @app.event("app_mention")
    async def mentioned() -> None: ...

    @app.event("message")
    async def message() -> None: ...

    async with connected(ws, app):
        ts = await ws.user("alice").say("#incidents", f"{ws.mention} diagnose seldon-mesh")
        await ws.until(lambda: len(seen) == 2)
        assert {(kind, at) for kind, at, _ in seen} == {("message", ts), ("app_mention", ts)}
        assert len({event_id for *_, event_id in seen}) == 2


async def test_events_need_membership_subscription_and_scope(ws: SlackWorkspace) -> None:
    await ws.user("alice").say("#general", "the bot is not here")
    assert len(ws.deliveries.log) == 0
    await ws.user("alice").react("#incidents", await ws.user("alice").say("#incidents", "hello"), "eyes")
    assert [log.type for log in ws.deliveries.log] == ["message"], "reactions are not subscribed to"
    ws.app.scopes -= {"channels:history"}
    await ws.user("alice").say("#incidents", "unheard")
    assert len(ws.deliveries.log) == 1


async def test_people_edit_and_delete_their_own(ws: SlackWorkspace) -> None:
    alice = ws.user("alice")
    ts = await alice.say("#incidents", "helo")
    await alice.edit("#incidents", ts, "hello")
    assert ws.messages("#incidents")[0].text == "hello"
    with pytest.raises(UserClientError, match="bob did not write"):
        await ws.user("bob").delete("#incidents", ts)
    await alice.delete("#incidents", ts)
    assert ws.messages("#incidents") == []


async def test_a_deleted_root_leaves_a_tombstone(ws: SlackWorkspace, client: Any) -> None:
    alice = ws.user("alice")
    root = await alice.say("#incidents", "root")
    reply = (await client.chat_postMessage(channel="C0INCIDENTS", text="reply", thread_ts=root))["ts"]
    await alice.delete("#incidents", root)
    await client.chat_postMessage(channel="C0INCIDENTS", text="another", thread_ts=reply)
    tombstone, *replies = ws.thread("#incidents", root)
    assert (tombstone.subtype, tombstone.user, tombstone.text) == (
        "tombstone",
        "USLACKBOT",
        "This message was deleted.",
    )
    assert [one.text for one in replies] == ["reply", "another"]


async def test_administration_is_told_to_apps(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client)
    seen: list[Json] = []

    async def reported(event: Json) -> None:
        seen.append(event)

    for name in ("subteam_members_changed", "channel_shared", "channel_unshared"):
        app.event(name)(reported)
    async with connected(ws, app):
        ws.admin.set_group("@sre", ["bob", "carol"])
        ws.admin.share("#incidents")
        await ws.until(lambda: len(seen) == 2)
        assert (seen[0]["added_users"], seen[0]["removed_users"]) == (["U0CAROL"], ["U0ALICE"])
        assert seen[1]["connected_team_id"] == "T0PARTNER"
        assert ws.channel("#incidents").is_ext_shared
        ws.invite("#incidents", "eve")
        ws.admin.share("#incidents", is_ext_shared=False)
        await ws.until(lambda: len(seen) == 3)
        assert "U0EVE" not in ws.channel("#incidents").members


async def test_subscribers_hear_of_every_change(ws: SlackWorkspace, client: Any) -> None:
    heard: list[Change] = []

    async def listen() -> None:
        async for change in ws.subscribe():
            heard.append(change)
            if change.kind == "reaction":
                return

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen())
        await asyncio.sleep(0)
        ts = await ws.user("alice").say("#incidents", "hello")
        await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ALICE", text="psst")
        await ws.user("alice").react("#incidents", ts, "eyes")
        await listener
    kinds = [change.kind for change in heard]
    assert [kind for kind in kinds if kind not in {"call", "delivery"}] == ["message", "ephemeral", "reaction"]
    assert next(change for change in heard if change.kind == "message").ts == ts


async def test_until_says_what_there_was_instead(ws: SlackWorkspace) -> None:
    await ws.user("alice").say("#incidents", "something else")
    with pytest.raises(TimeoutError, match="something else"):
        await ws.until(lambda: False, timeout=0.01)
