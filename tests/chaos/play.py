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
from tests.chaos.faults.slack import slack_troubled
from tests.chaos.invariants import CAUSE, WHEN_IT_ENDED, WHILE_IT_RUNS, Played, before_all, broken
from tests.chaos.requests import Request
from tests.chaos.results import Result
from tests.chaos.scenario import Injection, Scenario
from tests.chaos.sending import ask
from tests.chaos.system import BrokenLab, System, assembled

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
    result = Result(seed=scenario.seed, faults=tuple(str(each.fault) for each in scenario.injections))
    async with assembled(lab, scenario.channels, has_own_store=scenario.has_own_store) as system:
        system.requests.extend(scenario.requests)
        try:
            await _acts(system, scenario, result)
        except* TimeoutError as errors:
            result.broken += map(str, errors.exceptions)
        finally:
            system.bot.kill()
            _count(system, result)
            result.story = f"{system.timeline}\n\n{_log_end(system)}"
            results.keep(result)
    return result


async def _acts(system: System, scenario: Scenario, result: Result) -> None:
    async with TaskGroup() as group:
        running = [group.create_task(system.bot.keep_running()), group.create_task(_listen(system))]
        try:
            await _until(lambda: system.bot.is_ready(system.session), START_S, "the bot is not ready")
            before = await before_all(system)
            system.timeline.note("ready")
            await _trouble(system, scenario)
            if await _settles(system):
                await _works_again(system, result)
        finally:
            for task in running:
                task.cancel()
    played = Played(scenario=scenario, system=system, before=before)
    result.broken += await broken(WHILE_IT_RUNS, played)
    code = await system.bot.stop()
    system.timeline.note(f"stopped with {code}")
    result.broken += await _broken_at_last(replace(played, exit_code=code))


async def _listen(system: System) -> None:
    """Note what the bot posts."""
    async for change in system.slack.subscribe():
        if change.kind == "message" and change.user == system.slack.bot_user_id:
            message = system.slack.message(change.channel, change.ts)
            said = key_of(message) if message else ""
            system.timeline.note(f"the bot posts {said or 'a file'} in {change.channel}")


async def _trouble(system: System, scenario: Scenario) -> None:
    """Everybody asks, everything fails, at the same time."""
    async with TaskGroup() as group:
        for request in scenario.requests:
            group.create_task(ask(system, request))
        for injection in scenario.injections:
            group.create_task(_inject(system, injection))
    system.timeline.note("all faults are over, and everybody has asked")


async def _inject(system: System, injection: Injection) -> None:
    await asyncio.sleep(injection.at_s)
    system.timeline.note(f"begins: {injection.fault}")
    before = _met(injection, system)
    async with injection.fault.inject(system, Random(injection.seed)):
        await asyncio.sleep(injection.lasts_s)
        if injection.fault.met:
            with suppress(TimeoutError):
                await system.slack.until(lambda: _met(injection, system) - before >= MET, MET_S)
    system.timeline.note(f"over: {injection.fault}, met {_met(injection, system) - before} times")


def _met(injection: Injection, system: System) -> int:
    return injection.fault.met(system) if injection.fault.met else 0


async def _settles(system: System) -> bool:
    """Whether everything was said in time."""

    async def is_settled() -> bool:
        left = await kept.waiting(system.store)
        is_said = all(answers(system.slack, each).is_complete for each in system.requests if each.accepted)
        return left is not None and left.is_nothing and is_said and await system.bot.is_ready(system.session)

    try:
        await _until(is_settled, SETTLE_S, "something still waits")
    except TimeoutError as error:
        system.timeline.note(f"{error}: {await kept.waiting(system.store)}")
        return False
    system.timeline.note("settled")
    return True


async def _works_again(system: System, result: Result) -> None:
    """One more command, in good weather: its verdict is as good as ever."""
    request = Request("command", "afterwards", "seldon-mesh", 0.0)
    system.requests.append(request)
    await ask(system, request)
    await _settles(system)
    said = answers(system.slack, request)
    incidents = {incident for incident, _ in said.runs}
    found = [each for each in await kept.verdicts(system.store) if each.incident in incidents]
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


def _log_end(system: System) -> str:
    return system.bot.log.read_text(encoding="utf-8", errors="replace")[-6000:] if system.bot.log.exists() else ""


def _count(system: System, result: Result) -> None:
    result.slack_troubled = slack_troubled(system)
    result.cluster_troubled = system.cluster.troubled + system.cluster.agents_troubled
    for request in system.requests:
        said = answers(system.slack, request)
        result.asked += 1
        result.accepted += request.accepted > 0
        result.verdicts += said.verdicts
        result.failures += len(said.runs) - said.verdicts
