"""Playing a bot's life: people ask, things fail and heal, and after each scenario everything is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from bot.aio.groups import TaskGroup
from tests.chaos import kept, results
from tests.chaos.answers import answers, key_of
from tests.chaos.faults.slack import slack_troubled
from tests.chaos.invariants import (
    CAUSE,
    SOON_AFTER,
    WHEN_IT_ENDED,
    WHILE_IT_RUNS,
    Before,
    Invariant,
    Played,
    before_all,
    broken,
)
from tests.chaos.requests import Request
from tests.chaos.results import Result
from tests.chaos.scenario import Injection, Life, Scenario
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


async def play(life: Life, lab: BrokenLab) -> list[Result]:
    """The results of its scenarios, up to the first in which a promise was broken: what follows proves little."""
    found = list[Result]()
    channels = tuple(channel for scenario in life.scenarios for channel in scenario.channels)
    options = {"has_own_store": life.has_own_store, "has_pictures": life.has_pictures}
    async with assembled(lab, channels, **options) as system:
        try:
            await _live(system, life, found)
        finally:
            system.bot.kill()
            for result in found:
                result.story = f"{system.timeline}\n\n{_log_end(system)}"
                results.keep(result)
    return found


async def _live(system: System, life: Life, found: list[Result]) -> None:
    async with TaskGroup() as group:
        running = [group.create_task(system.bot.keep_running()), group.create_task(_listen(system))]
        try:
            await _until(lambda: system.bot.is_ready(system.session), START_S, "the bot is not ready")
            before = await before_all(system)
            for scenario in life.scenarios:
                result = Result(seed=scenario.seed, faults=tuple(str(each.fault) for each in scenario.injections))
                found.append(result)
                await _scenario(system, scenario, before, result)
                if result.broken:
                    return
        finally:
            for task in running:
                task.cancel()
    code = await system.bot.stop()
    system.timeline.note(f"stopped with {code}")
    last = Played(scenario=life.scenarios[-1], system=system, before=before, exit_code=code)
    found[-1].broken += await _broken_at_last(WHEN_IT_ENDED, last)


async def _scenario(system: System, scenario: Scenario, before: Before, result: Result) -> None:
    """One of the bot's bad days, and what is broken after it."""
    system.timeline.note(f"scenario {scenario.seed}")
    system.requests = list(scenario.requests)
    system.bot.ended_by_itself.clear()
    log_from = system.bot.log.stat().st_size
    slack, cluster = slack_troubled(system), system.cluster.troubled + system.cluster.agents_troubled
    try:
        await _trouble(system, scenario)
        if await _settles(system):
            await _works_again(system, scenario, result)
    except* TimeoutError as errors:
        result.broken += map(str, errors.exceptions)
    played = Played(scenario=scenario, system=system, before=before, log_from=log_from)
    result.broken += await broken(WHILE_IT_RUNS, played)
    result.broken += await _broken_at_last(SOON_AFTER, played)
    result.slack_troubled = slack_troubled(system) - slack
    result.cluster_troubled = system.cluster.troubled + system.cluster.agents_troubled - cluster
    _count(system, result)


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


async def _works_again(system: System, scenario: Scenario, result: Result) -> None:
    """One more command, in good weather: its verdict is as good as ever."""
    request = Request("command", scenario.afterwards, "seldon-mesh", 0.0)
    system.requests.append(request)
    await ask(system, request)
    await _settles(system)
    said = answers(system.slack, request)
    incidents = {incident for incident, _ in said.runs}
    found = [each for each in await kept.verdicts(system.store) if each.incident in incidents]
    if [(each.cause, each.confidence) for each in found] != [(CAUSE, "confirmed")]:
        result.broken.append(f"afterwards it says {found}")


async def _broken_at_last(invariants: tuple[Invariant, ...], played: Played) -> list[str]:
    """The cluster removes deleted pods in its own time."""
    found = list[str]()

    async def has_left() -> bool:
        found[:] = await broken(invariants, played)
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
    for request in system.requests:
        said = answers(system.slack, request)
        result.asked += 1
        result.accepted += request.accepted > 0
        result.verdicts += said.verdicts
        result.failures += len(said.runs) - said.verdicts
