"""Plans that bring Cilium, proposed and approved by two people in Slack."""

from __future__ import annotations

import json
from pathlib import Path

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from tests.remediation.cilium.supplies import vendored
from tests.stories.whole_bot import ANSWER_S, CHANNEL

LONG_S = 6 * ANSWER_S
"""A plan of many steps, with two diagnoses, on a busy machine."""


def settings(directory: Path) -> dict[str, str]:
    """A bot that may carry plans out, with Cilium's chart."""
    chart = vendored(directory)
    cilium = {"chart": str(chart.archive), "sha256": chart.sha256, "helm": chart.helm}
    approvals = {"CNIBOT_REMEDIATION": "execute", "CNIBOT_APPROVALS": json.dumps({"r3": 1})}
    return approvals | {"CNIBOT_CILIUM": json.dumps(cilium), "CNIBOT_TIMEOUT_S": "300"}


def card(slack: SlackWorkspace, word: str) -> list[Message]:
    """The cards of plans with this word."""
    return [one for one in slack.everything(CHANNEL) if "cni_plan_show" in one.action_ids and word in one.text]


async def approved_by_another(slack: SlackWorkspace, word: str) -> Message:
    """The card with this word: alice's own click is turned down, bob approves."""
    alice, bob = slack.user("alice"), slack.user("bob")
    (proposed,) = await slack.until(lambda: card(slack, f"WAITING FOR APPROVAL: {word}"), LONG_S)
    await alice.click(CHANNEL, proposed.ts, "cni_plan_approve")
    whispers = "another person has to approve it"
    await slack.until(lambda: [one for one in alice.ephemerals(CHANNEL) if whispers in one.text], ANSWER_S)
    await bob.click(CHANNEL, proposed.ts, "cni_plan_approve")
    return proposed
