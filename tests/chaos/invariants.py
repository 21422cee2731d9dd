"""What holds after every scenario: each function gives a sentence for everything that does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from bot.cluster.access.node_agents import DEFAULT_NAMESPACE as AGENTS
from bot.cluster.client.api import Api
from bot.cluster.objects import Namespace, Pod
from tests.chaos import kept, processes
from tests.chaos.answers import answers
from tests.chaos.scenario import Scenario
from tests.chaos.system import MARK, System

CAUSE = "calico-proxy-arp-off"
"""What is wrong in the lab in every scenario: any other certainty is a lie."""
FAULTS_OF_OUR_OWN = ("Traceback (most recent call last)", "bot.part_failed", "outbox.crashed")
MORE_DESCRIPTORS = 40
"""Connections that the pools of the store's and Slack's clients keep at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """As it was before anything failed."""

    commands: frozenset[str]
    """Of the lab's own processes, which may be restarted meanwhile."""
    namespaces: frozenset[str]
    """Kubernetes' own."""
    descriptors: int
    files: frozenset[str]
    """Temporary ones of the bot's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario that is over, with the bot still running or (`exit_code`) ended."""

    scenario: Scenario
    system: System
    before: Before
    log_from: int = 0
    """Where the bot's log of this scenario begins."""
    exit_code: int | None = None


async def before_all(system: System) -> Before:
    """How it is now."""
    async with Api.connect(system.lab.kubeconfig, None) as api:
        namespaces = (await api.list_all("/api/v1/namespaces", Namespace)).items
    return Before(
        commands=frozenset(processes.commands(processes.descendants(system.lab.pid))),
        namespaces=frozenset(each.metadata.name for each in namespaces),
        descriptors=system.bot.descriptors(),
        files=frozenset(each.name for each in system.scratch.iterdir()),
    )


Invariant = Callable[[Played], AsyncIterator[str]]


async def nothing_is_lost(played: Played) -> AsyncIterator[str]:
    """What was accepted has its answer."""
    for request in played.system.requests:
        if request.accepted and not answers(played.system.slack, request).is_complete:
            yield f"{request} was accepted and has no answer"
    left = await kept.waiting(played.system.store)
    if left is None or not left.is_nothing:
        yield f"the store still holds {left}"
    for reason in await kept.given_up(played.system.store):
        yield f"given up: {reason}"


async def nothing_is_done_twice(played: Played) -> AsyncIterator[str]:
    """Each message is there once, each request is answered in one thread, each run ends once."""
    for request in played.system.requests:
        said = answers(played.system.slack, request)
        for key, times in Counter(said.keys).items():
            if times > 1:
                yield f"{request}: the message {key} is there {times} times"
        if len(said.threads) > 1:
            yield f"{request} is answered in {len(said.threads)} threads"
        if len(said.runs) != len(set(said.runs)):
            yield f"{request}: a run has two last words: {said.runs}"
        if len(said.runs) > request.attempts:
            yield f"{request} was asked {request.attempts} times and answered {len(said.runs)} times"


async def every_run_ends(played: Played) -> AsyncIterator[str]:
    """No thread says for ever that it is being diagnosed."""
    for incident in await kept.unfinished(played.system.store):
        yield f"{incident} is diagnosed for ever"


async def nothing_untrue_is_said(played: Played) -> AsyncIterator[str]:
    """The lab is broken in one known way: a verdict may know less, but nothing else for sure."""
    for verdict in await kept.verdicts(played.system.store):
        if verdict.status == "healthy":
            yield f"{verdict.incident} is called healthy"
        if verdict.confidence == "confirmed" and verdict.cause != CAUSE:
            yield f"{verdict.incident} is confirmed to be {verdict.cause}"


async def it_ran(played: Played) -> AsyncIterator[str]:
    """The bot ended only when it was told to, or might."""
    may_end = any(injection.fault.may_end_bot for injection in played.scenario.injections)
    if played.system.bot.ended_by_itself and not may_end:
        yield f"the bot ended by itself with {played.system.bot.ended_by_itself}"
    log = played.system.bot.log.read_bytes()[played.log_from :].decode(errors="replace")
    for sign in FAULTS_OF_OUR_OWN:
        if sign in log:
            yield f"its log has {sign!r} {log.count(sign)} times"


async def no_descriptors_stay_open(played: Played) -> AsyncIterator[str]:
    """Files and sockets of the running bot."""
    now = played.system.bot.descriptors()
    if now > played.before.descriptors + MORE_DESCRIPTORS:
        yield f"the bot has {now} descriptors open; at first it had {played.before.descriptors}"


async def it_ends_in_order(played: Played) -> AsyncIterator[str]:
    """At SIGTERM, with nothing left of it."""
    if played.exit_code != 0:
        yield f"SIGTERM ended the bot with {played.exit_code}"
    for command in processes.commands(processes.marked(MARK, played.system.mark)):
        yield f"a process is left: {command}"
    for path in played.system.scratch.iterdir():
        yield f"a temporary file is left: {path.name}"


async def nothing_is_left_of_the_dead(played: Played) -> AsyncIterator[str]:
    """Processes and temporary files of bots that ended, or of diagnoses that are over."""
    orphans = processes.marked(MARK, played.system.mark) - played.system.bot.pids()
    for command in processes.commands(orphans):
        yield f"a process is left: {command}"
    for path in played.system.scratch.iterdir():
        if path.name not in played.before.files:
            yield f"a temporary file is left: {path.name}"


async def nothing_stays_in_the_cluster(played: Played) -> AsyncIterator[str]:
    """No pods, no processes and so no network namespaces beyond the lab's own; of namespaces, the agents' one."""
    async with Api.connect(played.system.lab.kubeconfig, None) as api:
        listed = await api.list_all(f"/api/v1/namespaces/{AGENTS}/pods", Pod)
        namespaces = {each.metadata.name for each in (await api.list_all("/api/v1/namespaces", Namespace)).items}
    for pod in listed.items:
        yield f"pod {pod.metadata.name} is left"
    for name in namespaces - played.before.namespaces - {AGENTS}:
        yield f"namespace {name} is left"
    running = processes.commands(processes.descendants(played.system.lab.pid))
    for command in set(running) - played.before.commands:
        yield f"a process is left in the cluster: {command}"


async def no_key_lives_for_ever(played: Played) -> AsyncIterator[str]:
    """But those that are meant to."""
    for key in await kept.unbounded(played.system.store):
        yield f"the key {key} has no expiry"


WHILE_IT_RUNS: tuple[Invariant, ...] = (
    nothing_is_lost,
    nothing_is_done_twice,
    every_run_ends,
    nothing_untrue_is_said,
    it_ran,
    no_descriptors_stay_open,
    no_key_lives_for_ever,
)
SOON_AFTER: tuple[Invariant, ...] = (nothing_is_left_of_the_dead, nothing_stays_in_the_cluster)
WHEN_IT_ENDED: tuple[Invariant, ...] = (it_ends_in_order, nothing_stays_in_the_cluster)


async def broken(invariants: tuple[Invariant, ...], played: Played) -> list[str]:
    """A sentence for each that does not hold."""
    found = list[str]()
    for invariant in invariants:
        try:
            found += [f"{invariant.__name__}: {sentence}" async for sentence in invariant(played)]
        except RedisError as error:
            found.append(f"{invariant.__name__}: the store does not answer: {error}")
    return found
