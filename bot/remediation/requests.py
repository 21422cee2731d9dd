"""What can be asked for, and reading from the cluster what a draft of it needs."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bot.agent.report import NodeReport
from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from bot.cluster.client.paths import api_path
from bot.cluster.cni.catalogue import agent_kind
from bot.cluster.objects import Container
from bot.cluster.writer import Object, Writer, controller_of
from bot.domain.foreign import whole_number
from bot.domain.plan import (
    Action,
    Create,
    Delete,
    Evict,
    HelmRollback,
    Plan,
    Replace,
    Step,
    value_at,
)
from bot.remediation.actions.draft import Draft, NotPlannedError
from bot.remediation.actions.install_cilium import InstallInputs, install_cilium, refuse_unfit
from bot.remediation.actions.migrate_to_cilium import migrate_to_cilium, refuse_unmigratable
from bot.remediation.actions.nodes import cordon, drain, uncordon
from bot.remediation.actions.restart_agents import HASH, Agents, restart_agents
from bot.remediation.actions.restore import Wanted, restore
from bot.remediation.actions.roll_back import Workload, roll_back
from bot.remediation.actions.workloads import correct_selector, correct_target_port, recreate_pod, scale
from bot.remediation.cilium import beside, fresh
from bot.remediation.cilium.chart import VendoredChart, render
from bot.remediation.cilium.migration import CILIUM
from bot.remediation.cilium.seen import Seen, read
from bot.remediation.cilium.values import NAMESPACE, CiliumValues, beside_values, checked, fresh_values
from bot.remediation.conditions import owned
from bot.remediation.owners import owner_of
from bot.remediation.releases import release_rolled_back
from bot.remediation.tigera import operator_rolled_back

SOAK_S = 600.0
MOST_SOAK_S = 86_400.0


class RollBack(Struct, frozen=True, kw_only=True, tag="roll-back"):
    """A workload back to a revision. Without a name: the CNI's agent."""

    kind: Literal["DaemonSet", "Deployment"] = "DaemonSet"
    namespace: str = ""
    name: str = ""
    revision: str = ""


class RestartAgents(Struct, frozen=True, kw_only=True, tag="restart-agents"):
    """The CNI's agent on these nodes, restarted one after the other."""

    nodes: tuple[str, ...]


class RecreatePod(Struct, frozen=True, kw_only=True, tag="recreate-pod"):
    """One pod, deleted so that its controller makes it again."""

    namespace: str
    pod: str


class TargetPort(Struct, frozen=True, kw_only=True, tag="target-port"):
    """A Service's port leads to another port of its pods. Without `port`: its only one."""

    namespace: str
    service: str
    port: str = ""
    to: str


class Selector(Struct, frozen=True, kw_only=True, tag="selector"):
    """A Service selects other pods."""

    namespace: str
    service: str
    labels: dict[str, str]


class Scale(Struct, frozen=True, kw_only=True, tag="scale"):
    """A Deployment gets so many replicas."""

    namespace: str
    deployment: str
    replicas: int


class Cordon(Struct, frozen=True, kw_only=True, tag="cordon"):
    """No new pod is scheduled on the node."""

    node: str


class Uncordon(Struct, frozen=True, kw_only=True, tag="uncordon"):
    """Pods are scheduled on the node again."""

    node: str


class Drain(Struct, frozen=True, kw_only=True, tag="drain"):
    """The node's pods move elsewhere, as their PodDisruptionBudgets allow."""

    node: str


class Restore(Struct, frozen=True, kw_only=True, tag="restore"):
    """Fields of the CNI's configuration as a recording has them."""

    wanted: Wanted


class InstallCilium(Struct, frozen=True, kw_only=True, tag="install-cilium"):
    """Cilium as the first CNI of the cluster."""

    values: CiliumValues


class MigrateToCilium(Struct, frozen=True, kw_only=True, tag="migrate-to-cilium"):
    """From flannel or Calico to Cilium, node by node."""

    values: CiliumValues
    soak_s: float = SOAK_S
    """How long each node is left to itself before the next."""


