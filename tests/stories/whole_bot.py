"""The whole bot as a process of its own, with a Redis of its own, between a lab cluster and a lab Slack workspace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from tests.conftest import LabUnderTest
from tests.programs import ending_with_us

READY_S = 60.0
ANSWER_S = 60.0
"""How long a story waits for what takes a second on an idle machine."""
CHANNEL = "incidents"


def grants(slack: SlackWorkspace) -> list[dict[str, list[str]]]:
    """What the stories' people may do: every full member may diagnose, members of @sre watch as well."""
    everything = ["diagnose", "read", "share", "feedback", "watch", "propose", "approve"]
    return [{"actions": everything, "users": ["*"], "groups": [], "clusters": ["*"], "namespaces": ["*"]}]


def environment(lab: LabUnderTest, slack: SlackWorkspace, state: Path, **settings: str) -> dict[str, str]:
    """The bot's settings, as an operator would give them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CNIBOT_", "SLACK_"))}
    return inherited | {
        "CNIBOT_STATE_DIR": str(state),
        "CNIBOT_CLUSTERS": json.dumps({"lab": {"kubeconfig": str(lab.kubeconfig)}}),
        "CNIBOT_GRANTS": json.dumps(grants(slack)),
        "CNIBOT_SLACK_API_URL": slack.api_url,
        "CNIBOT_SLACK_BOT_TOKEN": slack.bot_token,
        "CNIBOT_SLACK_APP_TOKEN": slack.app_token,
        "CNIBOT_HTTP_PORT": "0",
        "CNIBOT_HEALTH_PORT": "0",
        **settings,
    }


@dataclass
class BotProcess:
    """`cnibot serve`, started anew as often as a story wants."""

    env: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> str:
        """Until it says that it is ready; what it says."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *ending_with_us(sys.executable, "-m", "bot", "serve"),
                env=dict(self.env),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_S):
            said = (await self.process.stdout.readline()).decode()
        assert said, f"the bot ended before it was ready:\n{self.log.read_text()[-3000:]}"
        return said

    async def kill(self) -> None:
        """As the kernel does when memory is short: no goodbye."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """As Kubernetes does; its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(READY_S):
            return await self.process.wait()


@asynccontextmanager
async def running(lab: LabUnderTest, slack: SlackWorkspace, state: Path, **settings: str) -> AsyncGenerator[BotProcess]:
    """A bot that is ready; gone afterwards, however the story ends."""
    bot = BotProcess(env=environment(lab, slack, state, **settings), log=state.with_suffix(".log"))
    try:
        await bot.start()
        yield bot
        assert await bot.stop() == 0, bot.log.read_text()[-3000:]
    finally:
        await bot.kill()


def from_bot(messages: list[Message], bot_user: str) -> list[Message]:
    """The bot's own messages."""
    return [one for one in messages if one.user == bot_user]


def verdicts(slack: SlackWorkspace, channel: str = CHANNEL) -> list[Message]:
    """The messages that carry a verdict: those with its buttons."""
    return [one for one in slack.everything(channel) if "cni_details" in one.action_ids]
