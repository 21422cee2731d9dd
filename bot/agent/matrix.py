"""The test matrix: every source against every target, all waiting at once."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bot.agent.attempts import dns_question, icmp_echo, tcp_connect, udp_send
from bot.agent.mtu import climb, ladder
from bot.agent.pacing import Pace, listeners
from bot.agent.report import NODE_KEY, DnsQuestion, MtuStep, Outcome, Purpose, Target, Task, Test
from bot.agent.sources import Source, is_ipv4, patience_for
from bot.agent.waiting import Attempt, Patience
from bot.aio.groups import TaskGroup

IN_FLIGHT = 400
STARTED_TOGETHER = 8
"""Then the event loop looks at what has come back: starting all at once would count as their latency."""
DNS_PORT = 53
OWN_NAMESERVERS = 3
"""As many as a resolver reads from resolv.conf."""
SEARCH_DOMAINS = 6
"""As many as every resolver reads."""
NAMES = 4
"""So many of a source's own names are asked for."""
BURST = 6
LADDER_SOURCES = 2
"""What one pod loses and another does not, the path does not lose."""
BEFORE_SYN_AGAIN_S = 0.9
"""A connection that is tried again anyway need not wait for the kernel to send its SYN a second time, after 1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One test to run: as it stands when it could not be run, and how to run it."""

    test: Test
    run: Callable[[], Awaitable[Test]]
    attempt: Callable[[], Coroutine[None, None, Attempt]] | None = None
    """One try of it, for a test that may be repeated."""


def plan(
    task: Task, sources: Sequence[Source], node: Source, resolvers: Sequence[Source] = (), *, pace: Pace
) -> list[Job]:
    """All tests of a task: from each source pod, and from the node what shall be tested from there too.

    `resolvers` are pods with the node's network: what they reach the node does, only their names are their own.

    Each source starts at another target: routers limit their ICMP errors to about six at once for one receiver, so
    not the same targets shall go without an answer everywhere.
    """
    behind = _endpoints_behind(task)
    jobs: list[Job] = []
    for at, source in enumerate((*sources, node)):
        patience = partial(patience_for, task, source, node, behind=behind)
        own = [
            *_target_jobs(task, source, patience, pace),
            *_question_jobs(task, source, patience, pace),
            *_own_jobs(task, source, patience),
        ]
        start = at * len(own) // (len(sources) + 1) if own else 0
        jobs += own[start:] + own[:start]
    for source in resolvers:
        jobs += _own_jobs(task, source, partial(patience_for, task, source, node, behind=behind))
    for source in (*sources[:LADDER_SOURCES], node):
        patience = partial(patience_for, task, source, node, behind=behind)
        jobs += _ladder_jobs(task, source, patience)
    return jobs


async def run_all(jobs: Sequence[Job], done: Callable[[int, Test], None], started: asyncio.Event) -> None:
    """Run all, at most 400 waiting at once.

    `done(index, test)` is called as each ends, so a cut keeps what is there. `started` is set when all have begun.
    """
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(index: int, job: Job) -> None:
        try:
            done(index, await job.run())
        finally:
            room.release()

    async with TaskGroup() as group:
        for index, job in enumerate(jobs):
            await room.acquire()
            group.create_task(one(index, job))
            if index % STARTED_TOGETHER == STARTED_TOGETHER - 1:
                await asyncio.sleep(0)
        started.set()


def pace_of(task: Task, sources: int) -> Pace:
    """When the connections of a task to each listener start."""
    of = listeners(task.targets, task.questions)
    expected: Counter[Hashable] = Counter()
    for target in task.targets:
        if target.protocol == "tcp":
            expected[of[target.ip, target.port]] += target.tries * sources
    for question in task.questions:
        if question.protocol == "tcp":
            expected[of[question.server, DNS_PORT]] += question.tries * sources
    return Pace(of, expected, task)


