"""Collecting evidence: the snapshot once, then one report from each node in scope, all under one deadline.

A second look follows only where the first leaves doubts (`bot.diagnosis.second_look`).
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from bot.agent.report import Task
from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup
from bot.cluster.access.ladder import LADDER, RungDecision, choose_rung
from bot.cluster.access.node_agents import silent_kubelets
from bot.cluster.client.api import Api
from bot.cluster.snapshot.agent_logs import READ_S, read_agent_logs
from bot.cluster.snapshot.asked_pods import check_pod
from bot.cluster.snapshot.reader import take_snapshot
from bot.cluster.snapshot.snapshot import Snapshot
from bot.diagnosis.agent_tasks import nodes_in_scope, plan_tasks
from bot.diagnosis.node_reports import AGENT_DEADLINE_S, Gathered, Looks, all_nodes, looking
from bot.diagnosis.request import OnProgress, Progress, Request
from bot.diagnosis.tracing.follow import followed
from bot.domain.errors import BotError, PodsHiddenError
from bot.domain.facts import Rung, Subject
from bot.domain.report import Unobserved
from bot.playbooks.applications import ApplicationDial, expected, needed
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.sentences import plural

SNAPSHOT_SHARE = 0.4
"""The share of the whole time that reading the API may take."""
MAX_LOG_NODES = 4
LOOK_AGAIN_AFTER_S = 2.0
"""From the end of the first look: what is late by less has no name, and an on-call engineer waits no longer."""

DialsOf = Callable[[Snapshot], Sequence[ApplicationDial]]
DoubtsOf = Callable[[Evidence], frozenset[Subject]]
"""The pods that are worth a second look; empty when the first one settles it."""


def no_doubts(_: Evidence) -> frozenset[Subject]:
    """For one look only."""
    return frozenset()


async def collect(
    api: Api, request: Request, dials_of: DialsOf, on_progress: OnProgress, doubts_of: DoubtsOf = no_doubts
) -> Evidence:
    """All that could be seen within the request's time.

    Errors: what makes a diagnosis impossible (`UnknownNamespaceError`, `UnknownPodError`, `PodsHiddenError`,
    `UnauthorizedError`, `UnreachableError`).
    Anything less is in the evidence's `unobserved`.
    """
    ends_at = asyncio.get_running_loop().time() + request.timeout_s
    before = api.exec_calls
    on_progress(Progress(stage="api", state="started", sentence=f"reading namespace {request.namespace}"))
    snapshot, decision = await _read(api, request)
    if not (request.nodes or request.all_nodes):
        _check_listed(snapshot)
    check_pod(snapshot.namespace, snapshot.pods, request.pod)
    on_progress(Progress(stage="api", state="done", sentence=_counted(snapshot)))
    on_progress(Progress(stage="access", state="done", sentence=decision.why))
    found = dials_of(snapshot)
    evidence = Evidence(
        snapshot=snapshot,
        access=decision.rung,
        pod=request.pod,
        dials=needed(found),
        expected=expected(found),
        unobserved=tuple(Unobserved(what="access", why=sentence, kind="access") for sentence in decision.cannot),
    )
    nodes = nodes_in_scope(evidence, limit=request.max_nodes, named=request.nodes, all_nodes=request.all_nodes)
    evidence = dataclasses.replace(evidence, nodes_in_scope=nodes)
    collecting = _Collecting(api, request, dials_of, doubts_of, on_progress, ends_at)
    seen = await collecting.look(evidence)
    return dataclasses.replace(seen, exec_calls=api.exec_calls - before)


async def _read(api: Api, request: Request) -> tuple[Snapshot, RungDecision]:
    """The snapshot and the rung, read side by side."""
    share_s = request.timeout_s * SNAPSHOT_SHARE
    try:
        async with TaskGroup() as group:
            reading = group.create_task(_snapshot(api, request, deadline_s=share_s))
            choosing = group.create_task(
                choose_rung(api, request.access, namespace=request.namespace, bot_namespace=request.bot_namespace)
            )
    except BaseExceptionGroup as failures:
        raise first_failure(failures, rather=BotError) from failures
    return reading.result(), choosing.result()


async def _snapshot(api: Api, request: Request, *, deadline_s: float) -> Snapshot:
    """What the API holds about what is asked."""
    return await take_snapshot(
        api,
        request.namespace,
        deadline_s=deadline_s,
        pod=request.pod,
        nodes=request.nodes,
        all_nodes=request.all_nodes,
        most_nodes=request.max_nodes,
    )


def _check_listed(snapshot: Snapshot) -> None:
    """What may not be listed is not empty: without the namespace's pods nothing is known, nor that it exists."""
    for missed in snapshot.unobserved:
        is_own = any(read.plural == "pods" and read.namespace == snapshot.namespace for read in missed.reads)
        if is_own and missed.remedy and not snapshot.pods:
            raise PodsHiddenError(snapshot.namespace, missed.remedy)


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
        """The evidence with what the nodes reported, twice where that was needed."""
        tasks = self._tasks(evidence)
        gathered = Gathered()
        second: Evidence | None = None
        within = asyncio.timeout_at(self.ends_at)
        try:
            async with within, looking(self.api, self.request, evidence, tasks, self.ends_at) as looks:
                gathered.began_at = asyncio.get_running_loop().time()
                await all_nodes(tasks, gathered, looks, evidence, self.on_progress)
                await self._by_lower_rungs(evidence, tasks, gathered, looks)
                gathered.ended_at = asyncio.get_running_loop().time()
                first = self._seen(evidence, tasks, gathered)
                doubtful = self.doubts_of(first)
                # What packets show often settles it, and takes less than the pause before a second look.
                if doubtful and (traced := await self._followed(first, looks)) is not first:
                    second = first = traced
                    doubtful = self.doubts_of(first)
                if doubtful:
                    second = first = await self._with_logs(first, doubtful)
                    second = await self._again(first, gathered, doubtful, looks) or first
                    second = await self._followed(second, looks)
        except TimeoutError:
            if not within.expired():
                raise
        except BotError as error:
            for node in tasks:
                if node not in gathered.reports:
                    gathered.fail(node, str(error), self.on_progress)
        return second or self._seen(evidence, tasks, gathered)

    async def _followed(self, evidence: Evidence, looks: Looks) -> Evidence:
        """With what became of probe packets of flows that fail, where agents can follow them."""
        if not self.request.with_trace or evidence.access is not Rung.AGENT:
            return evidence
        return await followed(evidence, looks.knowing(evidence), self.on_progress, ends_at=self.ends_at)

    async def _by_lower_rungs(
        self, evidence: Evidence, tasks: Mapping[str, Task], gathered: Gathered, looks: Looks
    ) -> None:
        """Look at nodes where a rung was allowed and did not work by the next lower one that does.

        A right says that pods may be made, not that PodSecurity, a quota or the image's registry lets them start.
        """
        silent = silent_kubelets(evidence.snapshot.nodes)  # who runs no agent runs no command either
        first = {node: each.why for node, each in gathered.failed.items()}
        rung = evidence.access
        try:
            while missing := {node: tasks[node] for node in gathered.failed if node not in silent}:
                lower = await self._next_lower(rung)
                if lower is Rung.API:
                    break
                sentence = f"rung {rung} did not work on {plural(len(missing), 'node')}: looking by rung {lower}"
                self.on_progress(Progress(stage="access", state="started", sentence=sentence))
                looks.rung_of |= dict.fromkeys(missing, lower)
                await all_nodes(missing, gathered, looks, evidence, self.on_progress)
                rung = lower
        finally:
            gathered.note_lower(evidence.access, first)

    async def _next_lower(self, rung: Rung) -> Rung:
        """The highest rung below this one that is allowed."""
        below = LADDER[: LADDER.index(rung)]
        if not below:
            return Rung.API
        try:
            decision = await choose_rung(
                self.api, below[-1], namespace=self.request.namespace, bot_namespace=self.request.bot_namespace
            )
        except BotError:
            return Rung.API
        return decision.rung

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
            access=max(gathered.rungs.values(), key=LADDER.index, default=Rung.API) if tasks else evidence.access,
            reports=gathered.reports,
            rungs=gathered.rungs,
            unobserved=(
                *evidence.unobserved,
                *gathered.lowered,
                *evidence.snapshot.unobserved,
                *gathered.failed.values(),
            ),
        )

    async def _with_logs(self, evidence: Evidence, pods: frozenset[Subject]) -> Evidence:
        """With the logs of the agents on these pods' nodes, those of pods that are not ready first."""
        by_need = sorted(pods, key=lambda pod: (evidence.pods[pod].is_ready if pod in evidence.pods else True, pod))
        nodes = [node for node in dict.fromkeys(map(evidence.node_of, by_need)) if node][:MAX_LOG_NODES]
        left_s = self.ends_at - asyncio.get_running_loop().time()
        logs, missed = await read_agent_logs(self.api, evidence.snapshot, nodes, deadline_s=min(READ_S, left_s / 4))
        return dataclasses.replace(
            evidence,
            snapshot=replace(evidence.snapshot, agent_logs=logs),
            unobserved=(*evidence.unobserved, *missed),
        )

    async def _again(
        self, first: Evidence, gathered: Gathered, pods: frozenset[Subject], looks: Looks
    ) -> Evidence | None:
        """The second look at pods where the first leaves doubts; None when there is no time."""
        took_s, now = gathered.ended_at - gathered.began_at, asyncio.get_running_loop().time()
        pause_s = max(0.0, gathered.ended_at + LOOK_AGAIN_AFTER_S - now)
        if self.ends_at - now < pause_s + 2 * took_s + 1.0:
            return None
        sentence = "the first look leaves doubts: looking again"
        self.on_progress(Progress(stage="api", state="started", sentence=sentence))
        await asyncio.sleep(pause_s)
        try:
            snapshot = await _snapshot(self.api, self.request, deadline_s=max(1.0, took_s))
        except BotError:
            return None  # the first look stands
        self.on_progress(Progress(stage="api", state="done", sentence=_counted(snapshot)))
        snapshot = replace(snapshot, agent_logs=first.snapshot.agent_logs)
        found = self.dials_of(snapshot)
        second = dataclasses.replace(
            first, snapshot=snapshot, dials=needed(found), expected=expected(found), first=first
        )
        if self.request.pod is not None and not second.scope_pods:
            return None
        has_address = any(pod in second.pods and second.pods[pod].status.pod_ip for pod in pods)
        if looks.highest is Rung.API or not has_address:
            return second  # still without an address: there is nothing to test that was not tested
        tasks, again = self._tasks(dataclasses.replace(second, access=looks.highest)), Gathered()
        looks.rung_of |= dict.fromkeys(tasks, looks.highest)  # what did not work once may work now
        await all_nodes(tasks, again, looks, second, self.on_progress)
        await self._by_lower_rungs(dataclasses.replace(second, access=looks.highest), tasks, again, looks)
        return _with_reports(second, again, gathered)


def _with_reports(second: Evidence, again: Gathered, before: Gathered) -> Evidence:
    """The evidence with what nodes delivered when they were looked at again; of those that did not, what was seen."""
    rungs = {**before.rungs, **again.rungs}
    stale = [before.failed[node] for node in before.failed if node in again.reports]
    stale += before.lowered if again.reports.keys() >= before.reports.keys() else []
    return dataclasses.replace(
        second,
        access=max(rungs.values(), key=LADDER.index, default=second.access),
        reports={**before.reports, **again.reports},
        rungs=rungs,
        unobserved=(*(each for each in second.unobserved if each not in stale), *again.lowered),
    )
