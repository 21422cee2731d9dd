"""What the workloads would notice.

Source: https://docs.cilium.io/en/stable/installation/cni-chaining-portmap/ (hostPort)
Source: https://docs.cilium.io/en/stable/installation/k8s-install-migration/ (policies during a migration)
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.cilium.checks.outcome import Outcome, Problem, Unread
from bot.remediation.cilium.seen import Seen, containers, moving_pods, name_of

Values = Mapping[str, Any]
_SOME = 3
_LONG_S = 300
_CALICO_WISHES = (
    "cni.projectcalico.org/ipAddrs",
    "cni.projectcalico.org/ipAddrsNoIpam",
    "cni.projectcalico.org/ipv4pools",
    "cni.projectcalico.org/floatingIPs",
    "egress.projectcalico.org/selector",
)


def foreign_policies(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Policies that Cilium does not know, and those of which it understands another thing."""
    if seen.calico_policies is None:
        yield Unread("Calico's policies could not be read")
    elif seen.calico_policies:
        listed = and_more(sorted(map(name_of, seen.calico_policies)), _SOME)
        yield Problem(f"Cilium will enforce none of Calico's own policies: {listed}")
    by_address = sorted(name_of(one) for one in seen.policies or () if "ipBlock" in str(one.get("spec")))
    if by_address:
        yield Problem(f"Cilium matches no pods by ipBlock: {and_more(by_address, _SOME)}")


def policies(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Policies that are not enforced meanwhile."""
    if seen.policies is None:
        yield Unread("NetworkPolicies could not be read")
    elif seen.policies:
        yield Problem(f"{len(seen.policies)} NetworkPolicies are not enforced for migrated pods until the end")


def calico_wishes(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Addresses and ways out that only Calico gives."""
    if seen.pods is None or seen.namespaces is None:
        yield Unread("Pods or namespaces could not be read: whether they ask Calico for certain addresses")
    for one in (*(seen.pods or ()), *(seen.namespaces or ())):
        annotations: Mapping[str, str] = value_at(one, ("metadata", "annotations")) or {}
        if asked := sorted(annotations.keys() & {*_CALICO_WISHES}):
            yield Problem(f"{name_of(one)} asks Calico for something that Cilium does not give: {', '.join(asked)}")


def evictions(_: Values, seen: Seen) -> Iterator[Outcome]:
    """Pods that a drain ends for good, or cannot move."""
    if seen.pods is None or seen.budgets is None:
        yield Unread("Pods or PodDisruptionBudgets could not be read: what a drain would end or could not move")
    pods = moving_pods(seen)
    bare = sorted(name_of(pod) for pod in pods if not value_at(pod, ("metadata", "ownerReferences")))
    if bare:
        yield Problem(f"{len(bare)} pods have no controller and are gone for good: {and_more(bare, _SOME)}")
    kept = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    unsafe = sorted(name_of(pod) for pod in pods if value_at(pod, ("metadata", "annotations", kept)) == "false")
    if unsafe:
        yield Problem(f"Their owners do not want them evicted: {and_more(unsafe, _SOME)}")
    slow = sorted(
        name_of(pod) for pod in pods if (value_at(pod, ("spec", "terminationGracePeriodSeconds")) or 0) > _LONG_S
    )
    if slow:
        yield Problem(f"They may take more than {_LONG_S} s to end: {and_more(slow, _SOME)}")
    tight = sorted(name_of(one) for one in seen.budgets or () if value_at(one, ("status", "disruptionsAllowed")) == 0)
    if tight:
        yield Problem(f"PodDisruptionBudgets that allow no eviction now: {and_more(tight, _SOME)}")


def host_ports(seen: Seen) -> Iterator[Outcome]:
    """Pods that want a port of their node: beside kube-proxy, Cilium alone serves none."""
    if seen.pods is None:
        yield Unread("Pods could not be read: hostPorts")
    ports = [
        name_of(pod)
        for pod in moving_pods(seen)
        if any(port.get("hostPort") for one in containers(pod, ("spec",)) for port in one.get("ports") or ())
    ]
    if ports:
        yield Problem(
            f"{len(ports)} pods use a hostPort: {and_more(sorted(ports), _SOME)}. Beside kube-proxy Cilium serves none",
            "block",
        )


def external_traffic(_: Values, seen: Seen) -> Iterator[Outcome]:
    """What comes in from outside: a port of the node, and webhooks without which the API server changes nothing."""
    yield from host_ports(seen)
    if seen.services is None or seen.webhooks is None:
        yield Unread("Services or webhooks could not be read")
    outside = sorted(
        name_of(one) for one in seen.services or () if value_at(one, ("spec", "type")) in {"NodePort", "LoadBalancer"}
    )
    if outside:
        yield Problem(f"Tried from outside by nobody: {and_more(outside, _SOME)}")
    strict = sorted(
        name_of(one)
        for one in seen.webhooks or ()
        if any(
            hook.get("failurePolicy", "Fail") == "Fail" and value_at(hook, ("clientConfig", "service"))
            for hook in one.get("webhooks") or ()
        )
    )
    if strict:
        yield Problem(f"While their pods move, the API server refuses changes: {and_more(strict, _SOME)}")
