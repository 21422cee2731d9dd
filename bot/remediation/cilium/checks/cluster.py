"""Who owns the cluster's CNI, how it is now, and what the cluster can bear.

Source: https://docs.k3s.io/networking/basic-network-options (flannel inside the k3s process)
Source: https://docs.cilium.io/en/stable/operations/system_requirements/ (kernels, architectures)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from bot.cluster.writer import Object
from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.cilium.checks.outcome import Outcome, Problem, Unread
from bot.remediation.cilium.seen import Seen, agents, containers, info, name_of
from bot.remediation.owners import owner_of
from bot.remediation.status import is_ready, is_true

Values = Mapping[str, Any]
OLDEST_KERNEL = (5, 10)
_MANAGED = ("-eks-", "-gke.", "-aks")
_OPERATORS = {
    "clusterversions.config.openshift.io": "OpenShift",
    "installations.operator.tigera.io": "The Tigera operator",
    "ciliumconfigs.cilium.io": "An operator of Cilium's",
}
_MOVERS = ("cluster-autoscaler", "karpenter", "kured", "system-upgrade-controller", "descheduler")
_SOME = 3


def owners(values: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether somebody else reconciles the nodes' CNI: a provider, an operator, GitOps."""
    del values
    for node in seen.nodes or ():
        if any(part in info(node, "kubeletVersion") for part in _MANAGED):
            yield Problem(f"Node {name_of(node)} is managed: the provider owns its CNI")
    if seen.definitions is None:
        yield Unread("CustomResourceDefinitions could not be read: whether an operator owns the CNI")
    for one in seen.definitions or ():
        if operator := _OPERATORS.get(str(one["metadata"]["name"])):
            yield Problem(f"{operator} owns the CNI here and would undo changes")
    for _, agent in agents(seen):
        owner = owner_of(agent)
        if owner and not owner.is_helm:
            yield Problem(f"DaemonSet {name_of(agent)} belongs to {owner.name}. {owner.how.removesuffix('.')}")


def embedded(_: Values, seen: Seen) -> Iterator[Outcome]:
    """K3s runs flannel inside its own process: only its arguments, on every server, tell that it does not."""
    versions = [info(node, "kubeletVersion") for node in seen.nodes or ()]
    if not any("+k3s" in one or "+rke2" in one for one in versions):
        return
    arguments = [
        str(value)
        for node in seen.nodes or ()
        for key in ("k3s.io/node-args", "rke2.io/node-args")
        if (value := value_at(node, ("metadata", "annotations", key))) and "server" in str(value)
    ]
    if not arguments:
        yield Unread("No server of K3s or RKE2 says with which arguments it was started")
    elif not all(re.search(r'flannel-backend"?[=,:\s"]+none', one) or "rke2" in one for one in arguments):
        yield Problem(
            "Flannel runs inside k3s on some server. K3s does not support changing the CNI of a running cluster: "
            "turning flannel off moves the directory of CNI configuration"
        )
    if any(
        "egress-selector-mode" in one and "pod" in one.partition("egress-selector-mode")[2][:12] for one in arguments
    ):
        yield Problem("egress-selector-mode is pod, which needs the nodes' podCIDRs: Cilium does not use them")


