"""Whether a cluster may get Cilium beside its present CNI, by the values that somebody wants to install it with.

Nineteen checks, pure functions of the values and of what was read. Nothing is installed by this; it says what would
break, why, and what to do, before anybody does.

Source: https://docs.cilium.io/en/stable/installation/k8s-install-migration/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from bot.remediation.cilium.checks import cluster, network, workloads
from bot.remediation.cilium.checks.outcome import Look, Outcome, Problem, Severity, Unread
from bot.remediation.cilium.seen import Seen

State = Literal["ok", "blocked", "asks", "warns", "unknown"]
"""blocked: it must not be done so. asks: somebody must accept it. unknown: not read, so not known to be well."""
_STATES: Mapping[Severity, State] = {"block": "blocked", "accept": "asks", "warn": "warns"}
_ORDER: Mapping[State, int] = {"blocked": 0, "unknown": 1, "asks": 2, "warns": 3, "ok": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckKind:
    """One of the checks."""

    id: str
    what: str
    """What is well when it finds nothing."""
    severity: Severity
    why: str
    """What happens otherwise."""
    instead: str
    """What to do about it."""
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one of the checks came to."""

    id: str
    state: State
    sentence: str
    why: str = ""
    instead: str = ""
    is_only_to_know: bool = False
    """It is no more than a warning, so that not knowing it stops nothing."""

    @property
    def stops(self) -> bool:
        """Whether nothing may be installed: it must not be done so, or whether it may is not known."""
        return self.state == "blocked" or (self.state == "unknown" and not self.is_only_to_know)


VALUES: Mapping[str, tuple[str, Any, str]] = {
    "customConf": ("cni.customConf", True, "else each agent takes its node over as soon as it is ready: all at once"),
    "uninstall": ("cni.uninstall", False, "else a stopping agent deletes CNI configuration"),
    "routing": ("routingMode", "tunnel", "native routing between two CNIs at work falls apart"),
    "ipam": ("ipam.mode", "cluster-pool", "the migration is described for cluster-pool only"),
    "policy": (
        "policyEnforcementMode",
        "never",
        "else pods of the old CNI are dropped where a policy selects by label",
    ),
    "legacy": ("bpf.hostLegacyRouting", True, "else Cilium's pods and the old CNI's cannot reach each other"),
    "watcher": ("operator.unmanagedPodWatcher.restart", False, "else CoreDNS is killed every 15 s, without end"),
    "taints": ("operator.setNodeTaints", False, "else an absent agent leaves a taint that nothing takes off"),
    "proxy": (
        "kubeProxyReplacement",
        False,
        "Services would change their path in the same moment: a later step",
    ),
}
"""The values of the first phase: where, what, and what happens otherwise."""
_KNOWN = frozenset(path for path, _, _ in VALUES.values()) | {
    network.POOLS,
    network.PORT,
    "tunnelProtocol",
    "k8sServiceHost",
    "k8sServicePort",
    "updateStrategy.rollingUpdate.maxUnavailable",
    "ipam.operator.clusterPoolIPv4MaskSize",
    "image.repository",
    "image.tag",
    "operator.replicas",
    "cni.confPath",
    "cni.binPath",
    "hubble.enabled",
    "envoy.enabled",
}


def _values(values: Mapping[str, Any], seen: Seen) -> Iterator[Outcome]:
    """Whether the values leave the old CNI alone, and kube-system takes what they make."""
    for path, wanted, why in VALUES.values():
        if values.get(path) != wanted:
            yield Problem(f"{path} must be {_yaml(wanted)}, is {_yaml(values.get(path))}: {why}")
    for path in sorted(values.keys() - _KNOWN):
        yield Problem(f"{path} is no value that is known here: the chart ignores a mistyped one silently", "accept")
    yield from cluster.admission(values, seen)


