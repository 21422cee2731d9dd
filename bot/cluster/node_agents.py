"""Node agents: pods of our own image that look at their node."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from bot.agent.report import NodeReport, Task
from bot.cluster.kube import Api

DEFAULT_IMAGE = "ghcr.io/cnibot/cnibot:0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """A node's agent. `await ready()` before running it."""

    node: str
    namespace: str
    name: str
    container: str = "agent"
    is_ours_to_delete: bool = False

    async def ready(self) -> None:
        """Return when the agent runs. Errors: `AgentError` says why it does not."""
        raise NotImplementedError


def node_agents(
    api: Api, nodes: Sequence[str], *, namespace: str = "cnibot", image: str = DEFAULT_IMAGE, start_deadline_s: float
) -> AbstractAsyncContextManager[Mapping[str, AgentPod]]:
    """An agent for each of the nodes: found running, else created, and deleted at the end."""
    raise NotImplementedError


async def run_agent(api: Api, agent_pod: AgentPod, task: Task, *, deadline_s: float) -> NodeReport:
    """The node's report, by one exec. Errors: `AgentError`, `DeadlineError`, `ForbiddenError`, `ExecNotFoundError`."""
    raise NotImplementedError
