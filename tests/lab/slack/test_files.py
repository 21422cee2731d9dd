"""Uploads with the unmodified SDK: three steps, and a share that comes later."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.lab.slack import SlackWorkspace
from tests.lab.slack.conftest import connected, refused

Json = dict[str, Any]


async def test_an_upload_lands_in_its_thread(ws: SlackWorkspace, client: Any) -> None:
    root = await ws.user("alice").say("#incidents", "root")
    answer = await client.files_upload_v2(
        channel="C0INCIDENTS",
        thread_ts=root,
        content=b"\x89PNG",
        filename="path.png",
        title="The path",
        alt_txt="node-1 to node-2",
        initial_comment="where it breaks",
    )
    file_id = answer["files"][0]["id"]
    assert answer["files"][0]["shares"] == {}, "the answer comes before the share"
    await ws.until(lambda: len(ws.thread("#incidents", root)) == 2)
    _, shared = ws.thread("#incidents", root)
    assert (shared.text, shared.subtype, shared.files[0].content) == ("where it breaks", "file_share", b"\x89PNG")
    info = (await client.files_info(file=file_id))["file"]
    assert info["shares"]["public"] == {"C0INCIDENTS": [{"ts": shared.ts}]}
    assert (info["title"], info["mimetype"], info["alt_txt"]) == ("The path", "image/png", "node-1 to node-2")
    assert [file.id for file in ws.files("#incidents")] == [file_id]


async def test_apps_hear_of_a_share_as_a_message(ws: SlackWorkspace, client: Any) -> None:
    app: Any = AsyncApp(client=client, ignoring_self_events_enabled=False)
    seen: list[Json] = []

    @app.event({"type": "message", "subtype": "file_share"})
    async def shared(event: Json) -> None:
        seen.append(event)

    async with connected(ws, app):
        await client.files_upload_v2(
            channel="C0INCIDENTS", content="evidence", filename="evidence.md", title="Evidence"
        )
        await ws.until(lambda: seen)
        assert seen[0]["files"][0]["name"] == "evidence.md"
        assert list(seen[0]["files"][0]["shares"]["public"]) == ["C0INCIDENTS"]


async def test_private_shares_say_so(ws: SlackWorkspace, client: Any) -> None:
    hidden = ws.admin.create_channel("hidden", members=["alice", "cni"], is_private=True)
    answer = await client.files_upload_v2(channel=hidden.id, content="x", filename="a.txt", title="a")
    await ws.until(lambda: ws.files("hidden"))
    info = (await client.files_info(file=answer["files"][0]["id"]))["file"]
    assert list(info["shares"]) == ["private"]


async def test_file_contents_need_a_token(ws: SlackWorkspace, client: Any) -> None:
    await client.files_upload_v2(channel="C0INCIDENTS", content="secret", filename="a.txt", title="a")
    (file,) = await ws.until(lambda: ws.files("#incidents"))
    async with aiohttp.ClientSession() as session:
        async with session.get(file.url) as response:
            assert response.content_type == "text/html"
        async with session.get(file.url, headers={"Authorization": f"Bearer {ws.bot_token}"}) as response:
            assert await response.text() == "secret"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel_id": "incidents"}, "channel_not_found"),
        ({"channel_id": "C0GENERAL"}, "not_in_channel"),
        ({"channel_id": "C0INCIDENTS", "thread_ts": "1.000001"}, "invalid_thread_ts"),
        ({"thread_ts": "1.000001"}, "invalid_arguments"),
    ],
)
async def test_refuses_shares(ws: SlackWorkspace, client: Any, arguments: Json, error: str) -> None:
    step = await client.files_getUploadURLExternal(filename="a.txt", length=1)
    async with aiohttp.ClientSession() as session, session.post(step["upload_url"], data=b"a") as response:
        assert (response.status, await response.text()) == (200, "OK - 1")
    answer = await refused(
        client.files_completeUploadExternal(files=[{"id": step["file_id"], "title": "a"}], **arguments)
    )
    assert answer["error"] == error


async def test_an_upload_address_is_good_for_one_file_of_the_announced_length(ws: SlackWorkspace, client: Any) -> None:
    step = await client.files_getUploadURLExternal(filename="a.txt", length=2)
    async with aiohttp.ClientSession() as session:
        statuses: list[int] = []
        for content in (b"a", b"ab", b"ab"):
            async with session.post(step["upload_url"], data=content) as response:
                statuses.append(response.status)
    assert statuses == [404, 200, 404]
    files = [{"id": step["file_id"], "title": "a"}]
    assert (await client.files_completeUploadExternal(files=files))["ok"]
    assert (await refused(client.files_completeUploadExternal(files=files)))["error"] == "file_already_completed"
    assert (await refused(client.files_completeUploadExternal(files=[{"id": "F0NO", "title": "a"}])))["error"] == (
        "file_not_found"
    )
    assert (await refused(client.files_getUploadURLExternal(filename="a.txt", length=0)))[
        "error"
    ] == "invalid_arguments"


async def test_a_file_can_be_deleted(ws: SlackWorkspace, client: Any) -> None:
    answer = await client.files_upload_v2(channel="C0INCIDENTS", content="x", filename="a.txt", title="a")
    await ws.until(lambda: ws.files("#incidents"))
    await client.files_delete(file=answer["files"][0]["id"])
    assert (await refused(client.files_info(file=answer["files"][0]["id"])))["error"] == "file_not_found"
