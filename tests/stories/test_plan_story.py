"""A bad revision of calico-node switches proxy ARP off; the thread, the plan, two people, and the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.lab.slack import SlackWorkspace
from bot.store import open_store
from bot.store.audit import flaws
from tests.conftest import LabUnderTest
from tests.stories.rollback import SETTINGS, card, proposed, rolled_out, switched_off
from tests.stories.whole_bot import ANSWER_S, CHANNEL, running

pytestmark = pytest.mark.lab


@pytest.fixture
async def slack() -> AsyncIterator[SlackWorkspace]:
    async with SlackWorkspace.start() as workspace:
        yield workspace


async def test_a_bad_revision_is_rolled_back_by_two_people_and_the_audit_tells_it(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with rolled_out(calico_lab), running(calico_lab, slack, state, **SETTINGS):
        alice, bob = slack.user("alice"), slack.user("bob")
        waiting = await proposed(slack)
        assert "harden-sysctls" in waiting.text

        await alice.click(CHANNEL, waiting.ts, "cni_plan_approve")
        await slack.until(
            lambda: [one for one in alice.ephemerals(CHANNEL) if "another person has to approve it" in one.text],
            ANSWER_S,
        )
        assert len(await switched_off(calico_lab)) == 1, "nothing has changed yet"

        await bob.click(CHANNEL, waiting.ts, "cni_plan_approve")
        (ended,) = await slack.until(lambda: card(slack, "VERIFIED"), ANSWER_S)
        assert ended.ts == waiting.ts
        assert await switched_off(calico_lab) == []

    async with open_store(None, state) as store:
        lines = [line async for line in store.audit.lines()]
        assert list(flaws(lines, await store.audit.head())) == []
        text = b"\n".join(lines).decode()
        for part in ("proposed", slack.user("alice").id, "approved", slack.user("bob").id, "step written", "verified"):
            assert part in text
