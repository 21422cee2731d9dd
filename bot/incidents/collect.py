"""Collecting evidence: the snapshot once, then one report from each node in scope, all under one deadline.

A second look follows only where the first shows nothing but what may heal by itself (`bot.incidents.second_look`).
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from bot.agent.report import Task
from bot.aio.failures import first_failure
from bot.cluster.access import RungDecision, choose_rung
from bot.cluster.kube import Api
from bot.cluster.snapshot import Snapshot, take_snapshot
from bot.domain.errors import BotError, UnknownPodError
from bot.domain.facts import Rung, Subject
from bot.domain.report import Unobserved
from bot.incidents.looking import AGENT_DEADLINE_S, Gathered, LookBy, all_nodes, looking
from bot.incidents.plan import nodes_in_scope, plan_tasks
from bot.incidents.request import OnProgress, Progress, Request
from bot.playbooks.applications import ApplicationDial
from bot.probes.evidence import Evidence

SNAPSHOT_SHARE = 0.4
"""The share of the whole time that reading the API may take."""
LOOK_AGAIN_AFTER_S = 2.0
"""From the end of the first look: what is late by less has no name, and an on-call engineer waits no longer."""

DialsOf = Callable[[Snapshot], Sequence[ApplicationDial]]
DoubtsOf = Callable[[Evidence], frozenset[Subject]]
"""The young pods from which all trouble in the evidence stems; empty when some of it stems from elsewhere."""


def no_doubts(_: Evidence) -> frozenset[Subject]:
    """For one look only."""
    return frozenset()


async def collect(
    api: Api, request: Request, dials_of: DialsOf, on_progress: OnProgress, doubts_of: DoubtsOf = no_doubts
) -> Evidence:
    """All that could be seen within the request's time.

    Errors: what makes a diagnosis impossible (`UnknownNamespaceError`, `UnauthorizedError`, `UnreachableError`).
    Anything less is in the evidence's `unobserved`.
    """
    ends_at = asyncio.get_running_loop().time() + request.timeout_s
    before = api.exec_calls
    on_progress(Progress(stage="api", state="started", sentence=f"reading namespace {request.namespace}"))
    snapshot, decision = await _read(api, request)
    on_progress(Progress(stage="api", state="done", sentence=_counted(snapshot)))
    on_progress(Progress(stage="access", state="done", sentence=decision.why))
    evidence = Evidence(
        snapshot=snapshot,
        access=decision.rung,
        pod=request.pod,
        unobserved=tuple(Unobserved(what="access", why=sentence) for sentence in decision.cannot),
    )
    _check_pod(snapshot, request.pod)
    nodes = nodes_in_scope(evidence, limit=request.max_nodes)
    evidence = dataclasses.replace(evidence, nodes_in_scope=nodes)
    collecting = _Collecting(api, request, dials_of, doubts_of, on_progress, ends_at)
    seen = await collecting.look(evidence)
    return dataclasses.replace(seen, exec_calls=api.exec_calls - before)


async def _read(api: Api, request: Request) -> tuple[Snapshot, RungDecision]:
    """The snapshot and the rung, read side by side."""
    share_s = request.timeout_s * SNAPSHOT_SHARE
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(take_snapshot(api, request.namespace, deadline_s=share_s, pod=request.pod))
            choosing = group.create_task(
                choose_rung(api, request.access, namespace=request.namespace, bot_namespace=request.bot_namespace)
            )
    except BaseExceptionGroup as failures:
        raise first_failure(failures, rather=BotError) from failures
    return reading.result(), choosing.result()


def _check_pod(snapshot: Snapshot, name: str | None) -> None:
    names = [pod.metadata.name for pod in snapshot.pods]
    if name is not None and name not in names:
        raise UnknownPodError(snapshot.namespace, name, get_close_matches(name, names, n=3))


def _counted(snapshot: Snapshot) -> str:
    live = sum(not pod.is_finished for pod in snapshot.pods)
    return f"{live} pods, {len(snapshot.nodes)} nodes, {len(snapshot.services)} Services"


@dataclasses.dataclass(frozen=True, slots=True)
class _Collecting:
    """One collection: the looks at the nodes, of which the second must never cost what the first one saw."""

    api: Api
    request: Request
    dials_of: DialsOf
    doubts_of: DoubtsOf
    on_progress: OnProgress
    ends_at: float

    async def look(self, evidence: Evidence) -> Evidence:
        """The evidence with what the nodes told, twice where that was needed."""
        tasks = self._tasks(evidence)
        gathered = Gathered()
        second: Evidence | None = None
        within = asyncio.timeout_at(self.ends_at)
        try:
            async with within, looking(self.api, self.request, evidence, tasks, self.ends_at) as look_by:
                began = asyncio.get_running_loop().time()
                await all_nodes(tasks, gathered, evidence.access, look_by(evidence), self.on_progress)
                took_s = asyncio.get_running_loop().time() - began
                second = await self._again(self._seen(evidence, tasks, gathered), look_by, took_s)
        except TimeoutError:
            if not within.expired():
                raise
        except BotError as error:
            for node in tasks:
                if node not in gathered.reports:
                    gathered.fail(node, str(error), self.on_progress)
        return second or self._seen(evidence, tasks, gathered)

    def _tasks(self, evidence: Evidence) -> Mapping[str, Task]:
        if evidence.access is Rung.API:
            return {}
        left_s = self.ends_at - asyncio.get_running_loop().time()
        deadline_s = min(AGENT_DEADLINE_S, max(1.0, left_s - 2.0))
        return plan_tasks(evidence, self.dials_of(evidence.snapshot), deadline_s=deadline_s)

    def _seen(self, evidence: Evidence, tasks: Mapping[str, Task], gathered: Gathered) -> Evidence:
        for node in tasks:
            if node not in gathered.reports and node not in gathered.failed:
                why = f"no answer from node {node} within {self.request.timeout_s:g} s"
                gathered.fail(node, why, self.on_progress, remedy=f"kubectl describe node {node}")
        return dataclasses.replace(
            evidence,
            reports=gathered.reports,
            rungs=gathered.rungs,
            unobserved=(*evidence.unobserved, *evidence.snapshot.unobserved, *gathered.failed.values()),
        )

    async def _again(self, first: Evidence, look_by: LookBy, took_s: float) -> Evidence | None:
        """The second look where everything wrong stems from young pods; None when there is no need, or no time."""
        pods = self.doubts_of(first)
        needs_s = LOOK_AGAIN_AFTER_S + 2 * took_s + 1.0
        if not pods or self.ends_at - asyncio.get_running_loop().time() < needs_s:
            return None
        sentence = "only pods younger than two minutes are in trouble: looking again"
        self.on_progress(Progress(stage="api", state="started", sentence=sentence))
        await asyncio.sleep(LOOK_AGAIN_AFTER_S)
        try:
            snapshot = await take_snapshot(
                self.api, self.request.namespace, deadline_s=max(1.0, took_s), pod=self.request.pod
            )
        except BotError:
            return None  # the first look stands
        self.on_progress(Progress(stage="api", state="done", sentence=_counted(snapshot)))
        second = dataclasses.replace(first, snapshot=snapshot, first=first)
        if self.request.pod is not None and not second.scope_pods:
            return None
        if first.access is Rung.API or not any(pod in second.pods and second.pods[pod].status.pod_ip for pod in pods):
            return second  # still without an address: there is nothing to test that was not tested
        again = Gathered()
        await all_nodes(self._tasks(second), again, first.access, look_by(second), self.on_progress)
        return dataclasses.replace(
            second, reports={**first.reports, **again.reports}, rungs={**first.rungs, **again.rungs}
        )
