import asyncio
import os
import signal
from pathlib import Path

import pytest

from bot.cli.bot_process import BotProcess
from bot.cli.demo import free
from bot.lab.slack import SlackWorkspace


def bot(directory: Path, api_url: str = "http://127.0.0.1:1/api/") -> BotProcess:
    return BotProcess(directory / "kubeconfig", directory, api_url, ("xoxb-1", "xapp-1"))


async def test_a_bot_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its tokens are those of no app."""
    async with SlackWorkspace.start() as slack:
        with pytest.raises(BotProcess.DiedError, match="invalid_auth"):
            async with bot(tmp_path, slack.api_url) as process:
                await process.ready(asyncio.Event(), within_s=60)


async def test_waiting_for_a_bot_ends_when_the_demo_is_to_end(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with bot(tmp_path) as process:
        pid = process.pid
        assert pid is not None
        stop.set()
        assert await process.ready(stop, within_s=60) == ""
        await process.watch(stop)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def test_the_bot_gets_no_settings_of_another_bot_and_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CNIBOT_GRANTS", "SLACK_CLIENT_ID", "https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "theirs")

    environment = bot(tmp_path).environment

    assert "theirs" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


async def test_a_port_that_is_taken_gives_way_to_any_other() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with server:
        taken = server.sockets[0].getsockname()[1]
        assert free(taken) == 0
    assert free(taken) == taken
