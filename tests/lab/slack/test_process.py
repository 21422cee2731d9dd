"""The workspace as a process of its own, and its memory."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace

Json = dict[str, Any]


@asynccontextmanager
async def process(*arguments: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Json]]:
    """`python -m bot.lab.slack`, and what it says about itself."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.lab.slack",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    try:
        async with asyncio.timeout(90):
            yield running, json.loads(await running.stdout.readline())
    finally:
        if running.returncode is None:
            running.terminate()
        await running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_runs_alone_and_ends_cleanly(number: signal.Signals) -> None:
    async with process() as (running, about):
        client: Any = AsyncWebClient(token=about["bot_token"], base_url=about["api_url"])
        assert (await client.auth_test())["user_id"] == about["bot_user_id"]
        assert (await client.chat_postMessage(channel=about["channels"]["incidents"], text="hello"))["ok"]
        assert about["users"]["alice"] == "U0ALICE"
        running.send_signal(number)
        out, errors = await running.communicate()
        assert (running.returncode, out, errors) == (0, b"", b"")


async def test_remembers_with_a_state_directory(tmp_path: Path) -> None:
    async with process("--state", str(tmp_path / "slack")) as (_, before):
        client: Any = AsyncWebClient(token=before["bot_token"], base_url=before["api_url"])
        await client.chat_postMessage(channel="C0INCIDENTS", text="remember me")
        await client.files_upload_v2(channel="C0INCIDENTS", content="evidence", filename="a.txt", title="a")
        await client.views_publish(user_id="U0ALICE", view={"type": "home", "blocks": []})
    assert (tmp_path / "slack" / "slack.json").stat().st_mode & 0o077 == 0, "tokens are for the owner alone"
    options = SlackOptions(state_dir=tmp_path / "slack")
    async with SlackWorkspace.start(options) as ws:
        assert ws.bot_token == before["bot_token"]
        assert "remember me" in [one.text for one in ws.messages("#incidents")]
        assert ws.user("alice").home() is not None
        await ws.user("alice").say("#incidents", "and me")
    async with SlackWorkspace.start(options) as ws:
        assert [one.text for one in ws.messages("#incidents")][-1] == "and me"
        for message in ws.everything("#incidents"):
            for file in message.files:
                assert file is ws.state.files[file.id]