def summary(test: Test, attempts: Sequence[Attempt]) -> Test:
    """The test with what came of its tries: the last failure decides, and counts of all."""
    last = next((one for one in reversed(attempts) if one.outcome != "ok"), attempts[-1])
    same = [one.latency_ms for one in attempts if one.outcome == last.outcome]
    counts: Counter[Outcome] = Counter(one.outcome for one in attempts)
    return replace(
        test,
        tries=len(attempts),
        ok=counts["ok"],
        outcome=last.outcome,
        outcomes=dict(counts) if len(attempts) > 1 else {},
        latency_ms=round(statistics.median(same), 3),
        detail=last.detail,
        icmp=last.icmp,
        icmp_from=last.icmp_from,
        rcode=last.rcode,
        answers=last.answers,
    )


def ladder_summary(test: Test, steps: Sequence[MtuStep]) -> Test:
    """A black hole is "timeout", a router that says no "EMSGSIZE"; a refusal of the own device is as it should be."""
    outcomes = Counter(step.outcome for step in steps)
    largest = max((step.size_bytes for step in steps if step.outcome == "ok"), default=0)
    outcome: Outcome = "ok"
    if outcomes["timeout"]:
        outcome = "timeout"
    elif outcomes["frag-needed"]:
        outcome = "EMSGSIZE"
    elif not largest:
        outcome = "error"
    return replace(
        test,
        tries=len(steps),
        ok=outcomes["ok"],
        outcome=outcome,
        outcomes=dict(outcomes),
        detail=f"largest packet that came through: {largest} bytes" if largest else "no size came through",
        mtu_steps=tuple(steps),
    )


def with_doubts(tests: Sequence[Test]) -> tuple[Test, ...]:
    """The tests, with the timeouts marked that may be refusals which a router withheld.

    Linux sends each receiver 6 ICMP errors at once, then one a second (net.ipv4.icmp_ratelimit). Errors that a machine
    sends to itself are not limited, so tests from the node are beyond doubt.
    """
    errors = Counter(
        test.source for test in tests for _ in range(test.tries - test.ok) if test.icmp and test.source != "node"
    )
    return tuple(
        replace(test, may_be_withheld=True)
        if test.outcome == "timeout" and test.protocol != "mtu" and errors[test.source] >= BURST
        else test
        for test in tests
    )


def _endpoints_behind(task: Task) -> dict[str, tuple[str, ...]]:
    """Service address -> addresses of the endpoints behind it, as the task names them."""
    found: dict[str, tuple[str, ...]] = {}
    for service in task.targets:
        if service.purpose == "cluster-ip":
            found[service.ip] = tuple(one.ip for one in task.targets if one.service == service.name)
    return found


def _target_jobs(task: Task, source: Source, patience: Callable[[str], Patience], pace: Pace) -> Iterator[Job]:
    for target in task.targets:
        if not _is_asked_from(target, source):
            continue
        test = Test(
            source=source.key,
            purpose=target.purpose,
            protocol=target.protocol,
            ip=target.ip,
            port=target.port,
            name=target.name,
            node=target.node,
            service=target.service,
            tries=target.tries,
        )
        wait, can_repeat = (
            patience(target.ip),
            target.protocol == "tcp" and target.purpose in {"endpoint", "cluster-ip"},
        )
        if target.tries > 1 or can_repeat:
            wait = replace(wait, first_s=min(wait.first_s, BEFORE_SYN_AGAIN_S))
        attempt = _attempt(source, target, wait)
        if target.protocol != "tcp":
            yield Job(test=test, run=partial(tried, test, attempt))
            continue
        paced = partial(in_turn, pace, target.ip, target.port, attempt)
        yield Job(test=test, run=partial(tried, test, paced), attempt=attempt if can_repeat else None)


def _is_asked_from(target: Target, source: Source) -> bool:
    """Nothing is asked of a source's own address, and some targets only from those that are configured to dial them.

    Pods that share a node's network are configured to dial the node itself, too.
    """
    if source.key == NODE_KEY:
        return target.from_node_too and (target.ip not in source.ips or NODE_KEY in target.sources)
    if target.ip in source.ips:
        return False
    return not target.sources or source.key in target.sources


def _attempt(source: Source, target: Target, patience: Patience) -> Callable[[], Coroutine[None, None, Attempt]]:
    if target.protocol == "tcp":
        return partial(tcp_connect, source.make_socket, target.ip, target.port, patience)
    if target.protocol == "udp":
        return partial(udp_send, source.make_socket, target.ip, target.port, patience)
    return partial(icmp_echo, source.make_socket, target.ip, patience)


