"""What speaks against installing Cilium as the first CNI of a cluster: nodes wait for one, and nothing else is wrong.

Pure, over the same `Seen` as the checks before a migration.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bot.cluster.writer import Object
from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.cilium.checks import cluster, network, workloads
from bot.remediation.cilium.checks.outcome import Outcome, Problem, Unread
from bot.remediation.cilium.preflight import CHECKS, Check, CheckKind, run
from bot.remediation.cilium.seen import Seen, agents, info, name_of
from bot.remediation.cilium.values import CiliumValues
from bot.remediation.status import condition_of, is_true

WAITING = "cni plugin not initialized"
"""What a kubelet says of a node whose container runtime has found no CNI configuration."""
_SOME = 3
_Look = Callable[[CiliumValues, Seen], Iterator[Outcome]]


def checks(values: CiliumValues, seen: Seen) -> list[Check]:
    """What every check came to, what blocks first."""
    flat: dict[str, Any] = {network.POOLS: [values.pod_range], network.PORT: values.tunnel_port}
    return run(_kinds(values), flat, seen)


def _kinds(values: CiliumValues) -> Iterator[CheckKind]:
    """Those of the nineteen that matter where there is no CNI, some of them asking another thing."""
    kept = {"P01": cluster.owners, "P02": cluster.embedded, "P06": cluster.kernels, "P07": cluster.machines}
    kept |= {"P17": network.traces, "P18": cluster.admission}
    own: Mapping[str, tuple[str, str, _Look]] = {
        "P03": (
            "No DaemonSet is the agent of a CNI.",
            "Diagnose it: a CNI that fails is no reason for another.",
            _another_cni,
        ),
        "P04": ("The range overlaps no address in use.", "Take a range that nobody uses.", _range),
        "P13": ("No pod wants a port of its node.", "Put them behind a NodePort Service.", _host_ports),
        "P15": ("All nodes wait for a CNI, and for nothing else.", "Diagnose the nodes first.", _waiting),
        "P19": (
            "kube-proxy serves Services, and agents reach the API server.",
            "Let kube-proxy run on every node, or name the API server's address.",
            _services,
        ),
    }
    for kind in CHECKS:
        if kind.id in kept:
            what = "kube-system takes privileged pods." if kind.id == "P18" else kind.what
            yield CheckKind(
                id=kind.id, what=what, severity=kind.severity, why=kind.why, instead=kind.instead, look=kept[kind.id]
            )
        elif kind.id in own:
            what, instead, look = own[kind.id]
            yield CheckKind(
                id=kind.id,
                what=what,
                severity=kind.severity,
                why=kind.why,
                instead=instead,
                look=lambda _, seen, look=look: look(values, seen),
            )


def waiting_nodes(seen: Seen) -> tuple[str, ...]:
    """The nodes that wait for a CNI."""
    return tuple(sorted(name_of(node) for node in seen.nodes or () if is_waiting(node)))


def is_waiting(node: Object) -> bool:
    """Whether the node is not Ready because it waits for a CNI."""
    return not is_true(node, "Ready") and WAITING in str(condition_of(node, "Ready").get("message", ""))


def _another_cni(_: CiliumValues, seen: Seen) -> Iterator[Outcome]:
    if seen.daemon_sets is None:
        yield Unread("DaemonSets could not be read: whether there is a CNI already")
    if found := sorted(name_of(one) for _, one in agents(seen)):
        yield Problem(f"There is a CNI already ({and_more(found, _SOME)})")


def _range(values: CiliumValues, seen: Seen) -> Iterator[Outcome]:
    """The nodes' own podCIDRs may lie in it: nobody has handed them out, and Cilium does not look at them."""
    wanted = [values.network]
    yield from network.overlaps(wanted, seen, but=("Pod ranges of nodes",))
    if shortage := network.shortage(wanted, seen):
        yield shortage


def _host_ports(_: CiliumValues, seen: Seen) -> Iterator[Outcome]:
    """They do not work now either, so it is for the approvers to know."""
    for one in workloads.host_ports(seen):
        yield Problem(one.sentence, "accept") if isinstance(one, Problem) else one


def _waiting(_: CiliumValues, seen: Seen) -> Iterator[Outcome]:
    if not seen.nodes:
        yield Unread("No node could be read")
    ready = sorted(name_of(one) for one in seen.nodes or () if is_true(one, "Ready"))
    other = sorted(name_of(one) for one in seen.nodes or () if not is_true(one, "Ready") and not is_waiting(one))
    if ready:
        yield Problem(f"{and_more(ready, _SOME)}: Ready, so some CNI is configured there. This is no fresh cluster")
    if other:
        yield Problem(f"{and_more(other, _SOME)}: not Ready, and not because they wait for a CNI")


def _services(values: CiliumValues, seen: Seen) -> Iterator[Outcome]:
    """kube-proxy stays, so there must be one; agents reach the API server through it, unless told another way."""
    if seen.daemon_sets is None or seen.pods is None:
        yield Unread("DaemonSets or pods could not be read: whether kube-proxy runs")
        return
    is_inside = any("+k3s" in info(one, "kubeletVersion") for one in seen.nodes or ())
    proxies = [one for one in seen.daemon_sets if one["metadata"]["name"] == "kube-proxy"]
    if not proxies and not is_inside:
        yield Problem(
            "There is no kube-proxy, so nobody would serve ClusterIPs: plans do not install Cilium in its place. "
            "Install kube-proxy, or Cilium by hand with kubeProxyReplacement"
        )
        return
    served = {value_at(one, ("spec", "nodeName")) for one in _owned(seen.pods, proxies) if _runs(one)}
    without = [name for name in seen.node_names if name not in served]
    if without and proxies and not values.api_server:
        yield Problem(
            f"kube-proxy does not run on {and_more(without, _SOME)}, and agents would reach the API server through it: "
            "name a direct way, HOST:PORT"
        )


def _owned(pods: Sequence[Object], owners: Sequence[Object]) -> list[Object]:
    """The pods of these owners."""
    uids = {one["metadata"]["uid"] for one in owners}
    references = ("metadata", "ownerReferences")
    return [pod for pod in pods if any(one.get("uid") in uids for one in value_at(pod, references) or ())]


def _runs(pod: Object) -> bool:
    """Whether its containers are up: that the pod is Ready, nobody says while its node is not."""
    statuses: Sequence[Mapping[str, Any]] = value_at(pod, ("status", "containerStatuses")) or ()
    return bool(statuses) and all(one.get("ready") for one in statuses)
