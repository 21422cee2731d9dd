"""chat.*: shapes, refusals, edits, ephemeral messages; with the unmodified SDK."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from bot.lab.slack import SlackWorkspace
from tests.lab.slack.conftest import refused

DIVIDER: list[dict[str, Any]] = [{"type": "divider"}]


async def test_a_post_has_slacks_shape(ws: SlackWorkspace, client: Any) -> None:
    answer = await client.chat_postMessage(channel="C0INCIDENTS", text="hello", blocks=DIVIDER)
    message = answer["message"]
    assert re.fullmatch(r"\d{10}\.\d{6}", answer["ts"])
    assert (answer["channel"], message["type"], message["user"]) == ("C0INCIDENTS", "message", "U0CNIBOT")
    assert (message["bot_id"], message["app_id"], message["team"]) == ("B0CNIBOT", "A0CNIBOT", "T0LAB")
    assert message["bot_profile"]["app_id"] == "A0CNIBOT"
    assert message["blocks"][0]["block_id"]
    assert answer.headers["x-oauth-scopes"].startswith("app_mentions:read,channels:history")
    assert [one.text for one in ws.messages("#incidents")] == ["hello"]


async def test_timestamps_grow_and_are_unique(ws: SlackWorkspace, client: Any) -> None:
    posts = [client.chat_postMessage(channel="C0INCIDENTS", text=str(n)) for n in range(20)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(post) for post in posts]
    assert len({task.result()["ts"] for task in tasks}) == 20
    times = [float(message.ts) for message in ws.messages("#incidents")]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0GENERAL", "text": "x"}, "not_in_channel"),
        ({"channel": "#incidents", "text": "x"}, "channel_not_found"),
        ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ({"channel": "C0INCIDENTS", "text": " "}, "no_text"),
        ({"channel": "C0INCIDENTS", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"channel": "C0INCIDENTS", "text": "x", "blocks": "{"}, "invalid_blocks_format"),
        ({"channel": "C0INCIDENTS", "text": "x", "metadata": "{"}, "invalid_metadata_format"),
        ({"channel": "", "text": "x"}, "invalid_arguments"),
    ],
)
async def test_refuses_posts(client: Any, arguments: dict[str, Any], error: str) -> None:
    answer = await refused(client.api_call("chat.postMessage", json=arguments))
    assert (answer.status_code, answer["error"]) == (200, error)


async def test_names_what_is_wrong_with_blocks(client: Any) -> None:
    long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    answer = await refused(client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=long))
    assert answer["error"] == "invalid_blocks"
    assert answer["errors"] == ["must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {answer['errors'][0]}"]


async def test_warns_of_missing_text(client: Any) -> None:
    with pytest.warns(UserWarning, match="text"):
        answer = await client.chat_postMessage(channel="C0INCIDENTS", blocks=DIVIDER)
    assert answer["warning"] == "missing_text_in_message"
    assert answer["response_metadata"]["warnings"] == ["missing_text_in_message"]


async def test_cuts_at_40_000_characters(client: Any) -> None:
    answer = await client.chat_postMessage(channel="C0INCIDENTS", text="x" * 40_001)
    assert (len(answer["message"]["text"]), answer["warning"]) == (40_000, "message_truncated")


async def test_archived_channels_are_closed(ws: SlackWorkspace, client: Any) -> None:
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x"))["ts"]
    ws.admin.archive("#incidents")
    for call in (
        client.chat_postMessage(channel="C0INCIDENTS", text="x"),
        client.chat_update(channel="C0INCIDENTS", ts=ts, text="y"),
        client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ALICE", text="y"),
        client.reactions_add(channel="C0INCIDENTS", timestamp=ts, name="eyes"),
    ):
        assert (await refused(call))["error"] == "is_archived"


async def test_a_private_channel_does_not_exist_for_strangers(ws: SlackWorkspace, client: Any) -> None:
    secret = ws.admin.create_channel("secret", members=["alice"], is_private=True)
    for method in ("chat_postMessage", "conversations_info", "conversations_history", "conversations_members"):
        extra = {"text": "x"} if method == "chat_postMessage" else {}
        answer = await refused(getattr(client, method)(channel=secret.id, **extra))
        assert answer["error"] == "channel_not_found", method


async def test_an_update_without_blocks_removes_them(ws: SlackWorkspace, client: Any) -> None:
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=DIVIDER))["ts"]
    answer = await client.chat_update(channel="C0INCIDENTS", ts=ts, text="y")
    assert (answer["text"], answer["message"]["edited"]["user"]) == ("y", "U0CNIBOT")
    (message,) = ws.messages("#incidents")
    assert (message.text, message.blocks) == ("y", [])
    assert [(old.text, len(old.blocks)) for old in message.revisions] == [("x", 1)]


async def test_an_update_keeps_metadata_until_told_otherwise(ws: SlackWorkspace, client: Any) -> None:
    metadata = {"event_type": "cni_incident", "event_payload": {"id": "inc-1"}}
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", metadata=metadata))["ts"]
    await client.chat_update(channel="C0INCIDENTS", ts=ts, text="y")
    assert ws.messages("#incidents")[0].event_metadata == {"id": "inc-1"}
    await client.chat_update(channel="C0INCIDENTS", ts=ts, text="z", metadata={})
    assert ws.messages("#incidents")[0].metadata is None


async def test_refuses_updates(ws: SlackWorkspace, client: Any) -> None:
    theirs = await ws.user("alice").say("#incidents", "mine")
    rich = [
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}],
        }
    ]
    ours = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", blocks=rich))["ts"]
    for arguments, error in (
        ({"ts": theirs, "text": "y"}, "cant_update_message"),
        ({"ts": "1.000001", "text": "y"}, "message_not_found"),
        ({"ts": ours, "text": "y" * 4001}, "msg_too_long"),
        ({"ts": ours, "text": "y", "blocks": DIVIDER}, "block_mismatch"),
    ):
        answer = await refused(client.chat_update(channel="C0INCIDENTS", **arguments))
        assert answer["error"] == error
    assert (await refused(client.chat_delete(channel="C0INCIDENTS", ts=theirs)))["error"] == "cant_delete_message"


async def test_deletes_its_own(ws: SlackWorkspace, client: Any) -> None:
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x"))["ts"]
    await client.chat_delete(channel="C0INCIDENTS", ts=ts)
    assert ws.messages("#incidents") == []


async def test_a_reply_to_a_reply_joins_the_thread(ws: SlackWorkspace, client: Any) -> None:
    root = await ws.user("alice").say("#incidents", "root")
    reply = (await client.chat_postMessage(channel="C0INCIDENTS", text="one", thread_ts=root))["ts"]
    await client.chat_postMessage(channel="C0INCIDENTS", text="two", thread_ts=reply)
    assert [one.text for one in ws.thread("#incidents", root)] == ["root", "one", "two"]
    assert [one.text for one in ws.messages("#incidents")] == ["root"]
    answer = await client.conversations_replies(channel="C0INCIDENTS", ts=root)
    first, *others = answer["messages"]
    assert (first["reply_count"], first["reply_users"], first["thread_ts"]) == (2, ["U0CNIBOT"], root)
    assert {one["parent_user_id"] for one in others} == {"U0ALICE"}


async def test_a_reply_to_what_was_deleted_lands_in_the_channel_without_a_word(ws: SlackWorkspace, client: Any) -> None:
    root = await ws.user("alice").say("#incidents", "root")
    await ws.user("alice").delete("#incidents", root)
    answer = await client.chat_postMessage(channel="C0INCIDENTS", text="reply", thread_ts=root)
    assert "thread_ts" not in answer["message"]
    assert [one.text for one in ws.messages("#incidents")] == ["reply"]


async def test_only_one_person_sees_an_ephemeral_message(ws: SlackWorkspace, client: Any) -> None:
    answer = await client.chat_postEphemeral(channel="C0INCIDENTS", user="U0ALICE", text="psst")
    (ephemeral,) = ws.user("alice").ephemerals("#incidents")
    assert (ephemeral.ts, ephemeral.text) == (answer["message_ts"], "psst")
    assert ws.user("bob").ephemerals() == []
    assert ws.messages("#incidents") == []
    assert (await refused(client.chat_update(channel="C0INCIDENTS", ts=ephemeral.ts, text="y")))["error"] == (
        "message_not_found"
    )


@pytest.mark.parametrize(("user", "error"), [("U0EVE", "user_not_in_channel"), ("U0NOBODY", "user_not_found"),
                                              ("U0DAVE", "user_not_in_channel")])  # fmt: skip
async def test_refuses_ephemeral_messages(client: Any, user: str, error: str) -> None:
    answer = await refused(client.chat_postEphemeral(channel="C0INCIDENTS", user=user, text="x"))
    assert answer["error"] == error


async def test_permalinks(ws: SlackWorkspace, client: Any) -> None:
    root = await ws.user("alice").say("#incidents", "root")
    reply = await ws.user("bob").say("#incidents", "reply", thread=root)
    answer = await client.chat_getPermalink(channel="C0INCIDENTS", message_ts=root)
    assert answer["permalink"] == f"{ws.base_url}/archives/C0INCIDENTS/p{root.replace('.', '')}"
    answer = await client.chat_getPermalink(channel="C0INCIDENTS", message_ts=reply)
    assert answer["permalink"].endswith(f"?thread_ts={root}&cid=C0INCIDENTS")


async def test_a_username_of_its_own_needs_a_scope(ws: SlackWorkspace, client: Any) -> None:
    await client.chat_postMessage(channel="C0INCIDENTS", text="x", username="Root", icon_emoji=":crown:")
    assert (ws.messages("#incidents")[0].username, ws.messages("#incidents")[0].user) == ("", "U0CNIBOT")
    ws.app.scopes |= {"chat:write.customize"}
    await client.chat_postMessage(channel="C0INCIDENTS", text="x", username="Root")
    spoofed = ws.messages("#incidents")[1]
    assert (spoofed.username, spoofed.user, spoofed.subtype) == ("Root", "", "bot_message")


async def test_reactions(ws: SlackWorkspace, client: Any) -> None:
    ts = await ws.user("alice").say("#incidents", "x")
    await client.reactions_add(channel="C0INCIDENTS", timestamp=ts, name="eyes")
    assert (await refused(client.reactions_add(channel="C0INCIDENTS", timestamp=ts, name="eyes")))["error"] == (
        "already_reacted"
    )
    assert ws.messages("#incidents")[0].reactions == {"eyes": ["U0CNIBOT"]}
    await client.reactions_remove(channel="C0INCIDENTS", timestamp=ts, name="eyes")
    assert (await refused(client.reactions_remove(channel="C0INCIDENTS", timestamp=ts, name="eyes")))["error"] == (
        "no_reaction"
    )
    assert (await refused(client.reactions_add(channel="C0INCIDENTS", timestamp=ts, name="No Such")))["error"] == (
        "invalid_name"
    )


async def test_blocks_validate_is_public(client: Any) -> None:
    assert (await client.api_call("blocks.validate", json={"blocks": DIVIDER}))["ok"]
    answer = await refused(client.api_call("blocks.validate", json={"blocks": [{"type": "no"}]}))
    assert answer["errors"][0]["pointer"] == "/blocks/0/type"
