"""Whether what a step asks for holds, as read from the cluster at that moment. What cannot be read raises."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, Writer
from bot.domain.errors import NotFoundError, bounded
from bot.domain.listing import and_more
from bot.domain.plan import (
    AddressesWithin,
    CiliumFits,
    CiliumNodes,
    CiliumOn,
    Condition,
    Gone,
    JobDone,
    NewTemplate,
    NodeReady,
    NodesReady,
    NotMarked,
    OperatorSettled,
    OthersReady,
    PodsGone,
    Replaced,
    RolledOut,
    TestPods,
    value_at,
)
from bot.remediation.cilium import beside, fresh, seen
from bot.remediation.cilium.observed import (
    addresses_within,
    cilium_nodes,
    cilium_on,
    look_at_agent,
    test_pods,
)
from bot.remediation.cilium.values import CiliumValues
from bot.remediation.marks import holder
from bot.remediation.status import Holds, condition_of, is_ready, is_true
from bot.remediation.templates import template_digest

TIGERA_STATUS = api_path("tigerastatuses", group="operator.tigera.io", name="calico")


async def holds(  # noqa: C901, PLR0911, PLR0912 one for each kind
    condition: Condition, writer: Writer, *, now: float
) -> Holds:
    """Whether the condition holds now. Errors: `BotError`: it cannot be determined."""
    match condition:
        case NodeReady(node=node):
            return node_ready(node, await writer.read(f"/api/v1/nodes/{node}"))
        case NodesReady(explained=explained):
            return nodes_ready(await writer.items("/api/v1/nodes"), explained)
        case NotMarked(target=target):
            plan = holder(await writer.read(target.path), now)
            return Holds(is_so=not plan, why=f"plan {plan} has {target} in hand")
        case Gone(target=target):
            found = await writer.read(target.path)
            is_another = found is not None and target.uid and value_at(found, ("metadata", "uid")) != target.uid
            return Holds(is_so=found is None or bool(is_another), why=f"{target} has not ended yet")
        case RolledOut(target=target):
            return rolled_out(str(target), await writer.read(target.path))
        case NewTemplate(target=target, former=former):
            return new_template(str(target), former, await writer.read(target.path))
        case OperatorSettled(installation=installation):
            status = await writer.read(TIGERA_STATUS)
            return operator_settled(status, await writer.read(installation.path))
        case OthersReady(owner=owner, node=node):
            pods = await writer.items(f"/api/v1/namespaces/{owner.namespace}/pods")
            return others_ready(pods, owner.uid, node, await writer.read(owner.path))
        case Replaced(owner=owner, uid=uid, node=node):
            pods = await writer.items(f"/api/v1/namespaces/{owner.namespace}/pods")
            return replaced(pods, owner.uid, uid, node, await writer.read(owner.path))
        case CiliumNodes(nodes=nodes, ranges=ranges):
            return cilium_nodes(await _cilium_nodes(writer), nodes, ranges)
        case TestPods(namespace=namespace, nodes=nodes, is_cilium=is_cilium):
            pods = await writer.items(api_path("pods", namespace=namespace))
            return test_pods(pods, await _cilium_nodes(writer), nodes, is_cilium=is_cilium)
        case PodsGone(namespace=namespace, labels=labels):
            return pods_gone(await writer.items(api_path("pods", namespace=namespace)), labels)
        case JobDone(target=target):
            return job_done(str(target), await writer.read(target.path))
        case CiliumFits(values=values, is_first=is_first):
            look = fresh.checks if is_first else beside.checks_of_objects
            checks = look(msgspec.convert(values, CiliumValues), await seen.read(writer))
            stops = [one.sentence for one in checks if one.stops]
            return Holds(is_so=not stops, why=stops[0] if stops else "")
        case CiliumOn(node=node):
            return cilium_on(condition, await look_at_agent(writer, node))
        case AddressesWithin(pod_range=pod_range):
            return addresses_within(await writer.items(api_path("pods")), pod_range)


def can_hold_before(condition: Condition) -> bool:
    """Whether it can hold before the plan begins: not, where an earlier step of the plan is what brings it about."""
    is_made = isinstance(condition, RolledOut) and not condition.target.uid
    return not (is_made or isinstance(condition, AddressesWithin | NewTemplate))


async def _cilium_nodes(writer: Writer) -> Sequence[Object]:
    """Cilium's nodes; none before its operator has made their kind."""
    try:
        return await writer.items(api_path("ciliumnodes", group="cilium.io", version="v2"))
    except NotFoundError:
        return ()


def pods_gone(pods: Sequence[Object], labels: Mapping[str, str]) -> Holds:
    """Whether no pod with these labels is left."""
    left = [
        pod["metadata"]["name"]
        for pod in pods
        if labels.items() <= (value_at(pod, ("metadata", "labels")) or {}).items()
    ]
    return Holds(is_so=not left, why=f"{and_more(left, 3)} still there")


