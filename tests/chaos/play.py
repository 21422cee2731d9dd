"""Playing a scenario: the bot starts, people ask, things fail and heal, and in the end everything is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

from bot.aio.groups import TaskGroup
from tests.chaos import kept, results
from tests.chaos.answers import answers, key_of
from tests.chaos.asking import ask
from tests.chaos.faults.slack import slack_troubled
from tests.chaos.invariants import CAUSE, WHEN_IT_ENDED, WHILE_IT_RUNS, Played, before_all, broken
from tests.chaos.requests import Request
from tests.chaos.results import Result
from tests.chaos.scenario import Scenario, Struck
from tests.chaos.stage import BrokenLab, Stage, staged

START_S = 180.0
"""What takes longer hangs: on a machine with thirty others at work a start takes more than a minute."""
SETTLE_S = 180.0
"""How long after the last fault everything may take to be said."""
MET, MET_S = 2, 30.0
"""A fault that nobody meets shows nothing: it lasts until so many have met it, but no longer than this."""
LEAVE_S = 20.0
"""How long the cluster may take to remove what was deleted."""
LOOK_S = 0.2


async def play(scenario: Scenario, lab: BrokenLab) -> Result:
    """The result; `broken` is empty when everything holds."""
    result = Result(seed=scenario.seed, faults=tuple(str(each.fault) for each in scenario.strikes))
    async with staged(lab, scenario.channels, has_own_store=scenario.has_own_store) as stage:
        stage.requests.extend(scenario.requests)
        try:
            await _acts(stage, scenario, result)
        except* TimeoutError as errors:
            result.broken += map(str, errors.exceptions)
        finally:
            stage.bot.kill()
            _count(stage, result)
            result.story = f"{stage.timeline}\n\n{_log_end(stage)}"
            results.keep(result)
    return result


async def _acts(stage: Stage, scenario: Scenario, result: Result) -> None:
    async with TaskGroup() as group:
        running = [group.create_task(stage.bot.keep_running()), group.create_task(_listen(stage))]
        try:
            await _until(lambda: stage.bot.is_ready(stage.session), START_S, "the bot is not ready")
            before = await before_all(stage)
            stage.timeline.note("ready")
            await _trouble(stage, scenario)
            if await _settles(stage):
                await _works_again(stage, result)
        finally:
            for task in running:
                task.cancel()
    played = Played(scenario=scenario, stage=stage, before=before)
    result.broken += await broken(WHILE_IT_RUNS, played)
    code = await stage.bot.stop()
    stage.timeline.note(f"stopped with {code}")
    result.broken += await _broken_at_last(replace(played, exit_code=code))


async def _listen(stage: Stage) -> None:
    """Note what the bot posts."""
    async for change in stage.slack.subscribe():
        if change.kind == "message" and change.user == stage.slack.bot_user_id:
            message = stage.slack.message(change.channel, change.ts)
            said = key_of(message) if message else ""
            stage.timeline.note(f"the bot posts {said or 'a file'} in {change.channel}")


async def _trouble(stage: Stage, scenario: Scenario) -> None:
    """Everybody asks, everything fails, at the same time."""
    async with TaskGroup() as group:
        for request in scenario.requests:
            group.create_task(ask(stage, request))
        for struck in scenario.strikes:
            group.create_task(_strike(stage, struck))
    stage.timeline.note("all faults are over, and everybody has asked")


async def _strike(stage: Stage, struck: Struck) -> None:
    await asyncio.sleep(struck.at_s)
    stage.timeline.note(f"begins: {struck.fault}")
    before = _met(struck, stage)
    async with struck.fault.strike(stage, Random(struck.seed)):
        await asyncio.sleep(struck.lasts_s)
        if struck.fault.met:
            with suppress(TimeoutError):
                await stage.slack.until(lambda: _met(struck, stage) - before >= MET, MET_S)
    stage.timeline.note(f"over: {struck.fault}, met {_met(struck, stage) - before} times")


def _met(struck: Struck, stage: Stage) -> int:
    return struck.fault.met(stage) if struck.fault.met else 0


async def _settles(stage: Stage) -> bool:
    """Whether everything was said in time."""

    async def is_settled() -> bool:
        left = await kept.waiting(stage.store)
        is_said = all(answers(stage.slack, each).is_complete for each in stage.requests if each.accepted)
        return left is not None and left.is_nothing and is_said and await stage.bot.is_ready(stage.session)

    try:
        await _until(is_settled, SETTLE_S, "something still waits")
    except TimeoutError as error:
        stage.timeline.note(f"{error}: {await kept.waiting(stage.store)}")
        return False
    stage.timeline.note("settled")
    return True


async def _works_again(stage: Stage, result: Result) -> None:
    """One more command, in good weather: its verdict is as good as ever."""
    request = Request("command", "afterwards", "seldon-mesh", 0.0)
    stage.requests.append(request)
    await ask(stage, request)
    await _settles(stage)
    said = answers(stage.slack, request)
    incidents = {incident for incident, _ in said.runs}
    found = [each for each in await kept.verdicts(stage.store) if each.incident in incidents]
    if [(each.cause, each.confidence) for each in found] != [(CAUSE, "confirmed")]:
        result.broken.append(f"afterwards it says {found}")


async def _broken_at_last(played: Played) -> list[str]:
    """The cluster removes deleted pods in its own time."""
    found = list[str]()

    async def has_left() -> bool:
        found[:] = await broken(WHEN_IT_ENDED, played)
        return not found

    with suppress(TimeoutError):
        await _until(has_left, LEAVE_S, "something is left")
    return found


async def _until(holds: Callable[[], Awaitable[bool]], within_s: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not await holds():  # noqa: ASYNC110 processes tell when they are asked
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise TimeoutError(f"{otherwise} after {within_s:g} s") from error


def _log_end(stage: Stage) -> str:
    return stage.bot.log.read_text(encoding="utf-8", errors="replace")[-6000:] if stage.bot.log.exists() else ""


def _count(stage: Stage, result: Result) -> None:
    result.slack_troubled = slack_troubled(stage)
    result.cluster_troubled = stage.cluster.troubled + stage.cluster.agents_troubled
    for request in stage.requests:
        said = answers(stage.slack, request)
        result.asked += 1
        result.accepted += request.accepted > 0
        result.verdicts += said.verdicts
        result.failures += len(said.runs) - said.verdicts
