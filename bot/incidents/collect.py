"""Collecting evidence: the snapshot once, then one report from each node in scope, all under one deadline."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from bot.agent.report import NodeReport, Task
from bot.cluster.access import RungDecision, choose_rung
from bot.cluster.exec_rung import report_by_cni_agent, report_by_exec
from bot.cluster.kube import Api
from bot.cluster.node_agents import DEFAULT_IMAGE, AgentPod, node_agents, run_agent, silent_kubelets
from bot.cluster.snapshot import Snapshot, take_snapshot
from bot.domain.errors import BotError, UnknownPodError
from bot.domain.facts import Rung
from bot.domain.report import Unobserved
from bot.incidents.plan import nodes_in_scope, plan_tasks
from bot.incidents.request import OnProgress, Progress, Request
from bot.playbooks.applications import ApplicationDial
from bot.probes.evidence import Evidence

AGENT_DEADLINE_S = 8.0
"""What a node agent may take for its own tests; the exec around it gets a little more."""
SNAPSHOT_SHARE = 0.4
"""The share of the whole time that reading the API may take."""

DialsOf = Callable[[Snapshot], Sequence[ApplicationDial]]


@dataclass(slots=True)
class _Gathered:
    """What the nodes delivered so far: survives a deadline that cuts the rest short."""

    reports: dict[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    rungs: dict[str, Rung] = field(default_factory=dict[str, Rung])
    failed: dict[str, Unobserved] = field(default_factory=dict[str, Unobserved])


async def collect(api: Api, request: Request, dials_of: DialsOf, on_progress: OnProgress) -> Evidence:
    """All that could be seen within the request's time.

    Errors: what makes a diagnosis impossible (`UnknownNamespaceError`, `UnauthorizedError`, `UnreachableError`).
    Anything less is in the evidence's `unobserved`.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + request.timeout_s
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
    left_s = ends_at - loop.time()
    tasks = plan_tasks(evidence, dials_of(snapshot), deadline_s=min(AGENT_DEADLINE_S, max(1.0, left_s - 2.0)))
    gathered = await _look_at_nodes(api, request, evidence, tasks, ends_at, on_progress)
    return dataclasses.replace(
        evidence,
        reports=gathered.reports,
        rungs=gathered.rungs,
        exec_calls=api.exec_calls - before,
        unobserved=(*evidence.unobserved, *snapshot.unobserved, *gathered.failed.values()),
    )


async def _read(api: Api, request: Request) -> tuple[Snapshot, RungDecision]:
    """The snapshot and the rung, read side by side."""
    share_s = request.timeout_s * SNAPSHOT_SHARE
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(take_snapshot(api, request.namespace, deadline_s=share_s, pod=request.pod))
            choosing = group.create_task(
                choose_rung(api, request.access, namespace=request.namespace, bot_namespace=request.bot_namespace)
            )
    except* BotError as errors:
        raise errors.exceptions[0] from errors
    return reading.result(), choosing.result()


def _check_pod(snapshot: Snapshot, name: str | None) -> None:
    names = [pod.metadata.name for pod in snapshot.pods]
    if name is not None and name not in names:
        raise UnknownPodError(snapshot.namespace, name, get_close_matches(name, names, n=3))


def _counted(snapshot: Snapshot) -> str:
    live = sum(not pod.is_finished for pod in snapshot.pods)
    return f"{live} pods, {len(snapshot.nodes)} nodes, {len(snapshot.services)} Services"


Look = Callable[[str, Task], Awaitable[NodeReport]]


async def _look_at_nodes(
    api: Api,
    request: Request,
    evidence: Evidence,
    tasks: Mapping[str, Task],
    ends_at: float,
    on_progress: OnProgress,
) -> _Gathered:
    gathered = _Gathered()
    if evidence.access is Rung.API or not tasks:
        return gathered
    within = asyncio.timeout_at(ends_at)
    try:
        async with within:
            if evidence.access is Rung.AGENT:
                await _by_agents(api, request, evidence, tasks, gathered, ends_at, on_progress)
            else:
                await _all_nodes(tasks, gathered, evidence.access, _by_exec(api, evidence, ends_at), on_progress)
    except TimeoutError:
        if not within.expired():
            raise
    for node in tasks:
        if node not in gathered.reports and node not in gathered.failed:
            why = f"no answer from node {node} within {request.timeout_s:g} s"
            gathered.failed[node] = Unobserved(what=f"node {node}", why=why, remedy=f"kubectl describe node {node}")
            on_progress(Progress(stage="node", state="failed", subject=node, sentence=why))
    return gathered


async def _by_agents(
    api: Api,
    request: Request,
    evidence: Evidence,
    tasks: Mapping[str, Task],
    gathered: _Gathered,
    ends_at: float,
    on_progress: OnProgress,
) -> None:
    left_s = ends_at - asyncio.get_running_loop().time()
    starting = node_agents(
        api,
        tuple(tasks),
        namespace=request.bot_namespace,
        image=request.agent_image or DEFAULT_IMAGE,
        start_deadline_s=max(1.0, left_s - AGENT_DEADLINE_S / 2),
        hopeless=silent_kubelets(evidence.snapshot.nodes),
    )
    try:
        async with starting as agents:
            await _all_nodes(tasks, gathered, Rung.AGENT, _by_agent(api, agents, ends_at), on_progress)
    except BotError as error:
        for node in tasks:
            if node not in gathered.reports:
                gathered.failed[node] = Unobserved(what=f"node {node}", why=str(error))
                on_progress(Progress(stage="node", state="failed", subject=node, sentence=str(error)))


def _by_agent(api: Api, agents: Mapping[str, AgentPod], ends_at: float) -> Look:
    async def look(node: str, task: Task) -> NodeReport:
        agent = agents[node]
        await agent.ready()
        left_s = ends_at - asyncio.get_running_loop().time()
        return await run_agent(api, agent, task, deadline_s=min(left_s, task.deadline_s + 4.0))

    return look


def _by_exec(api: Api, evidence: Evidence, ends_at: float) -> Look:
    async def look(_: str, task: Task) -> NodeReport:
        left_s = ends_at - asyncio.get_running_loop().time()
        if evidence.access is Rung.CNI_AGENT:
            return await report_by_cni_agent(api, task, evidence.cni, deadline_s=left_s)
        return await report_by_exec(api, task, evidence.snapshot, deadline_s=left_s)

    return look


async def _all_nodes(
    tasks: Mapping[str, Task], gathered: _Gathered, rung: Rung, look: Look, on_progress: OnProgress
) -> None:
    """Look at all nodes at once; one that fails is noted and spares the others."""

    async def one(node: str, task: Task) -> None:
        on_progress(Progress(stage="node", state="started", subject=node, sentence=f"{len(task.pods)} pods"))
        try:
            report = await look(node, task)
        except BotError as error:
            gathered.failed[node] = Unobserved(what=f"node {node}", why=str(error))
            on_progress(Progress(stage="node", state="failed", subject=node, sentence=str(error)))
            return
        gathered.reports[node] = report
        gathered.rungs[node] = rung
        sentence = f"{sum(pod.is_found for pod in report.pods)} pods, {len(report.tests)} tests, {report.took_s:.1f} s"
        on_progress(Progress(stage="node", state="done", subject=node, sentence=sentence))

    async with asyncio.TaskGroup() as group:
        for node, task in tasks.items():
            group.create_task(one(node, task))
