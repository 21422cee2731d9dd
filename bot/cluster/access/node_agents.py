"""Node agents: pods of our own image that look at their node. Found where they run, else made for one diagnosis."""

import asyncio
import getpass
import os
import re
import secrets
import socket
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from bot.agent.report import REPORT_SCHEMA, NodeReport, Task
from bot.agent.traced import READY
from bot.aio.each import each
from bot.aio.groups import TaskGroup
from bot.cluster.access.agent_pod import (
    AGENT_COMMAND,
    AGENT_NAMES,
    CONTAINER,
    DEFAULT_IMAGE,
    DEFAULT_NAMESPACE,
    EXPIRES_ANNOTATION,
    NAME,
    NAME_LABEL,
    OF_CNIBOT,
    OWNER_ANNOTATION,
    RUN_LABEL,
    agent_namespace,
    by_digest,
    on_demand_pod,
)
from bot.cluster.access.exec import Cue, run_in_pod
from bot.cluster.access.pod_start import admission_remedy, progress_of, trouble_of
from bot.cluster.client.api import Api, Listed
from bot.cluster.client.paths import api_path
from bot.cluster.objects import Namespace, Node, Pod
from bot.domain.errors import (
    AgentError,
    BotError,
    ConflictError,
    ExecNotFoundError,
    ForbiddenError,
    NotFoundError,
    bounded,
)

__all__ = ["DEFAULT_IMAGE", "AgentPod", "node_agents", "run_agent", "silent_kubelets"]

TTL_S = 300
SWEEP_MARGIN = timedelta(minutes=1)
"""Clocks differ."""
CLEANUP_S = 5.0
RETRY_S = 0.3

_ENDED: deque[str] = deque(maxlen=1000)
"""Runs of this process, by `RUN_LABEL`. Pods of theirs that are still there could not be deleted, or were made by a
request that was cancelled and arrived all the same: the next run sweeps them.
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class AgentPod:
    """A node's agent, perhaps still starting: `await ready()` before running it."""

    node: str
    namespace: str
    name: str
    container: str = CONTAINER
    is_on_demand: bool = True
    """Made for this diagnosis, and deleted after it."""
    _settled: asyncio.Event = field(default_factory=asyncio.Event)
    _why_not: str = ""

    async def ready(self) -> None:
        """Return when the agent runs. Errors: `AgentError` says why it does not."""
        await self._settled.wait()
        if self._why_not:
            raise AgentError(self.node, self._why_not)

    @property
    def is_settled(self) -> bool:
        """Whether it is known to run, or not to."""
        return self._settled.is_set()

    def settle(self, why_not: str = "") -> None:
        """It runs, or never will, and why."""
        self._why_not = why_not
        self._settled.set()


@asynccontextmanager
async def node_agents(
    api: Api,
    nodes: Sequence[str],
    *,
    namespace: str = DEFAULT_NAMESPACE,
    image: str = DEFAULT_IMAGE,
    start_deadline_s: float,
    hopeless: Mapping[str, str] | None = None,
    ttl_s: int = TTL_S,
) -> AsyncGenerator[Mapping[str, AgentPod], None]:
    """An agent for each node: a DaemonSet's where one runs, else a pod made now and deleted at the end.

    Every node has an entry at once; which of them start, and why others do not, tells `AgentPod.ready`. Nodes in
    `hopeless` (with the reason, see `silent_kubelets`) are not tried. Leftovers of runs that crashed are swept on the
    way. Errors on entering: what keeps us from the API, or from the namespace.
    """
    run = _Run(api, namespace, image, start_deadline_s, ttl_s)
    run.hopeless = dict(hopeless or {})
    failure: BaseException | None = None
    try:
        await run.begin(nodes)
        async with TaskGroup() as group:
            following = group.create_task(run.follow())
            try:
                yield run.agents
            except BaseException as error:  # noqa: BLE001 - raised again below, outside the group, which would wrap it
                failure = error
            following.cancel()
        if failure is not None:
            raise failure
    finally:
        await run.end()


