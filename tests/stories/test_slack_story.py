"""Slack from end to end: the whole bot between a broken cluster and a workspace whose people need an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.options import SlackOptions
from tests.conftest import LabUnderTest
from tests.stories.whole_bot import ANSWER_S, CHANNEL, from_bot, running, verdicts

pytestmark = pytest.mark.lab
DIAGNOSE = "diagnose seldon-mesh"


@pytest.fixture
async def slack() -> AsyncIterator[SlackWorkspace]:
    """A workspace that refuses what Slack would refuse, rates included."""
    async with SlackWorkspace.start(SlackOptions(strict_rates=True)) as workspace:
        yield workspace


async def test_a_slash_command_ends_in_a_verdict_in_its_thread(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    await calico_lab.client.break_("calico-proxy-arp-off", node="node-1")
    async with running(calico_lab, slack, tmp_path / "state"):
        asked = await slack.user("alice").slash(CHANNEL, "/cni", DIAGNOSE)
        assert asked.acked
        (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)
        (root,) = from_bot(slack.messages(CHANNEL), slack.bot_user_id)
        await slack.until(lambda: len(slack.files(CHANNEL)) >= 1, ANSWER_S)

        assert verdict.thread_ts == root.ts
        assert "seldon-mesh" in root.text
        assert slack.user("alice").mention in root.text
        assert "proxy ARP" in verdict.text
        (issue,) = [line for line in verdict.text.splitlines() if "8689" in line]
        assert issue.startswith("*Not* ")
        assert "Replace the CNI" not in verdict.text

        opened = await slack.user("bob").click(CHANNEL, verdict.ts, "cni_details")
        assert opened.acked
        await slack.until(lambda: "calico-proxy-arp-off" in str(slack.user("bob").modals()), ANSWER_S)


async def test_a_mention_is_answered_in_its_own_thread(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with running(calico_lab, slack, tmp_path / "state"):
        root = await slack.user("bob").say(CHANNEL, "Models time out again.")
        await slack.user("alice").say(CHANNEL, f"{slack.mention} {DIAGNOSE}", thread=root)
        (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)

        assert verdict.thread_ts == root
        assert [one.ts for one in slack.messages(CHANNEL)] == [root], "nothing is said outside the thread"


async def test_somebody_of_another_organisation_is_refused_in_private(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    slack.invite(CHANNEL, "eve")
    async with running(calico_lab, slack, tmp_path / "state"):
        await slack.user("alice").slash(CHANNEL, "/cni", DIAGNOSE)
        (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)
        said = len(slack.everything(CHANNEL))

        await slack.user("eve").click(CHANNEL, verdict.ts, "cni_rerun")
        (ephemeral,) = await slack.until(lambda: slack.user("eve").ephemerals(CHANNEL), ANSWER_S)

        assert "organi" in ephemeral.text
        assert len(verdicts(slack)) == 1
        assert len([one for one in slack.everything(CHANNEL) if not one.files]) <= said


async def test_a_storm_of_refusals_loses_nothing(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with running(calico_lab, slack, tmp_path / "state"):
        slack.faults.rate_limit("chat.postMessage", times=4, retry_after=1)
        slack.faults.rate_limit("chat.update", times=4, retry_after=1)
        for namespace in ("seldon-mesh", "mlflow", "shop"):
            await slack.user("alice").slash(CHANNEL, "/cni", f"diagnose {namespace}")
        found = await slack.until(lambda: verdicts(slack) if len(verdicts(slack)) == 3 else [], ANSWER_S)
        roots = from_bot(slack.messages(CHANNEL), slack.bot_user_id)

        assert len(roots) == 3
        assert {one.thread_ts for one in found} == {one.ts for one in roots}


async def test_what_slack_delivers_again_is_done_once(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with running(calico_lab, slack, tmp_path / "state"):
        slack.faults.duplicate(every=1)
        root = await slack.user("alice").say(CHANNEL, f"{slack.mention} {DIAGNOSE}")
        await slack.until(lambda: verdicts(slack), ANSWER_S)
        slack.faults.clear()
        await slack.user("alice").say(CHANNEL, f"{slack.mention} help", thread=root)
        await slack.until(lambda: slack.user("alice").ephemerals(CHANNEL), ANSWER_S)

        assert len(verdicts(slack)) == 1


async def test_a_socket_that_breaks_in_the_middle_costs_nothing(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with running(calico_lab, slack, tmp_path / "state"):
        await slack.user("alice").slash(CHANNEL, "/cni", DIAGNOSE)
        slack.faults.drop_sockets()
        await slack.until(lambda: verdicts(slack), ANSWER_S)
        await slack.until(lambda: slack.sockets.connections, ANSWER_S)
        asked = await slack.user("alice").slash(CHANNEL, "/cni", "diagnose shop")

        assert asked.acked
        await slack.until(lambda: len(verdicts(slack)) == 2, ANSWER_S)


async def test_a_killed_bot_finishes_the_thread_when_it_is_back(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with running(calico_lab, slack, tmp_path / "state") as bot:
        slack.faults.server_error("chat.postMessage", times=1000)
        asked = await slack.user("alice").slash(CHANNEL, "/cni", DIAGNOSE)
        assert asked.acked
        await bot.kill()
        slack.faults.clear()
        assert not from_bot(slack.everything(CHANNEL), slack.bot_user_id)

        await bot.start()
        (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)
        (root,) = from_bot(slack.messages(CHANNEL), slack.bot_user_id)

        assert verdict.thread_ts == root.ts
