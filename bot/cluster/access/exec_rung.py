"""Rungs exec and cni-agent: node reports from read-only commands in containers that already run.

They see less than our own agent, and say what: no tests are run, no ARP is sent, packet filters are not read. From
inside a pod one sees that pod; from the CNI's agent one sees the node, not the inside of its pods.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.agent.report import Machine, Missing, NetnsState, NodeReport, PodReport, Task, TaskPod
from bot.aio.each import each
from bot.aio.groups import TaskGroup
from bot.cluster.access import exec_script
from bot.cluster.access.exec import ExecResult, run_in_pod
from bot.cluster.access.exec_script import PodQuestion, ScriptOutput
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.errors import AgentError, BotError, ExecError, ExecNotFoundError, ForbiddenError, bounded

MAX_PODS = 8
"""So many pods of a node are looked into: each costs an exec, and the API server carries them all."""
MAX_BYTES = 4 * 2**20
POD_S = 4.0
NODE_S = 6.0
DEFAULT_GATEWAY = "169.254.1.1"

_BY_RUNG = (
    Missing(what="tests", why="commands only look: nothing is sent"),
    Missing(what="arp", why="commands only look: no ARP request is sent"),
    Missing(what="firewall", why="packet filters are read by the node agent only"),
    Missing(what="root.fdb", why="forwarding tables are read by the node agent only"),
    Missing(what="neighbour_entries", why="the neighbour table is counted by the node agent only"),
    Missing(what="host", why="the node's files are read by the node agent only"),
)
_NO_NODE = Missing(what="root", why="from inside pods the node's own network cannot be seen")


async def report_by_exec(api: Api, task: Task, snapshot: Snapshot, *, deadline_s: float) -> NodeReport:
    """What commands in the suspect pods of this node show; of the node itself nothing.

    Errors: `ForbiddenError` when no command may be run. A pod without usable programs, or that does not answer, stands
    in the report as not found, with the reason.
    """
    began = asyncio.get_running_loop().time()
    containers = {pod.metadata.uid: pod.spec.containers[0].name for pod in snapshot.pods if pod.spec.containers}
    looks = await _look_into_pods(api, task, containers, deadline_s)
    for look in looks:
        if isinstance(look.failure, ForbiddenError):
            raise look.failure
    missing = (*(each for look in looks for each in look.missing), _NO_NODE, *_BY_RUNG)
    kernel = next((look.kernel for look in looks if look.kernel), "")
    pods = tuple(look.pod for look in looks)
    return _report(task, began, NetnsState(), kernel=kernel, pods=pods, missing=missing)


async def report_by_cni_agent(api: Api, task: Task, cni: CniInventory, *, deadline_s: float) -> NodeReport:
    """What the CNI's agent on this node shows of the node, and commands in the suspect pods of these.

    Errors: `AgentError` when no agent of the CNI runs here (K3s has none), and those of `run_in_pod` on that agent.
    """
    began = asyncio.get_running_loop().time()
    where = cni.agent_pods.get(task.node)
    if where is None:
        why = (
            "K3s runs flannel inside its own process"
            if cni.installed_by == "k3s"
            else f"no {cni.name} agent runs there"
        )
        raise AgentError(task.node, f"{why}, so there is no container to look from; the node agent could see it")
    async with TaskGroup() as group:
        looking_at = group.create_task(_look_at_node(api, task, where, deadline_s))
        inside = group.create_task(_look_into_pods(api, task, {}, deadline_s))
    output = looking_at.result()
    if isinstance(output, BotError):
        raise output
    looks = inside.result()
    missing = (
        *(each for look in looks for each in look.missing),
        *_missing_of_node("/".join(where[:2]), output),
        *_BY_RUNG,
    )
    pods = tuple(with_answers(look.pod, task, output) for look in looks)
    return _report(task, began, output.state, boot_id=output.boot_id, kernel=output.kernel, pods=pods, missing=missing)


async def _look_at_node(
    api: Api, task: Task, where: tuple[str, str, str], deadline_s: float
) -> ScriptOutput | BotError:
    namespace, pod, container = where
    questions = [PodQuestion(pod_ip=pod.ip, gateway_ip=task.gateway or DEFAULT_GATEWAY) for pod in task.pods if pod.ip]
    argv = exec_script.script(questions, of_pod=False)
    try:
        done = await run_in_pod(
            api, namespace, pod, container, argv, deadline_s=min(deadline_s, NODE_S), max_bytes=MAX_BYTES
        )
    except BotError as error:
        return error
    if exec_script.MARK.encode() not in done.stdout:
        return AgentError(
            task.node,
            f"{namespace}/{pod} cannot run the commands that look ({bounded(done.stderr.decode('utf-8', 'replace'))})",
        )
    return exec_script.read(done.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one exec into a pod came to."""

    pod: PodReport
    kernel: str = ""
    failure: BotError | None = None
    missing: tuple[Missing, ...] = ()