class _Run:
    """The agents of one diagnosis."""

    def __init__(self, api: Api, namespace: str, image: str, start_deadline_s: float, ttl_s: int) -> None:
        self.agents: dict[str, AgentPod] = {}
        self.hopeless: dict[str, str] = {}
        self._api = api
        self._namespace = namespace
        self._image = image
        self._start_deadline_s = start_deadline_s
        self._ttl_s = ttl_s
        self._id = secrets.token_hex(4)
        self._owner = f"{getpass.getuser()}@{socket.gethostname()} pid {os.getpid()}"
        self._last: dict[str, Pod] = {}

    @property
    def _pods(self) -> str:
        return api_path("pods", namespace=self._namespace)

    def _pod(self, name: str) -> str:
        return api_path("pods", namespace=self._namespace, name=name)

    async def begin(self, nodes: Sequence[str]) -> None:
        """Find what runs, ask for what does not, and sweep what others left."""
        of_cnibot = (await self._api.list_all(self._pods, Pod, labelSelector=OF_CNIBOT)).items
        present = [pod for pod in of_cnibot if pod.metadata.labels.get(NAME_LABEL) in AGENT_NAMES]
        self._image = by_digest(self._image, of_cnibot)
        standing = {pod.spec.node_name: pod for pod in present if not _is_on_demand(pod) and pod.is_ready}
        for number, node in enumerate(nodes):
            name = f"{NAME}-{self._id}-{number}"
            self.agents[node] = AgentPod(node=node, namespace=self._namespace, name=name)
            if pod := standing.get(node):
                self.agents[node] = AgentPod(
                    node=node, namespace=self._namespace, name=pod.metadata.name, is_on_demand=False
                )
                self.agents[node].settle()
            elif node in self.hopeless:
                self.agents[node].settle(self.hopeless[node])
        ours = [agent for agent in self.agents.values() if not agent.is_settled]
        if ours:
            await self._ensure_namespace()
        now = datetime.now(UTC)
        leftovers = [pod for pod in present if _is_leftover(pod, now) or _is_orphan(pod) or _is_of_the_past(pod)]
        await each([*leftovers, *ours], self._sweep_or_create)

    async def _ensure_namespace(self) -> None:
        try:
            await self._api.get(api_path("namespaces", name=self._namespace), Namespace)
        except ForbiddenError:
            return  # whoever may not even see it may still use it: creating the pod will tell
        except NotFoundError:
            try:
                await self._api.create(api_path("namespaces"), agent_namespace(self._namespace), Namespace)
            except ConflictError:
                return  # somebody else was faster

    async def _sweep_or_create(self, item: Pod | AgentPod) -> None:
        if isinstance(item, AgentPod):
            await self._create(item)
            return
        try:
            await self._api.delete(self._pod(item.metadata.name), grace_s=0, uid=item.metadata.uid)
        except (NotFoundError, ConflictError):
            return
        except BotError as error:
            log.warning("agent.leftover", pod=item.metadata.name, why=str(error))

    async def _create(self, agent: AgentPod) -> None:
        pod = on_demand_pod(
            agent.name,
            agent.node,
            namespace=self._namespace,
            image=self._image,
            run=self._id,
            owner=self._owner,
            ttl_s=self._ttl_s,
        )
        try:
            try:
                await self._api.create(self._pods, pod, Pod)
            except ForbiddenError as error:
                if "PriorityClass" not in error.why:
                    raise
                del pod["spec"]["priorityClassName"]  # some clouds keep critical classes for kube-system by quota
                await self._api.create(self._pods, pod, Pod)
        except BotError as error:
            remedy = admission_remedy(error.why, self._namespace) if isinstance(error, ForbiddenError) else ""
            agent.settle(" ".join(filter(None, (f"its pod could not be made: {error}", remedy))))

    async def follow(self) -> None:
        """Settle each agent as its pod starts or fails; at the deadline, those that did neither."""
        try:
            async with asyncio.timeout(self._start_deadline_s):
                while not self._all_settled():
                    await self._follow_once()
        except TimeoutError:
            for agent in self.agents.values():
                if not agent.is_settled:
                    agent.settle(self._why_late(agent))

    async def _follow_once(self) -> None:
        """List, then watch until all are settled or the watch ends."""
        try:
            selector = f"{RUN_LABEL}={self._id}"
            listed: Listed[Pod] = await self._api.list_all(self._pods, Pod, labelSelector=selector)
            for pod in listed.items:
                self._note(pod)
            self._note_gone({pod.metadata.name for pod in listed.items})
            since = listed.resource_version
            changes = self._api.watch(
                self._pods, Pod, timeout_s=self._start_deadline_s, labelSelector=selector, resourceVersion=since
            )
            async with aclosing(changes):
                if self._all_settled():
                    return
                async for change in changes:
                    self._note(change.object, is_gone=change.type == "DELETED")
                    if self._all_settled():
                        return
        except BotError as error:
            log.info("agent.watch_broke", why=str(error))
        await asyncio.sleep(RETRY_S)

    def _note(self, pod: Pod, *, is_gone: bool = False) -> None:
        agent = next((agent for agent in self.agents.values() if agent.name == pod.metadata.name), None)
        if agent is None or agent.is_settled:
            return
        self._last[agent.name] = pod
        trouble = "its pod was deleted" if is_gone or pod.metadata.deletion_timestamp else trouble_of(pod)
        if trouble:
            agent.settle(trouble)
        elif pod.is_ready:
            agent.settle()

    def _note_gone(self, present: set[str]) -> None:
        """A list is never older than what was made before it: what it lacks is gone."""
        for agent in self.agents.values():
            if not agent.is_settled and agent.name not in present:
                agent.settle("its pod was deleted")

    def _all_settled(self) -> bool:
        return all(agent.is_settled for agent in self.agents.values())

    def _why_late(self, agent: AgentPod) -> str:
        pod = self._last.get(agent.name)
        state = progress_of(pod) if pod else "the API server could not be watched"
        return f"its pod did not start within {self._start_deadline_s:.3g} s ({state})"

    async def end(self) -> None:
        """Delete what was made; what cannot be deleted is swept by the next run, or ends by itself after its TTL."""
        _ENDED.append(self._id)
        ours = [agent for agent in self.agents.values() if agent.is_on_demand and agent.node not in self.hopeless]
        try:
            async with asyncio.timeout(CLEANUP_S):
                await each(ours, self._delete)
        except TimeoutError:
            log.warning("agent.not_deleted", namespace=self._namespace, run=self._id, ttl_s=self._ttl_s)

    async def _delete(self, agent: AgentPod) -> None:
        try:
            await self._api.delete(self._pod(agent.name))
        except NotFoundError:
            return
        except BotError as error:
            log.warning("agent.not_deleted", pod=agent.name, why=str(error), ttl_s=self._ttl_s)


