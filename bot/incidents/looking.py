"""Looking at nodes: how each rung asks one, and all of them at once. One that fails is noted and spares the others."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.agent.report import NodeReport, Task
from bot.cluster.exec_rung import report_by_cni_agent, report_by_exec
from bot.cluster.kube import Api
from bot.cluster.node_agents import DEFAULT_IMAGE, AgentPod, node_agents, run_agent, silent_kubelets
from bot.domain.errors import BotError
from bot.domain.facts import Rung
from bot.domain.report import Unobserved
from bot.incidents.request import OnProgress, Progress, Request
from bot.probes.evidence import Evidence

AGENT_DEADLINE_S = 8.0
"""What a node agent may take for its own tests; the exec around it gets a little more."""

Look = Callable[[str, Task], Awaitable[NodeReport]]
"""One node's report. Errors: `BotError`."""
LookBy = Callable[[Evidence], Look]
"""How to look, knowing these API objects."""


@dataclass(slots=True)
class Gathered:
    """What the nodes delivered so far: survives a deadline that cuts the rest short."""

    reports: dict[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    rungs: dict[str, Rung] = field(default_factory=dict[str, Rung])
    failed: dict[str, Unobserved] = field(default_factory=dict[str, Unobserved])

    def fail(self, node: str, why: str, on_progress: OnProgress, remedy: str = "") -> None:
        """Note that a node was not seen."""
        self.failed[node] = Unobserved(what=f"node {node}", why=why, remedy=remedy)
        on_progress(Progress(stage="node", state="failed", subject=node, sentence=why))


@asynccontextmanager
async def looking(
    api: Api, request: Request, evidence: Evidence, tasks: Mapping[str, Task], ends_at: float
) -> AsyncGenerator[LookBy, None]:
    """Ways to look at the nodes of the tasks, as often as needed until it ends. Errors: `BotError` of agents."""
    if evidence.access is not Rung.AGENT or not tasks:
        yield lambda known: _by_exec(api, known, ends_at)
        return
    left_s = ends_at - asyncio.get_running_loop().time()
    starting = node_agents(
        api,
        tuple(tasks),
        namespace=request.bot_namespace,
        image=request.agent_image or DEFAULT_IMAGE,
        start_deadline_s=max(1.0, left_s - AGENT_DEADLINE_S / 2),
        hopeless=silent_kubelets(evidence.snapshot.nodes),
    )
    async with starting as agents:
        yield lambda _: _by_agent(api, agents, ends_at)


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


async def all_nodes(
    tasks: Mapping[str, Task], gathered: Gathered, rung: Rung, look: Look, on_progress: OnProgress
) -> None:
    """Look at all nodes at once."""

    async def one(node: str, task: Task) -> None:
        on_progress(Progress(stage="node", state="started", subject=node, sentence=f"{len(task.pods)} pods"))
        try:
            report = await look(node, task)
        except BotError as error:
            gathered.fail(node, str(error), on_progress)
            return
        gathered.reports[node] = report
        gathered.rungs[node] = rung
        sentence = f"{sum(pod.is_found for pod in report.pods)} pods, {len(report.tests)} tests, {report.took_s:.1f} s"
        on_progress(Progress(stage="node", state="done", subject=node, sentence=sentence))

    async with asyncio.TaskGroup() as group:
        for node, task in tasks.items():
            group.create_task(one(node, task))
