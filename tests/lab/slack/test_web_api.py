"""The Web API around chat: tokens, scopes, encodings, people, channels, history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.lab.slack.options import BOT_SCOPES
from tests.lab.slack.conftest import refused


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_auth_test_says_who_the_bot_is(ws: SlackWorkspace, client: Any) -> None:
    answer = await client.auth_test()
    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == ("U0CNIBOT", "B0CNIBOT", "T0LAB")
    assert answer["is_enterprise_install"] is False
    assert set(answer.headers["x-oauth-scopes"].split(",")) == BOT_SCOPES


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        ("", "auth.test", "not_authed"),
        ("xoxb-wrong", "auth.test", "invalid_auth"),
        ("app", "chat.postMessage", "not_allowed_token_type"),
        ("bot", "apps.connections.open", "not_allowed_token_type"),
        ("bot", "no.such", "unknown_method"),
    ],
)
async def test_refuses_tokens(
    ws: SlackWorkspace, http: aiohttp.ClientSession, token: str, method: str, error: str
) -> None:
    token = {"app": ws.app_token, "bot": ws.bot_token}.get(token, token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.post(f"{ws.api_url}{method}", headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (200, error)


async def test_bad_auth_refuses_every_token(ws: SlackWorkspace, client: Any) -> None:
    ws.faults.bad_auth = True
    assert (await refused(client.auth_test()))["error"] == "invalid_auth"


async def test_a_missing_scope_is_named() -> None:
    options = SlackOptions(scopes=BOT_SCOPES - {"users:read", "groups:read", "channels:read"})
    async with SlackWorkspace.start(options) as ws:
        client: Any = AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)
        answer = await refused(client.users_info(user="U0ALICE"))
        assert (answer["error"], answer["needed"]) == ("missing_scope", "users:read")
        assert "chat:write" in answer["provided"]
        assert (await refused(client.conversations_info(channel="C0INCIDENTS")))["needed"] == "channels:read"
        assert (await refused(client.conversations_join(channel="C0GENERAL")))["needed"] == "channels:join"
        assert (await refused(client.conversations_open(users="U0ALICE")))["needed"] == "im:write"


async def test_history_scope_is_per_kind_of_channel(ws: SlackWorkspace, client: Any) -> None:
    ws.app.scopes -= {"groups:history"}
    hidden = ws.admin.create_channel("hidden", members=["alice", "cni"], is_private=True)
    assert (await refused(client.conversations_history(channel=hidden.id)))["needed"] == "groups:history"
    assert (await client.conversations_history(channel="C0INCIDENTS"))["ok"]


@pytest.mark.parametrize("encoding", ["json", "form", "query", "multipart", "token in the form"])
async def test_takes_every_encoding(ws: SlackWorkspace, http: aiohttp.ClientSession, encoding: str) -> None:
    """Blocks may come as an object or as a string, the token in the header or in a form."""
    url, headers = f"{ws.api_url}chat.postMessage", {"Authorization": f"Bearer {ws.bot_token}"}
    arguments = {"channel": "C0INCIDENTS", "text": "hello", "blocks": '[{"type":"divider"}]'}
    sent: dict[str, Any] = {
        "json": {"json": {**arguments, "blocks": [{"type": "divider"}]}, "headers": headers},
        "form": {"data": arguments, "headers": headers},
        "query": {"params": arguments, "headers": headers},
        "multipart": {"data": aiohttp.FormData(arguments, default_to_multipart=True), "headers": headers},
        "token in the form": {"data": {**arguments, "token": ws.bot_token}},
    }[encoding]
    async with http.post(url, **sent) as response:
        assert (await response.json())["ok"]
    (message,) = ws.messages("#incidents")
    assert (message.text, [block["type"] for block in message.blocks]) == ("hello", ["divider"])


async def test_users_as_slack_describes_them(ws: SlackWorkspace, client: Any) -> None:
    async def user(name: str) -> dict[str, Any]:
        return (await client.users_info(user=ws.user(name).id))["user"]

    alice, carol, dave = await user("alice"), await user("carol"), await user("dave")
    assert (alice["deleted"], alice["is_bot"], alice["is_restricted"], alice["team_id"]) == (
        False,
        False,
        False,
        "T0LAB",
    )
    assert (carol["is_restricted"], carol["is_ultra_restricted"]) == (True, False)
    assert dave["deleted"]
    assert "is_restricted" not in dave, "Slack leaves role flags out for people who left"
    bot = (await client.users_info(user="U0CNIBOT"))["user"]
    assert (bot["is_bot"], bot["profile"]["bot_id"]) == (True, "B0CNIBOT")
    assert not (await client.users_info(user="USLACKBOT"))["user"]["is_bot"], "Slackbot says that it is no bot"
    assert (await refused(client.users_info(user="U0NOBODY")))["error"] == "user_not_found"


async def test_an_external_user_is_a_stranger_until_a_channel_is_shared(ws: SlackWorkspace, client: Any) -> None:
    eve = (await client.users_info(user="U0EVE"))["user"]
    assert (eve["team_id"], eve["is_stranger"], "is_restricted" in eve) == ("T0PARTNER", True, False)
    ws.invite("#shared", "cni")
    eve = (await client.users_info(user="U0EVE"))["user"]
    assert (eve["team_id"], eve["is_stranger"], "is_restricted" in eve) == ("T0PARTNER", False, True)


async def test_user_groups(ws: SlackWorkspace, client: Any) -> None:
    (group,) = (await client.usergroups_list(include_users=True))["usergroups"]
    assert (group["id"], group["handle"], group["users"]) == ("S0SRE", "sre", ["U0ALICE", "U0BOB"])
    ws.admin.set_group("@sre", ["bob"])
    assert (await client.usergroups_users_list(usergroup="S0SRE"))["users"] == ["U0BOB"]
    ws.admin.set_group("@sre", ["bob"], is_disabled=True)
    assert (await refused(client.usergroups_users_list(usergroup="S0SRE")))["error"] == "no_such_subteam"


async def test_channels(ws: SlackWorkspace, client: Any) -> None:
    names = {one["name"]: one for one in (await client.conversations_list())["channels"]}
    assert set(names) == {"incidents", "alerts", "general", "shared"}
    assert (names["incidents"]["is_member"], names["general"]["is_member"]) == (True, False)
    shared = (await client.conversations_info(channel="C0SHARED", include_num_members=True))["channel"]
    assert (shared["is_ext_shared"], shared["is_shared"], shared["num_members"]) == (True, True, 3)
    assert (await client.conversations_members(channel="C0SHARED"))["members"] == ["U0ALICE", "U0BOB", "U0EVE"]


async def test_history_in_pages_and_ranges(ws: SlackWorkspace, client: Any) -> None:
    all_ts = [await ws.user("alice").say("#incidents", str(n)) for n in range(5)]
    await ws.user("alice").say("#incidents", "reply", thread=all_ts[0])
    first = await client.conversations_history(channel="C0INCIDENTS", limit=3)
    assert [one["text"] for one in first["messages"]] == ["4", "3", "2"]
    assert first["has_more"]
    rest = await client.conversations_history(
        channel="C0INCIDENTS", limit=3, cursor=first["response_metadata"]["next_cursor"]
    )
    assert ([one["text"] for one in rest["messages"]], rest["has_more"]) == (["1", "0"], False)
    newer = await client.conversations_history(channel="C0INCIDENTS", oldest=all_ts[2])
    assert [one["text"] for one in newer["messages"]] == ["4", "3"]
    newer = await client.conversations_history(channel="C0INCIDENTS", oldest=all_ts[3], inclusive=True)
    assert [one["text"] for one in newer["messages"]] == ["4", "3"]
    assert (await refused(client.conversations_history(channel="C0INCIDENTS", cursor="!")))["error"] == "invalid_cursor"


async def test_metadata_comes_only_when_asked_for(ws: SlackWorkspace, client: Any) -> None:
    metadata = {"event_type": "cni_outbox", "event_payload": {"key": "k"}}
    ts = (await client.chat_postMessage(channel="C0INCIDENTS", text="x", metadata=metadata))["ts"]
    without = await client.conversations_replies(channel="C0INCIDENTS", ts=ts)
    assert "metadata" not in without["messages"][0]
    answer = await client.conversations_replies(channel="C0INCIDENTS", ts=ts, include_all_metadata=True)
    assert answer["messages"][0]["metadata"] == metadata
    assert (await refused(client.conversations_replies(channel="C0INCIDENTS", ts="1.000001")))["error"] == (
        "thread_not_found"
    )


async def test_joining_and_direct_messages(ws: SlackWorkspace, client: Any) -> None:
    ws.app.scopes |= {"channels:join", "im:write"}
    assert (await client.conversations_join(channel="C0GENERAL"))["channel"]["is_member"]
    assert (await client.conversations_join(channel="C0GENERAL"))["warning"] == "already_in_channel"
    direct = (await client.conversations_open(users="U0ALICE"))["channel"]["id"]
    assert (await client.conversations_open(users="U0ALICE"))["channel"]["id"] == direct
    await client.chat_postMessage(channel=direct, text="hello")
    assert [one.text for one in ws.messages(direct)] == ["hello"]
    assert (await refused(client.conversations_open(users="U0DAVE")))["error"] == "user_disabled"


async def test_every_call_is_logged(ws: SlackWorkspace, client: Any) -> None:
    await client.chat_postMessage(channel="C0INCIDENTS", text="x")
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel="C0GENERAL", text="y")
    good, bad = ws.calls.of("chat.postMessage")
    assert (good.ok, good.channel, good.args["text"], good.app_id) == (True, "C0INCIDENTS", "x", "A0CNIBOT")
    assert (bad.ok, bad.error) == (False, "not_in_channel")
    assert bad.at >= good.at