def silent_kubelets(nodes: Iterable[Node]) -> dict[str, str]:
    """Nodes whose kubelet does not report, so that no pod can start there, and why one thinks so.

    A node that is NotReady but reports (no CNI yet, say) is not among them: it starts hostNetwork pods.
    """
    found: dict[str, str] = {}
    for node in nodes:
        for condition in node.status.conditions:
            if condition.type == "Ready" and condition.status == "Unknown":
                since = condition.last_transition_time
                when = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
                found[node.metadata.name] = bounded(f"its kubelet has not reported{when} ({condition.reason})")
    return found


def _is_on_demand(pod: Pod) -> bool:
    return EXPIRES_ANNOTATION in pod.metadata.annotations


def _is_leftover(pod: Pod, now: datetime) -> bool:
    """Whether it is an on-demand pod that ended, or whose time is over, so that nobody can still use it."""
    if not _is_on_demand(pod):
        return False
    if pod.is_finished:
        return True
    try:
        expires_at = datetime.fromisoformat(pod.metadata.annotations[EXPIRES_ANNOTATION])
        return expires_at + SWEEP_MARGIN < now
    except (ValueError, TypeError):  # not written by us
        return False


def _is_of_the_past(pod: Pod) -> bool:
    """Whether this process has made it for a run that has ended."""
    return _is_on_demand(pod) and pod.metadata.labels.get(RUN_LABEL) in _ENDED


def _is_orphan(pod: Pod) -> bool:
    """Whether a process of this machine made it that is no more: killed before it could clean up."""
    made_by = re.fullmatch(r"\S+@(\S+) pid (\d+)", pod.metadata.annotations.get(OWNER_ANNOTATION, ""))
    if not _is_on_demand(pod) or made_by is None or made_by[1] != socket.gethostname():
        return False
    return not Path(f"/proc/{made_by[2]}").exists()


WhenReady = Callable[[], Awaitable[None]]
"""Awaited when an agent listens: it begins when this returns."""


async def run_agent(
    api: Api, agent_pod: AgentPod, task: Task, *, deadline_s: float, when_ready: WhenReady | None = None
) -> NodeReport:
    """The node's report, by one exec. An agent that is to follow packets says when it listens: then `when_ready` is
    awaited, and the agent begins when it returns.

    Errors: `AgentError` (no usable report), `DeadlineError`, and those of `run_in_pod`.
    """
    line = msgspec.json.encode(task) + b"\n"

    async def go() -> bytes:
        if when_ready:
            await when_ready()
        return b"go\n"

    try:
        result = await run_in_pod(
            api,
            agent_pod.namespace,
            agent_pod.name,
            agent_pod.container,
            AGENT_COMMAND,
            stdin=line,
            cue=Cue(word=READY.encode(), answer=go) if task.follow else None,
            deadline_s=deadline_s,
        )
    except ExecNotFoundError as error:
        raise AgentError(task.node, f"its image has no program {AGENT_COMMAND[0]}: is it the right image?") from error
    if result.exit_code:
        said = result.stderr[-1000:].decode("utf-8", "replace").strip()
        raise AgentError(task.node, f"it failed with exit code {result.exit_code}: {said or 'it said nothing'}")
    return report_in(result.stdout, task.node)


def report_in(data: bytes, node: str) -> NodeReport:
    """The node's report in what its agent printed. Errors: `AgentError`."""
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != REPORT_SCHEMA:
            raise AgentError(node, f"it speaks {schema!r}, we {REPORT_SCHEMA!r}: use an image of our own version")
        report = msgspec.json.decode(data, type=NodeReport)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AgentError(node, f"it printed something else than a report ({error})") from error
    if report.node != node:
        raise AgentError(node, f"it reports on {report.node!r}")
    return report


class _Schema(msgspec.Struct):
    schema: str = ""
