"""A bad revision of the CNI's agent, from the alert to the verified rollback, as four people see it in Slack."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from bot.cli.bot_process import BotProcess
from bot.cli.story import NAMESPACE, StoryContext
from bot.domain.listing import left_out
from bot.lab.slack import SlackWorkspace
from bot.lab.slack.alertmanager import AlertGroup
from bot.lab.slack.message import Message
from bot.slack.views.ids import PROPOSE_FIX
from bot.slack.views.plans import APPROVE, SHOW

BAD_ROLLOUT, CHANNEL = "calico-bad-rollout", "alerts"
ALERT = {"alertname": "SeldonRequestsFail", "namespace": NAMESPACE, "severity": "critical"}
_ANSWER_S = 120.0
_MOST_LINES = 10
_MENTION = re.compile(r"<@U0(\w+)>")
_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")


class RollbackStory:
    """The story, told by what stands in the channel."""

    def __init__(self, story: StoryContext, slack: SlackWorkspace) -> None:
        self._story = story
        self._slack = slack

    async def play(self) -> bool:
        """Whether the bot proposed the rollback, let nobody approve their own plan, and healed the cluster by it."""
        slack, story = self._slack, self._story
        story.say("Next night: a new revision of calico-node brings another VXLAN port, and is stuck on its first node")
        await story.client.break_(BAD_ROLLOUT)
        story.say(f"Alertmanager writes into #{CHANNEL}; nobody types anything")
        root = await slack.alertmanager.notify(AlertGroup(group_labels=ALERT, common_labels=ALERT))
        self._show("Alertmanager", [one["title"] for one in slack.messages(CHANNEL)[-1].attachments])
        verdict = await self._said(root, lambda one: PROPOSE_FIX in one.action_ids)
        self._show("cnibot", verdict.text.splitlines())

        story.say("Alice presses *Propose fix*, and then *Approve*: her own plan")
        alice, bob = slack.user("alice"), slack.user("bob")
        await alice.click(CHANNEL, verdict.ts, PROPOSE_FIX)
        card = await self._said(root, lambda one: APPROVE in one.action_ids)
        self._show("cnibot", card.text.splitlines())
        await alice.click(CHANNEL, card.ts, APPROVE)
        refused = await slack.until(lambda: alice.ephemerals(CHANNEL)[-1:], _ANSWER_S)
        self._show("cnibot, to Alice alone", [refused[0].text])
        still_waits = APPROVE in (await self._said(root, lambda one: one.ts == card.ts)).action_ids

        story.say("Bob approves: calico-node is rolled back, and the probes that found the fault run again")
        await bob.click(CHANNEL, card.ts, APPROVE)
        ended = await self._said(root, lambda one: one.ts == card.ts and one.action_ids == [SHOW])
        self._show("cnibot", ended.text.splitlines())
        return still_waits and (await story.diagnosis()).report.verdict.status == "healthy"

    async def _said(self, root: str, is_it: Callable[[Message], bool]) -> Message:
        """The newest message of the thread that is the one."""

        def found() -> list[Message]:
            return [one for one in self._slack.thread(CHANNEL, root) if is_it(one)]

        return (await self._slack.until(found, _ANSWER_S))[-1]

    def _show(self, who: str, said: Sequence[str]) -> None:
        """What somebody wrote, names and times as Slack shows them."""
        read = [_MENTION.sub(lambda one: f"@{one[1].lower()}", _DATE.sub(r"\1", line)) for line in said]
        lines = [line for line in read if line.strip(" `")]
        hidden = left_out(len(lines) - _MOST_LINES, "lines")
        self._story.console.print(Text(f"{who}:", style="dim"))
        for line in [*lines[:_MOST_LINES], *([f"… {hidden}"] if hidden else [])]:
            self._story.console.print(Text(f"  {line}"), soft_wrap=True)


async def play_rollback(story: StoryContext, directory: Path, ready_s: float) -> bool:
    """The story between a workspace and a bot of its own."""
    async with SlackWorkspace.start() as slack:
        tokens = (slack.bot_token, slack.app_token)
        async with BotProcess(story.client.kubeconfig, directory, slack.api_url, tokens) as bot:
            await bot.ready(asyncio.Event(), ready_s)
            return await RollbackStory(story, slack).play()