PlanRequest = (
    RollBack
    | Cordon
    | Uncordon
    | Drain
    | Restore
    | RestartAgents
    | RecreatePod
    | TargetPort
    | Selector
    | Scale
    | InstallCilium
    | MigrateToCilium
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """What the settings give to plans."""

    chart: VendoredChart | None = None
    """Cilium's; None: nothing is installed."""
    helm: str = "helm"
    """The program that rolls releases back: a name on PATH, or a path."""
    image: str = DEFAULT_IMAGE
    """cnibot's own, for test pods and Jobs."""


async def draft(
    asked: PlanRequest, writer: Writer, supplies: Supplies, reports: Mapping[str, NodeReport] | None = None
) -> Draft:
    """The draft of what is asked for. Errors: `NotPlannedError`, `BotError`: the cluster could not be read.

    `reports`: what node agents see on every node, for plans that look at all of them.
    """
    match asked:
        case RollBack():
            return await _rolled_back(asked, writer)
        case RestartAgents(nodes=nodes):
            return restart_agents(await _agents(writer), nodes)
        case Cordon() | Uncordon() | Drain():
            return await _of_node(asked, writer)
        case Restore(wanted=wanted):
            found = await writer.read(wanted.path)
            if found is None:
                raise NotPlannedError(f"{wanted.kind} {wanted.name} does not exist: a plan makes no object anew.")
            return restore(found, wanted)
        case InstallCilium() | MigrateToCilium():
            return await _of_cilium(asked, writer, supplies, reports)
        case _:
            return await _of_application(asked, writer)


async def _of_cilium(
    asked: InstallCilium | MigrateToCilium,
    writer: Writer,
    supplies: Supplies,
    reports: Mapping[str, NodeReport] | None,
) -> Draft:
    values, seen = checked(asked.values), await read(writer, reports)
    if isinstance(asked, MigrateToCilium):
        refuse_unmigratable(beside.checks(values, seen))  # before a program is run
        inputs = await _inputs(beside_values(values, len(seen.nodes or ())), seen, writer, supplies)
        return migrate_to_cilium(values, inputs, soak_s=asked.soak_s)
    refuse_unfit(fresh.checks(values, seen))  # before a program is run
    inputs = await _inputs(fresh_values(values, len(seen.nodes or ())), seen, writer, supplies)
    return install_cilium(values, inputs)


async def _inputs(values: Mapping[str, Any], seen: Seen, writer: Writer, supplies: Supplies) -> InstallInputs:
    """What the chart renders with these values, and what stands in the cluster."""
    if supplies.chart is None:
        raise NotPlannedError(
            "The settings name no chart of Cilium.",
            "Put its archive beside cnibot, and its path and SHA-256 into CNIBOT_CILIUM.",
        )
    rendered = await render(supplies.chart, values, kubernetes=await writer.version())
    namespace = await _existing(writer, "namespaces", "", NAMESPACE)
    return InstallInputs(seen=seen, rendered=rendered, namespace=namespace, image=supplies.image)


async def _of_node(asked: Cordon | Uncordon | Drain, writer: Writer) -> Draft:
    node = await _existing(writer, "nodes", "", asked.node)
    match asked:
        case Cordon():
            return cordon(node)
        case Uncordon():
            return uncordon(node)
        case Drain():
            return drain(node, await writer.items(api_path("pods")))


async def _of_application(asked: RecreatePod | TargetPort | Selector | Scale, writer: Writer) -> Draft:
    match asked:
        case RecreatePod(namespace=namespace, pod=name):
            return await _recreate(writer, namespace, name)
        case TargetPort(namespace=namespace, service=name, port=port, to=to):
            return correct_target_port(await _existing(writer, "services", namespace, name), port, to)
        case Selector(namespace=namespace, service=name, labels=labels):
            pods = await writer.items(api_path("pods", namespace=namespace))
            return correct_selector(await _existing(writer, "services", namespace, name), labels, pods)
        case Scale(namespace=namespace, deployment=name, replicas=replicas):
            return scale(await _existing(writer, "deployments", namespace, name, group="apps"), replicas)


async def _existing(writer: Writer, plural: str, namespace: str, name: str, *, group: str = "") -> Object:
    found = await writer.read(api_path(plural, group=group, namespace=namespace, name=name))
    if found is None:
        raise NotPlannedError(f"There is no {plural} {namespace}/{name}." if namespace else f"No {plural} is {name}.")
    return found


async def _cni_daemon_set(writer: Writer) -> Object:
    """The DaemonSet of the CNI's agent; exactly one must be it."""
    every = await writer.items(api_path("daemonsets", group="apps"))
    agents = [one for one in every if _is_agent(one)]
    if len(agents) != 1:
        names = ", ".join(f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in agents) or "none"
        raise NotPlannedError(
            f"Exactly one DaemonSet should be the CNI's agent; found: {names}.",
            "Name the workload, or restart the distribution's own process where the CNI runs inside it (K3s).",
        )
    (found,) = agents
    return await _existing(
        writer, "daemonsets", found["metadata"]["namespace"], found["metadata"]["name"], group="apps"
    )


def _is_agent(daemon_set: Object) -> bool:
    containers: Sequence[Mapping[str, str]] = value_at(daemon_set, ("spec", "template", "spec", "containers")) or ()
    owner = daemon_set["metadata"]["name"]
    return any(agent_kind(Container(name=one.get("name", ""), image=one.get("image", "")), owner) for one in containers)


async def _nodes(writer: Writer) -> Mapping[str, Object]:
    return {one["metadata"]["name"]: one for one in await writer.items(api_path("nodes"))}


async def _agents(writer: Writer) -> Agents:
    daemon_set = await _cni_daemon_set(writer)
    namespace = daemon_set["metadata"]["namespace"]
    revisions = await writer.items(api_path("controllerrevisions", group="apps", namespace=namespace))
    own = owned(revisions, daemon_set["metadata"]["uid"])
    newest = max(own, key=lambda one: whole_number(one.get("revision")) or 0, default=None)
    return Agents(
        daemon_set=daemon_set,
        pods=await writer.items(api_path("pods", namespace=namespace)),
        nodes=await _nodes(writer),
        current_hash=str(value_at(newest or {}, ("metadata", "labels", HASH)) or ""),
    )


async def _workload(asked: RollBack, writer: Writer) -> Workload:
    is_daemon_set = asked.kind == "DaemonSet"
    if asked.name:
        plural = "daemonsets" if is_daemon_set else "deployments"
        obj = await _existing(writer, plural, asked.namespace, asked.name, group="apps")
    else:
        obj = await _cni_daemon_set(writer)
    namespace = obj["metadata"]["namespace"]
    history = "controllerrevisions" if is_daemon_set else "replicasets"
    return Workload(
        kind=asked.kind,
        obj=obj,
        revisions=await writer.items(api_path(history, group="apps", namespace=namespace)),
        pods=await writer.items(api_path("pods", namespace=namespace)),
        nodes=await _nodes(writer),
    )


async def _rolled_back(asked: RollBack, writer: Writer) -> Draft:
    """By whoever owns the workload. Errors: `NotPlannedError`, `BotError`."""
    workload = await _workload(asked, writer)
    owner = owner_of(workload.obj)
    if owner and owner.is_helm and owner.release:
        return await release_rolled_back(workload, owner, asked.revision, writer)
    if owner and owner.is_operator:
        return await operator_rolled_back(workload, asked.revision, writer)
    return roll_back(workload, asked.revision)


async def cni_workload(writer: Writer) -> Workload:
    """The DaemonSet of the CNI's agent with its history. Errors: `NotPlannedError`, `BotError`."""
    return await _workload(RollBack(), writer)


async def _recreate(writer: Writer, namespace: str, name: str) -> Draft:
    pod = await _existing(writer, "pods", namespace, name)
    reference = controller_of(pod)
    path = ""
    if reference is not None and str(reference.get("apiVersion", "")).startswith("apps/"):
        plural = f"{str(reference['kind']).lower()}s"
        path = api_path(plural, group="apps", namespace=namespace, name=str(reference["name"]))
    return recreate_pod(pod, await writer.read(path) if path else None, path)


async def rehearsed(plan: Plan, writer: Writer) -> Plan:
    """The plan with the values that the server makes of each change, by a dry run of the first change of each field.

    Errors: `NotPlannedError`: the cluster is not as it was read; `BotError`: the server refuses the change.
    """
    made: dict[tuple[str, tuple[str, ...]], Replace] = {}
    new = {
        step.do.target.name for step in plan.steps if isinstance(step.do, Create) and step.do.target.kind == "Namespace"
    }
    steps: list[Step] = []
    for step in plan.steps:
        do = step.do
        if not isinstance(do, Replace):
            await _tried(do, writer, new)
        elif do.target.uid:  # else the plan makes the object
            key = (do.target.uid, do.field)
            do = _back_of(made[key], do) if key in made else await _rehearsed(do, writer)
            made[key] = do
        steps.append(replace(step, do=do))
    return replace(plan, steps=tuple(steps))


async def _tried(do: Action, writer: Writer, new: AbstractSet[str]) -> None:
    """Refuse what could not be done as it is. `new`: namespaces that the plan makes."""
    match do:
        case Evict():
            found = await writer.look(do)
            if found.standing == "other":
                raise NotPlannedError(f"{found.why[:1].upper()}{found.why[1:]}.", "Move it by hand first.")
        case Create(target=target):
            is_known = target.namespace not in new and not target.path.startswith(f"/apis/{CILIUM}/")
            await _not_there(do, writer, is_tried=is_known)
        case Delete():
            found = await writer.look(do)
            if found.standing != "before":
                raise NotPlannedError(f"{do.target} is gone already.")
            await writer.write(do, found, is_dry_run=True)
        case HelmRollback():
            found = await writer.look(do)
            if found.standing != "before":
                why = found.why or f"{do} is rolled back already"
                raise NotPlannedError(f"{why[:1].upper()}{why[1:]}.", "Diagnose again, and propose again.")
            await writer.write(do, found, is_dry_run=True)
        case _:
            pass


async def _not_there(do: Create, writer: Writer, *, is_tried: bool) -> None:
    """Refuse what exists; try it, unless its namespace or its kind come with the plan: then it is tried in its turn."""
    found = await writer.look(do)
    if found.standing != "before":
        raise NotPlannedError(f"{do.target} exists already.", "Look who made it, and whether it is in use.")
    if is_tried:
        await writer.write(do, found, is_dry_run=True)


def _back_of(made: Replace, back: Replace) -> Replace:
    """A later change of the same field begins where the server left the first."""
    return Replace(target=back.target, field=back.field, before=made.after, after=back.after)


async def _rehearsed(do: Replace, writer: Writer) -> Replace:
    found = await writer.look(do)
    if found.standing != "before":
        raise NotPlannedError(found.why or f"{do.target} is so already.", "Diagnose again, and propose again.")
    after = await writer.write(do, found, is_dry_run=True)
    return Replace(target=do.target, field=do.field, before=do.before, after=value_at(after or {}, do.field))