def job_done(name: str, job: Object | None) -> Holds:
    """Whether a Job has done its work."""
    if job is None:
        return Holds(is_so=False, why=f"{name} does not exist")
    failed = condition_of(job, "Failed")
    why = f"{name} failed: {failed.get('message', '')}" if failed.get("status") == "True" else f"{name} has not ended"
    return Holds(is_so=is_true(job, "Complete"), why=why)


def node_ready(name: str, node: Object | None) -> Holds:
    """Whether a node can take and run pods."""
    if node is None:
        return Holds(is_so=False, why=f"node {name} does not exist")
    return Holds(is_so=is_true(node, "Ready"), why=f"node {name} is not Ready")


def nodes_ready(nodes: Sequence[Object], explained: Sequence[str]) -> Holds:
    """Whether every node is Ready but for those whose trouble is known."""
    dead = (one["metadata"]["name"] for one in nodes if not is_true(one, "Ready"))
    others = sorted(set(dead) - set(explained))
    verb = "is" if len(others) == 1 else "are"
    return Holds(is_so=not others, why=f"{and_more(others, 3)} {verb} not Ready, which the incident does not explain")


def owned(pods: Sequence[Object], owner_uid: str) -> list[Object]:
    """The pods of an owner."""
    return [
        pod
        for pod in pods
        if any(one.get("uid") == owner_uid for one in value_at(pod, ("metadata", "ownerReferences")) or ())
    ]


def others_ready(pods: Sequence[Object], owner_uid: str, node: str, owner: Object | None) -> Holds:
    """Whether a DaemonSet is ready on all nodes but one."""
    desired = value_at(owner or {}, ("status", "desiredNumberScheduled"))
    if not isinstance(desired, int):
        return Holds(is_so=False, why="its DaemonSet does not say how many pods it wants")
    elsewhere = [pod for pod in owned(pods, owner_uid) if value_at(pod, ("spec", "nodeName")) != node]
    ready = sum(map(is_ready, elsewhere))
    return Holds(is_so=ready >= desired - 1, why=f"on other nodes {ready} of {desired - 1} of its pods are ready")


def replaced(pods: Sequence[Object], owner_uid: str, uid: str, node: str, owner: Object | None) -> Holds:
    """Whether the owner has made another pod, and that one is ready."""
    own = owned(pods, owner_uid)
    if any(value_at(pod, ("metadata", "uid")) == uid for pod in own):
        return Holds(is_so=False, why="the old pod is still there")
    if node:
        here = [pod for pod in own if value_at(pod, ("spec", "nodeName")) == node]
        return Holds(is_so=any(map(is_ready, here)), why=f"no new pod is ready on {node}")
    wanted = value_at(owner or {}, ("spec", "replicas"))
    ready = sum(map(is_ready, own))
    return Holds(is_so=isinstance(wanted, int) and ready >= wanted, why=f"{ready} of {wanted} pods are ready")


def new_template(name: str, former: str, obj: Object | None) -> Holds:
    """Whether somebody has given a workload another template than the one it had."""
    if obj is None:
        return Holds(is_so=False, why=f"{name} no longer exists")
    return Holds(is_so=template_digest(obj) != former, why=f"{name} still has the template that it had")


def operator_settled(status: Object | None, installation: Object | None) -> Holds:
    """Whether the Tigera operator says that all of Calico is as its Installation wants it now."""
    if status is None or installation is None:
        return Holds(is_so=False, why="the Tigera operator reports no status of calico")
    available, degraded = condition_of(status, "Available"), condition_of(status, "Degraded")
    if degraded.get("status") == "True":
        said = bounded(str(degraded.get("message") or degraded.get("reason") or ""), 200)
        return Holds(is_so=False, why=f"TigeraStatus calico is Degraded: {said}")
    seen, wanted = available.get("observedGeneration"), value_at(installation, ("metadata", "generation"))
    if isinstance(seen, int) and seen and isinstance(wanted, int) and seen < wanted:
        return Holds(is_so=False, why="the Tigera operator has not seen the change of its Installation")
    return Holds(is_so=available.get("status") == "True", why="TigeraStatus calico is not Available")


def rolled_out(name: str, obj: Object | None) -> Holds:
    """Whether a DaemonSet or Deployment has brought all pods to its template."""
    if obj is None:
        return Holds(is_so=False, why=f"{name} no longer exists")
    status: Mapping[str, Any] = value_at(obj, ("status",)) or {}
    if status.get("observedGeneration", 0) < value_at(obj, ("metadata", "generation")):
        return Holds(is_so=False, why=f"the controller has not seen the change of {name}")
    if "desiredNumberScheduled" in status:
        wanted = status["desiredNumberScheduled"]
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
        left = 0
    else:
        wanted = value_at(obj, ("spec", "replicas"))
        wanted = 1 if wanted is None else wanted
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        left = status.get("replicas", 0) - wanted
    why = f"{updated} of {wanted} pods have the new template, {available} are available"
    return Holds(is_so=updated >= wanted and available >= wanted and left <= 0, why=why)
