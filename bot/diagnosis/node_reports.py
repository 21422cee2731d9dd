"""Looking at nodes: how each rung asks one, and all of them at once. One that fails is noted and spares the others."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from bot.agent.report import NodeReport, Task
from bot.aio.groups import TaskGroup
from bot.cluster.access.exec_rung import report_by_cni_agent, report_by_exec
from bot.cluster.access.machines import check_machine
from bot.cluster.access.node_agents import (
    DEFAULT_IMAGE,
    AgentPod,
    WhenReady,
    node_agents,
    run_agent,
    silent_kubelets,
)
from bot.cluster.client.api import Api
from bot.diagnosis.request import OnProgress, Progress, Request
from bot.domain import facts
from bot.domain.errors import BotError
from bot.domain.facts import Rung
from bot.domain.listing import and_more
from bot.domain.report import Unobserved
from bot.probes.engine.evidence import Evidence

AGENT_DEADLINE_S = 8.0
"""What a node agent may take for its own tests."""
AGENT_START_S = 4.0
"""What it may take beside them, to start and to print; more where the diagnosis has time, for a busy node."""


class Look(Protocol):
    """One node's report. Errors: `BotError`."""

    def __call__(self, node: str, task: Task, /, *, when_ready: WhenReady | None = None) -> Awaitable[NodeReport]:
        """`when_ready`: awaited when the agent listens, before it sends what shall be followed."""
        ...


@dataclass(slots=True)
class Gathered:
    """What the nodes delivered so far: survives a deadline that cuts the rest short."""

    reports: dict[str, NodeReport] = field(default_factory=dict[str, NodeReport])
    rungs: dict[str, Rung] = field(default_factory=dict[str, Rung])
    failed: dict[str, Unobserved] = field(default_factory=dict[str, Unobserved])
    lowered: list[Unobserved] = field(default_factory=list[Unobserved])
    """Rungs that were allowed and did not work."""
    began_at: float = 0.0
    """By the loop's clock."""
    ended_at: float = 0.0

    def fail(self, node: str, why: str, on_progress: OnProgress, remedy: str = "") -> None:
        """Note that a node was not seen."""
        subject = str(facts.node(node))
        if node in self.failed:  # by a higher rung, which would have seen more
            why = f"{self.failed[node].why.rstrip('.')}. {why}"
        self.failed[node] = Unobserved(what=subject, why=why, remedy=remedy, kind="node", subject=subject)
        on_progress(Progress(stage="node", state="failed", subject=node, sentence=why))

    def note_lower(self, rung: Rung, failures: Mapping[str, str]) -> None:
        """Say which of the nodes where `rung` failed were seen by a lower one instead, and why it failed."""
        by_lower: dict[Rung, list[str]] = {}
        for node in failures:
            if node in self.rungs:
                by_lower.setdefault(self.rungs[node], []).append(node)
        for lower, nodes in by_lower.items():
            why = f"It did not work on {and_more(nodes, 1)}, seen by rung {lower} instead: {failures[nodes[0]]}"
            self.lowered.append(Unobserved(what=f"rung {rung}", why=why, kind="access"))


@dataclass(slots=True)
class Looks:
    """Ways to look at nodes, at each by a rung of its own."""

    api: Api
    rung_of: dict[str, Rung]
    """The rung that is used for each node: at first the highest that is allowed, a lower one where it does not work."""
    highest: Rung
    """The highest that is allowed."""
    ends_at: float
    agents: Mapping[str, AgentPod] = field(default_factory=dict[str, AgentPod])
    why_no_agents: BotError | None = None

    def knowing(self, evidence: Evidence) -> Look:
        """How to look, knowing these API objects."""

        async def look(node: str, task: Task, *, when_ready: WhenReady | None = None) -> NodeReport:
            match self.rung_of[node]:
                case Rung.AGENT:
                    report = await self._by_agent(node, task, when_ready)
                case Rung.CNI_AGENT:
                    report = await report_by_cni_agent(self.api, task, evidence.cni, deadline_s=self._left_s())
                case _:  # each pod tells of itself only
                    return await report_by_exec(self.api, task, evidence.snapshot, deadline_s=self._left_s())
            check_machine(report, evidence.nodes)
            return report

        return look

    async def _by_agent(self, node: str, task: Task, when_ready: WhenReady | None) -> NodeReport:
        if self.why_no_agents:
            raise self.why_no_agents
        agent = self.agents[node]
        await agent.ready()
        deadline_s = agent_patience_s(task.deadline_s, self._left_s())
        return await run_agent(self.api, agent, task, deadline_s=deadline_s, when_ready=when_ready)

    def _left_s(self) -> float:
        return self.ends_at - asyncio.get_running_loop().time()


def agent_patience_s(tests_s: float, left_s: float) -> float:
    """How long an agent's report is awaited: up to half of what is left, the other half is a lower rung's."""
    return min(left_s, max(tests_s + AGENT_START_S, left_s / 2))


@asynccontextmanager
async def looking(
    api: Api, request: Request, evidence: Evidence, tasks: Mapping[str, Task], ends_at: float
) -> AsyncGenerator[Looks, None]:
    """Ways to look at the nodes of the tasks, as often as needed until it ends."""
    looks = Looks(api, dict.fromkeys(tasks, evidence.access), evidence.access, ends_at)
    async with AsyncExitStack() as stack:
        if evidence.access is Rung.AGENT and tasks:
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
                looks.agents = await stack.enter_async_context(starting)
            except BotError as error:
                looks.why_no_agents = error
        yield looks


async def all_nodes(
    tasks: Mapping[str, Task], gathered: Gathered, looks: Looks, known: Evidence, on_progress: OnProgress
) -> None:
    """Look at all nodes at once."""
    look = looks.knowing(known)

    async def one(node: str, task: Task) -> None:
        on_progress(Progress(stage="node", state="started", subject=node, sentence=f"{len(task.pods)} pods"))
        try:
            report = await look(node, task)
        except BotError as error:
            gathered.fail(node, str(error), on_progress)
            return
        gathered.reports[node] = report
        gathered.failed.pop(node, None)
        gathered.rungs[node] = looks.rung_of[node]
        sentence = f"{sum(pod.is_found for pod in report.pods)} pods, {len(report.tests)} tests, {report.took_s:.1f} s"
        on_progress(Progress(stage="node", state="done", subject=node, sentence=sentence))

    async with TaskGroup() as group:
        for node, task in tasks.items():
            group.create_task(one(node, task))