async def _look_into_pods(api: Api, task: Task, containers: Mapping[str, str], deadline_s: float) -> list[_Look]:
    """Sources first, at most `MAX_PODS`; the others are in the report too, with the reason."""
    ordered = sorted(task.pods, key=lambda pod: not pod.is_source)
    chosen, others = ordered[:MAX_PODS], ordered[MAX_PODS:]

    async def look(pod: TaskPod) -> _Look:
        try:
            output = await _look_into(api, pod, containers.get(pod.uid, ""), min(deadline_s, POD_S))
        except BotError as error:
            return _Look(pod=_unseen(pod, str(error)), failure=error)
        return _Look(
            pod=_seen(pod, output),
            kernel=output.kernel,
            missing=_missing_of_pod(pod, output),
        )

    looks = await each(chosen, look, limit=4)
    why = f"only {MAX_PODS} pods of each node are looked into by commands"
    return [*looks, *(_Look(pod=_unseen(pod, why)) for pod in others)]


async def _look_into(api: Api, pod: TaskPod, container: str, deadline_s: float) -> ScriptOutput:
    """By a script, or where there is no shell by `cat`; `ExecNotFoundError` where there is neither."""
    container = container or await _first_container(api, pod)

    async def run(argv: Sequence[str]) -> ExecResult:
        return await run_in_pod(
            api, pod.namespace, pod.name, container, argv, deadline_s=deadline_s, max_bytes=MAX_BYTES
        )

    try:
        done = await run(exec_script.script(of_pod=True))
        output = exec_script.read(done.stdout) if exec_script.MARK.encode() in done.stdout else None
    except ExecNotFoundError:
        done = await run(exec_script.CAT)
        output = exec_script.read_cat(done.stdout) if done.stdout else None
    if output is None:
        said = done.stderr[:1000].decode("utf-8", "replace") or "nothing was printed"
        raise ExecError(f"{pod.namespace}/{pod.name}", said)
    return output


async def _first_container(api: Api, pod: TaskPod) -> str:
    """The API server wants it named where a pod has several. Listed, not got: "list" is the right that we ask for."""
    path = api_path("pods", namespace=pod.namespace)
    found = (await api.list_all(path, Pod, max_items=1, fieldSelector=f"metadata.name={pod.name}")).items
    return found[0].spec.containers[0].name if found and found[0].spec.containers else ""


def _seen(pod: TaskPod, output: ScriptOutput) -> PodReport:
    default = next((route for route in output.state.routes if route.dst == "default" and route.table == 254), None)
    return PodReport(
        uid=pod.uid,
        namespace=pod.namespace,
        name=pod.name,
        ip=pod.ip,
        is_found=True,
        state=output.state,
        gateway_ip=default.via if default else "",
        nameservers=output.nameservers,
        search=output.search,
        ndots=output.ndots,
    )


def _unseen(pod: TaskPod, why: str) -> PodReport:
    return PodReport(uid=pod.uid, namespace=pod.namespace, name=pod.name, ip=pod.ip, why_not=why)


def with_answers(pod: PodReport, task: Task, output: ScriptOutput) -> PodReport:
    """The pod, with what the node's routing says about it."""
    if not pod.is_found:
        return pod
    to_pod = output.answers.get(pod.ip)
    gateway = task.gateway or DEFAULT_GATEWAY
    oracle = next(
        (answer for asked, answer in output.answers.items() if asked.startswith(f"{gateway} from {pod.ip} iif ")), None
    )
    return replace(
        pod,
        route_to_pod=to_pod,
        gateway_oracle=oracle if pod.gateway_ip in {gateway, ""} else None,
        host_link=_host_link(pod, output) or (to_pod.dev if to_pod and not to_pod.via else ""),
    )


def _host_link(pod: PodReport, output: ScriptOutput) -> str:
    """The node's end of the pod's link, as eth0 names it by its number ("eth0@if67"); "" when it names none.

    The device of the node's route to the pod is another one where eBPF programs deliver.
    """
    if pod.state is None:
        return ""
    carrier = next((each.dev for each in pod.state.addresses if each.ip == pod.ip), "eth0")
    peer = next((link.peer_ifindex for link in pod.state.links if link.name == carrier), 0)
    return next((link.name for link in output.state.links if peer and link.ifindex == peer), "")


def _missing_of_pod(pod: TaskPod, output: ScriptOutput) -> tuple[Missing, ...]:
    """In one sentence: there are many pods."""
    if not output.missing:
        return ()
    why = f"its image has no command that shows {', '.join(output.missing)}"
    return (Missing(what=f"pods.{pod.uid}", why=why),)


def _missing_of_node(container: str, output: ScriptOutput) -> tuple[Missing, ...]:
    return tuple(Missing(what=f"root.{what}", why=f"no command in {container} shows {what}") for what in output.missing)


def _report(
    task: Task,
    began: float,
    root: NetnsState,
    *,
    boot_id: str = "",
    kernel: str,
    pods: tuple[PodReport, ...],
    missing: tuple[Missing, ...],
) -> NodeReport:
    return NodeReport(
        node=task.node,
        machine=Machine(boot_id=boot_id),
        started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        took_s=asyncio.get_running_loop().time() - began,
        kernel=kernel,
        root=root,
        pods=pods,
        missing=missing,
    )
