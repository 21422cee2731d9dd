"""Following probe packets of flows that fail: one exec on each node of their way, all of them started together.

It may cost two seconds, never a diagnosis: whatever goes wrong here is said, and the evidence stands as it was.
"""

import asyncio
import dataclasses
import random
from collections.abc import Mapping

from bot.agent.report import NodeReport
from bot.agent.traced import TraceFlow
from bot.aio.groups import TaskGroup
from bot.diagnosis.node_reports import Look
from bot.diagnosis.request import OnProgress, Progress
from bot.diagnosis.tracing.plan import TracePlan, plan_trace
from bot.diagnosis.tracing.together import Together
from bot.domain import facts
from bot.domain.errors import BotError
from bot.domain.report import Unobserved
from bot.probes.engine.evidence import Evidence

LIMIT_S = 8.0
"""For all of it: a node under load takes long to start an agent. Usually it takes a quarter of that."""
MARGIN_S = 2.0
"""Of the diagnosis's time: left for the verdict."""


async def followed(evidence: Evidence, look: Look, on_progress: OnProgress, *, ends_at: float) -> Evidence:
    """The evidence with what became of the probe packets; without any where nothing fails, the same if it had none.

    Packets that were followed before stand, as long as they are of all flows that would be followed now.
    """
    plan = plan_trace(evidence, random.Random())
    if plan.flows and {_asked(each) for each in plan.flows} <= {_asked(each) for each in evidence.traced}:
        return evidence
    evidence = _forgotten(evidence)
    if not plan.tasks:
        return evidence
    left_s = ends_at - asyncio.get_running_loop().time() - MARGIN_S
    if left_s < LIMIT_S:
        return _without(evidence, "too little time was left")
    sentence = f"following probe packets of {len(plan.flows)} failing flows"
    on_progress(Progress(stage="access", state="started", sentence=sentence))
    reports: dict[str, NodeReport] = {}
    failures: dict[str, str] = {}
    deadline = asyncio.timeout(LIMIT_S)
    try:
        async with deadline:
            await _all(plan, look, reports, failures)
    except TimeoutError:
        if not deadline.expired():
            raise
    for node in plan.tasks:
        if node not in reports:
            failures.setdefault(node, f"no answer within {LIMIT_S:g} s")
    on_progress(Progress(stage="access", state="done", sentence=f"{len(reports)} nodes reported on the probe packets"))
    return _with(evidence, plan, reports, failures)


def _asked(flow: TraceFlow) -> tuple[str | int, ...]:
    """What a series is sent for, whatever distinguishes it from other packets."""
    return flow.node, flow.source, flow.ip, flow.port, flow.protocol, flow.question


def _forgotten(evidence: Evidence) -> Evidence:
    others = tuple(each for each in evidence.unobserved if each.kind != "trace")
    if not evidence.traced and others == evidence.unobserved:
        return evidence
    return dataclasses.replace(evidence, traced=(), traces={}, unobserved=others)


async def _all(plan: TracePlan, look: Look, reports: dict[str, NodeReport], failures: dict[str, str]) -> None:
    meeting = Together(len(plan.tasks))

    async def one(node: str) -> None:
        has_arrived = False

        async def arrive() -> None:
            nonlocal has_arrived
            has_arrived = True
            await meeting.arrive()

        try:
            reports[node] = await look(node, plan.tasks[node], when_ready=arrive)
        except BotError as error:
            failures[node] = str(error)
        finally:
            if not has_arrived:
                meeting.leave()

    async with TaskGroup() as group:
        for node in plan.tasks:
            group.create_task(one(node))


def _with(
    evidence: Evidence, plan: TracePlan, reports: Mapping[str, NodeReport], failures: Mapping[str, str]
) -> Evidence:
    traces = {node: report.trace for node, report in reports.items() if report.trace}
    unseen = [
        Unobserved(what=f"trace on node {node}", why=why, kind="trace", subject=str(facts.node(node)))
        for node, why in failures.items()
    ]
    unseen += [
        Unobserved(
            what=f"trace on node {node}: {each.what}",
            why=each.why,
            kind="trace",
            subject=str(facts.node(node)),
            part=each.what,
        )
        for node, report in reports.items()
        for each in report.missing
    ]
    return dataclasses.replace(evidence, traced=plan.flows, traces=traces, unobserved=(*evidence.unobserved, *unseen))


def _without(evidence: Evidence, why: str) -> Evidence:
    missed = Unobserved(what="packet trace", why=why, kind="trace")
    return dataclasses.replace(evidence, unobserved=(*evidence.unobserved, missed))