def kernels(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether Cilium runs on the nodes' kernels."""
    if not seen.nodes:
        yield Unread("Nodes could not be read, so their kernels are not known")
    for node in seen.nodes or ():
        kernel = info(node, "kernelVersion")
        found = re.match(r"(\d{1,9})\.(\d{1,9})", kernel)
        if found is None:
            yield Unread(f"The kernel of {name_of(node)} is not known")
        elif (int(found[1]), int(found[2])) < OLDEST_KERNEL and ".el8" not in kernel:
            yield Problem(f"Node {name_of(node)} runs kernel {kernel}: Cilium 1.18 and newer need 5.10")


def machines(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether there are images for the nodes' processors."""
    for node in seen.nodes or ():
        architecture = info(node, "architecture")
        if architecture not in {"amd64", "arm64"}:
            yield Problem(f"Node {name_of(node)} is {architecture or 'of no known architecture'}")


def capacity(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether the cluster can do without any one node, and nobody drains or adds nodes at the same time."""
    if seen.nodes is None or seen.pods is None:
        yield Unread("Nodes or pods could not be read: whether the pods fit on one node less")
        return
    if len(seen.nodes) < 2:
        yield Problem("There is one node: its pods have nowhere to go while it is migrated")
    yield from _room(seen.nodes, seen.pods)
    dns = [pod for pod in seen.pods if value_at(pod, ("metadata", "labels", "k8s-app")) == "kube-dns" and is_ready(pod)]
    if len({value_at(pod, ("spec", "nodeName")) for pod in dns}) < 2:
        yield Problem(f"{len(dns)} DNS pods are Ready, not two on different nodes: one drain takes DNS away")
    if seen.deployments is None or seen.daemon_sets is None:
        yield Unread("Deployments or DaemonSets could not be read: whether something else drains or adds nodes")
    for one in (*(seen.deployments or ()), *(seen.daemon_sets or ())):
        is_off = value_at(one, ("spec", "replicas")) == 0
        if not is_off and any(part in str(one["metadata"]["name"]) for part in _MOVERS):
            yield Problem(f"{name_of(one)} drains, adds or moves things by itself: pause it meanwhile")


def _room(nodes: Sequence[Object], pods: Sequence[Object]) -> Iterator[Outcome]:
    """What pods request has to fit on all nodes but the largest."""
    for resource in ("cpu", "memory"):
        sizes = [quantity(value_at(node, ("status", "allocatable", resource))) for node in nodes]
        if not all(sizes):
            yield Unread(f"Some node does not say how much {resource} it has")
            continue
        wanted = sum(
            quantity(value_at(container, ("resources", "requests", resource)))
            for pod in pods
            if value_at(pod, ("status", "phase")) in {"Running", "Pending"}
            for container in containers(pod, ("spec",))
        )
        left = sum(sizes) - max(sizes)
        if wanted > left:
            share = f"{100 * wanted / left:.0f} %" if left else "all"
            yield Problem(f"Pods request {share} of the {resource} that is left when the largest node is drained")


_SUFFIXES: Mapping[str, Decimal] = {
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}


def quantity(text: Any) -> Decimal:
    """A quantity of Kubernetes's; 0 for none and for one that cannot be read."""
    found = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)", str(text or ""))
    try:
        return Decimal(found[1]) * _SUFFIXES.get(found[2], Decimal(1)) if found else Decimal(0)
    except InvalidOperation:
        return Decimal(0)


def health(values: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether the cluster is well as it is: nobody could tell afterwards what the migration broke."""
    del values
    if not seen.nodes:
        yield Unread("Nodes could not be read")
    for node in seen.nodes or ():
        if not is_true(node, "Ready"):
            yield Problem(f"Node {name_of(node)} is not Ready")
    for _, agent in agents(seen):
        wanted, ready = (value_at(agent, ("status", key)) for key in ("desiredNumberScheduled", "numberReady"))
        if not isinstance(wanted, int):
            yield Unread(f"DaemonSet {name_of(agent)} does not say how many of its pods are Ready")
        elif (ready or 0) < wanted:
            yield Problem(f"{ready or 0} of {wanted} pods of DaemonSet {name_of(agent)} are Ready")


def admission(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether kube-system takes privileged pods."""
    if seen.namespaces is None:
        yield Unread("Namespaces could not be read: whether kube-system takes privileged pods")
    for one in seen.namespaces or ():
        level = value_at(one, ("metadata", "labels", "pod-security.kubernetes.io/enforce"))
        if name_of(one) == "kube-system" and level in {"baseline", "restricted"}:
            yield Problem(f"kube-system enforces the pod security level {level}: agents are refused")
    if seen.quotas is None:
        yield Unread("ResourceQuotas could not be read")
    limits = sorted(name_of(one) for one in seen.quotas or () if one["metadata"].get("namespace") == "kube-system")
    if limits:
        yield Problem(f"{and_more(limits, _SOME)} limits what can be made in kube-system", "accept")


def way_in(values: Values, seen: Seen) -> Iterator[Outcome]:
    """Whether agents, and people, reach what they need when the network does not work."""
    host = str(values.get("k8sServiceHost") or "")
    for node in seen.nodes or ():
        if host and any(one.get("address") == host for one in value_at(node, ("status", "addresses")) or ()):
            yield Problem(
                f"k8sServiceHost {host} is node {name_of(node)}: without it no agent reaches the API server", "warn"
            )
    yield Problem(
        "Nobody can see from here whether you reach each node without the cluster's network (console, BMC)", "accept"
    )