def _yaml(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


CHECKS: tuple[CheckKind, ...] = (
    CheckKind(
        id="P01",
        what="Nobody else reconciles the CNI.",
        severity="block",
        why="Whoever owns the CNI brings the old one back in the middle.",
        instead="Change it where its owner wants it changed.",
        look=cluster.owners,
    ),
    CheckKind(
        id="P02",
        what="No CNI runs inside K3s or RKE2.",
        severity="block",
        why="It cannot be stopped without restarting the server, which moves the directory of CNI configuration.",
        instead="Build a new cluster with flannel-backend none and move the workloads, or do it by hand in a window.",
        look=cluster.embedded,
    ),
    CheckKind(
        id="P03",
        what="The present CNI works in a way from which there is a known one.",
        severity="block",
        why="Two CNIs reach each other only where both use the kernel's routing.",
        instead="Bring the CNI to plain VXLAN or IPIP first, or build a new cluster.",
        look=network.mode,
    ),
    CheckKind(
        id="P04",
        what="The new range overlaps no address that is known here.",
        severity="block",
        why="Two pods get the same address, and traffic for one reaches the other.",
        instead="Take a range that nobody uses, with one /24 for each node.",
        look=network.ranges,
    ),
    CheckKind(
        id="P05",
        what="The tunnel's port is free.",
        severity="block",
        why="Agents become Ready, and the tunnel stays down without a word.",
        instead="Take a free port, such as 8473, and open it between all nodes.",
        look=network.tunnel,
    ),
    CheckKind(
        id="P06",
        what="All kernels are new enough.",
        severity="block",
        why="Agents do not start on an older kernel.",
        instead="Upgrade the nodes first.",
        look=cluster.kernels,
    ),
    CheckKind(
        id="P07",
        what="There are images for all processors.",
        severity="block",
        why="No image can be pulled there, and the node stays without a network.",
        instead="Leave such nodes out, or keep the CNI.",
        look=cluster.machines,
    ),
    CheckKind(
        id="P08",
        what="The old CNI will not take Cilium's devices for the node's own.",
        severity="block",
        why="calico-node becomes NotReady, and its tunnels and routes go away.",
        instead="Set IP_AUTODETECTION_METHOD to kubernetes-internal-ip or skip-interface=cilium.*, and roll it out.",
        look=network.autodetection,
    ),
    CheckKind(
        id="P09",
        what="There is no policy that Cilium reads otherwise.",
        severity="accept",
        why="What was forbidden is allowed, or what was allowed is dropped.",
        instead="Translate them to CiliumNetworkPolicies, and try them in audit mode.",
        look=workloads.foreign_policies,
    ),
    CheckKind(
        id="P10",
        what="There are no NetworkPolicies.",
        severity="accept",
        why="Policies are not enforced for new pods while both CNIs are at work.",
        instead="Have whoever answers for security agree to the gap.",
        look=workloads.policies,
    ),
    CheckKind(
        id="P11",
        what="Nobody asks the old CNI for certain addresses.",
        severity="accept",
        why="The pod gets another address than it asks for.",
        instead="Change the workload so that it needs none.",
        look=workloads.calico_wishes,
    ),
    CheckKind(
        id="P12",
        what="Every pod can be evicted, and comes back.",
        severity="accept",
        why="A drain stops there, or ends something for good.",
        instead="Move them by hand first, or add replicas.",
        look=workloads.evictions,
    ),
    CheckKind(
        id="P13",
        what="Nothing comes in by a port of a node.",
        severity="accept",
        why="What comes from outside fails, though all pods are well.",
        instead="Put them behind a NodePort Service or on the host's network; try each way in after every node.",
        look=workloads.external_traffic,
    ),
    CheckKind(
        id="P14",
        what="The cluster can do without any one node.",
        severity="block",
        why="Evicted pods stay Pending, or nodes change under the migration.",
        instead="Add a node or replicas; pause what drains and adds nodes.",
        look=cluster.capacity,
    ),
    CheckKind(
        id="P15",
        what="Nodes and the CNI are well.",
        severity="block",
        why="Afterwards nobody could tell what the migration broke.",
        instead="Repair first, then migrate.",
        look=cluster.health,
    ),
    CheckKind(
        id="P16",
        what="Packets of the present size pass through Cilium's tunnel.",
        severity="warn",
        why="Large packets vanish while small ones pass.",
        instead="Set the MTU of the old CNI lower first, and restart its pods.",
        look=network.sizes,
    ),
    CheckKind(
        id="P17",
        what="There is no trace of an earlier Cilium.",
        severity="block",
        why="Old blocks, devices and taints win over the new configuration.",
        instead="Delete the CiliumNodes, take the taint off, and reboot the nodes with its devices.",
        look=network.devices,
    ),
    CheckKind(
        id="P18",
        what="The values are those of the first phase.",
        severity="block",
        why="All nodes are taken over at once, or traffic between the two CNIs is dropped.",
        instead="Correct the values.",
        look=_values,
    ),
    CheckKind(
        id="P19",
        what="Agents and people have another way in.",
        severity="block",
        why="When the network fails, nobody can reach the nodes to repair it.",
        instead="Try the console of each node; name a balancer that is reached from every node as k8sServiceHost.",
        look=cluster.way_in,
    ),
)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Values by their dotted paths."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            found |= flat(cast("Mapping[str, Any]", value), where)
        else:
            found[where] = value
    return found


def preflight(values: Mapping[str, Any], seen: Seen) -> list[Check]:
    """What every check came to, what blocks first."""
    return run(CHECKS, flat(values), seen)


def run(kinds: Iterable[CheckKind], values: Mapping[str, Any], seen: Seen) -> list[Check]:
    """What these checks come to, what blocks first; one that finds nothing says what is well."""
    found = [check for kind in kinds for check in _of(kind, kind.look(values, seen))]
    return sorted(found, key=lambda one: (_ORDER[one.state], one.id))


def _of(kind: CheckKind, outcomes: Iterable[Outcome]) -> Iterator[Check]:
    is_quiet = True
    for outcome in outcomes:
        is_quiet = False
        is_unread = isinstance(outcome, Unread)
        state: State = "unknown" if is_unread else _STATES[_severity(kind, outcome)]
        yield Check(
            id=kind.id,
            state=state,
            sentence=outcome.sentence,
            why=kind.why,
            instead=kind.instead,
            is_only_to_know=kind.severity == "warn",
        )
    if is_quiet:
        yield Check(id=kind.id, state="ok", sentence=kind.what)


def _severity(kind: CheckKind, outcome: Outcome) -> Severity:
    return (outcome.severity if isinstance(outcome, Problem) else None) or kind.severity