def _question_jobs(task: Task, source: Source, patience: Callable[[str], Patience], pace: Pace) -> Iterator[Job]:
    for question in task.questions:
        if question.server not in source.ips:
            yield _question_job(question, question.purpose, source, patience, pace)


def _own_jobs(task: Task, source: Source, patience: Callable[[str], Patience]) -> Iterator[Job]:
    """What the source's own resolver would ask, asked of each of its nameservers by itself: any of them may be dead."""
    for server in source.nameservers[:OWN_NAMESERVERS]:
        if is_ipv4(server):
            for test in _own_questions(task, source, server):
                ask = partial(
                    dns_question,
                    source.make_socket,
                    server,
                    test.name,
                    "tcp" if test.protocol == "dns-tcp" else "udp",
                    patience(server),
                    test.record,
                )
                yield Job(test=test, run=partial(tried, test, ask))


def _own_questions(task: Task, source: Source, server: str) -> Iterator[Test]:
    plain = Test(source=source.key, purpose="dns-own", protocol="dns-udp", ip=server, port=DNS_PORT)
    yield from (replace(plain, name=name) for name in task.own_names)
    for name in task.own_names[:1]:
        yield replace(plain, name=name, record="AAAA")
        yield replace(plain, name=name, protocol="dns-tcp")
    if task.short_name:
        for domain in source.search[:SEARCH_DOMAINS]:
            yield replace(plain, name=f"{task.short_name}.{domain.strip('.')}", asked=task.short_name)
    for asked in source.names[:NAMES]:
        yield from (replace(plain, name=name, asked=asked) for name in _candidates(asked, source))


def _candidates(name: str, source: Source) -> Iterator[str]:
    """What a resolver makes of a name, in its order: with few dots the search list comes first."""
    completed = [f"{name}.{domain.strip('.')}" for domain in source.search[:SEARCH_DOMAINS]]
    if name.endswith("."):
        yield name.rstrip(".")
    elif name.count(".") < source.ndots:
        yield from (*completed, name)
    else:
        yield from (name, *completed)


def _question_job(
    question: DnsQuestion, purpose: Purpose, source: Source, patience: Callable[[str], Patience], pace: Pace
) -> Job:
    test = Test(
        source=source.key,
        purpose=purpose,
        protocol="dns-tcp" if question.protocol == "tcp" else "dns-udp",
        ip=question.server,
        port=DNS_PORT,
        name=question.name,
        service=question.server_name,
        tries=question.tries,
    )
    ask = partial(
        dns_question,
        source.make_socket,
        question.server,
        question.name,
        question.protocol,
        patience(question.server),
    )
    if question.protocol == "tcp":
        ask = partial(in_turn, pace, question.server, DNS_PORT, ask)
    return Job(test=test, run=partial(tried, test, ask))


def _ladder_jobs(task: Task, source: Source, patience: Callable[[str], Patience]) -> Iterator[Job]:
    for target in task.mtu_targets:
        if target.ip in source.ips or not is_ipv4(target.ip):
            continue
        test = Test(
            source=source.key,
            purpose=target.purpose,
            protocol="mtu",
            ip=target.ip,
            name=target.name,
            node=target.node,
        )
        yield Job(test=test, run=partial(_climb, test, source, patience(target.ip)))


async def in_turn(pace: Pace, ip: str, port: int, attempt: Callable[[], Coroutine[None, None, Attempt]]) -> Attempt:
    """What comes of a try that waits for its turn."""
    await pace.turn(ip, port)
    return await attempt()


async def tried(test: Test, attempt: Callable[[], Coroutine[None, None, Attempt]]) -> Test:
    """What comes of a test with all its tries at the same time."""
    async with TaskGroup() as group:
        tries = [group.create_task(attempt()) for _ in range(test.tries)]
    return summary(test, [one.result() for one in tries])


async def _climb(test: Test, source: Source, patience: Patience) -> Test:
    return ladder_summary(test, await climb(source.make_socket, test.ip, ladder(*source.mtus_to(test.ip)), patience))
