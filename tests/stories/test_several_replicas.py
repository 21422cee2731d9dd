"""Three bots on one Redis, as a Deployment runs them: any may be killed, and each question has one verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bot.lab.slack import SlackWorkspace
from bot.store import open_store
from bot.store.audit import flaws
from tests.conftest import LabUnderTest
from tests.redis import RedisServer
from tests.stories.rollback import SETTINGS, card, proposed, rolled_out, switched_off
from tests.stories.whole_bot import ANSWER_S, CHANNEL, BotProcess, from_bot, running, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.long]
NAMESPACES = ("seldon-mesh", "mlflow", "shop")
CONNECTIONS_OF_AN_APP = 10
"""What Slack allows."""


@pytest.fixture
async def slack() -> AsyncIterator[SlackWorkspace]:
    async with SlackWorkspace.start() as workspace:
        yield workspace


@asynccontextmanager
async def replicas(
    lab: LabUnderTest, slack: SlackWorkspace, directory: Path, redis: RedisServer, **settings: str
) -> AsyncGenerator[list[BotProcess]]:
    """Three that are ready, each with a state of its own and one store for all."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(lab, slack, directory / name, CNIBOT_REDIS_URL=redis.url, **settings)
            )
            for name in ("a", "b", "c")
        ]


async def ask(slack: SlackWorkspace) -> None:
    for namespace in NAMESPACES:
        asked = await slack.user("alice").slash(CHANNEL, "/cni", f"diagnose {namespace}")
        assert asked.acked


async def answered(slack: SlackWorkspace) -> None:
    """Each question has its thread, with one verdict in it, and stays so while everything owed is said."""
    want = len(NAMESPACES)
    found = await slack.until(lambda: verdicts(slack) if len(verdicts(slack)) >= want else [], 2 * ANSWER_S)
    roots = from_bot(slack.messages(CHANNEL), slack.bot_user_id)

    assert len(found) == len(roots) == want
    assert {one.thread_ts for one in found} == {one.ts for one in roots}


async def test_one_is_killed_in_the_middle_and_the_others_go_on(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    with RedisServer() as redis:
        async with replicas(calico_lab, slack, tmp_path, redis) as bots:
            assert len(slack.sockets.connections) <= CONNECTIONS_OF_AN_APP
            await ask(slack)
            await slack.until(lambda: from_bot(slack.messages(CHANNEL), slack.bot_user_id), ANSWER_S)
            await bots[0].kill()
            await answered(slack)
            await bots[0].start()


async def test_a_rollout_takes_one_after_the_other_and_loses_nothing(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    """SIGTERM, then the next one, as maxSurge 0 does it."""
    most = 0
    with RedisServer() as redis:
        async with replicas(calico_lab, slack, tmp_path, redis) as bots:
            await ask(slack)
            for bot in bots:
                assert await bot.stop() == 0
                await bot.start()
                most = max(most, len(slack.sockets.connections))
            await answered(slack)

    assert most <= CONNECTIONS_OF_AN_APP


@pytest.mark.parametrize("killed", [(0,), (1, 2), (0, 1)], ids=str)
async def test_an_approved_plan_is_carried_out_although_replicas_die(
    calico_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path, killed: tuple[int, ...]
) -> None:
    """Whichever of them carries it out: who is left observes what was done, and goes on from there."""
    with RedisServer() as redis:
        async with (
            rolled_out(calico_lab),
            replicas(calico_lab, slack, tmp_path, redis, **SETTINGS) as bots,
            open_store(redis.url, tmp_path / "reading") as store,
        ):
            waiting = await proposed(slack)
            await slack.user("bob").click(CHANNEL, waiting.ts, "cni_plan_approve")
            await slack.until(lambda: card(slack, "RUNNING"), ANSWER_S)
            for number in killed:
                await bots[number].kill()
            (ended,) = await slack.until(lambda: card(slack, "VERIFIED"), 4 * ANSWER_S)

            assert ended.ts == waiting.ts
            assert await switched_off(calico_lab) == []
            lines = [line async for line in store.audit.lines()]
            assert list(flaws(lines, await store.audit.head())) == []
            steps = Counter(one["detail"] for one in map(json.loads, lines) if one["event"] == "step written")
            assert steps, lines
            assert set(steps.values()) == {1}, "a step was done twice"
            for number in killed:
                await bots[number].start()
