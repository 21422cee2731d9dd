"""Which failing flows are followed, by which series, and who listens where. Computed from the evidence alone.

A few representatives: one of each pattern of failure first, pods that were asked about before others.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.agent.report import Purpose, Task, TaskPod, Test
from bot.agent.traced import TraceFlow
from bot.cluster.objects import EndpointSlice
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.enforcement import allowed
from bot.probes.services.host_clients import host_clients, place_of
from bot.probes.shared.reach import target_of

MAX_FLOWS = 4
MAX_NODES = 6
MAX_ENDPOINTS = 4
COUNTS = (17, 19, 23, 13)
"""Packets of each series: numbers that differ, so that a counter tells whose it was."""
PORT_BLOCK = 32
FIRST_PORTS = range(61_056, 65_280, 128)
"""Above the ports that Linux gives to clients."""
LENGTHS = range(340, 540, 4)
"""Of whole IP packets: they fit every path, and few others are so long."""
QUESTIONS = frozenset({"dns-service", "dns-pod", "dns-own"})
_IN_CLUSTER = frozenset({"pod", "service"})
CLASSES: dict[Purpose, str] = {
    "own-node": "node",
    "node": "node",
    "local-pod": "pod",
    "remote-pod": "pod",
    "endpoint": "pod",
    "cluster-ip": "service",
    "dns-service": "dns",
    "dns-pod": "dns",
    "dns-own": "dns",
    "outside": "outside",
    "dial": "service",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePlan:
    """The series, and one task for each node that they touch."""

    flows: tuple[TraceFlow, ...] = ()
    tasks: dict[str, Task]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failing:
    source: Subject
    node: str
    test: Test
    target: Subject | None
    ends: tuple[tuple[str, Subject | None], ...]
    """Addresses behind what was dialled, and the pods that hold them."""
    is_for_pod: bool
    """The node sends in place of a pod asked about, which shares its network and needs this."""


def plan_trace(evidence: Evidence, rng: random.Random) -> TracePlan:
    """Empty where nothing fails that packets could show."""
    chosen = _chosen([*_failing(evidence)], evidence)
    first, length = rng.choice(FIRST_PORTS), rng.choice(LENGTHS)
    flows = tuple(
        _flow(evidence, number, one, first + PORT_BLOCK * (number - 1), length + number - 1)
        for number, one in enumerate(chosen, 1)
    )
    if not flows:
        return TracePlan(tasks={})
    pods = {pod for one in chosen for pod in (one.source, *(pod for _, pod in one.ends)) if pod}
    nodes = dict.fromkeys(
        node for one in chosen for node in (one.node, *(_node_of(evidence, pod) for _, pod in one.ends)) if node
    )
    looked_at = [node for node in nodes if node in evidence.reports][:MAX_NODES]
    tasks = {node: Task(node=node, pods=tuple(_pods(evidence, node, pods)), follow=flows) for node in looked_at}
    return TracePlan(flows=flows, tasks=tasks)


def _failing(evidence: Evidence) -> Iterator[_Failing]:
    """Tests that failed although nothing forbids them, from nodes that an agent can send from."""
    needing = {
        (facts.node(each.node), service)
        for service, clients in host_clients(evidence).items()
        for each in clients
        if each.flow.source in evidence.scope_pods
    }
    for source, node, test in evidence.tests:
        if test.ok >= test.tries or test.outcome == "ok":
            continue
        if test.protocol == "udp" and test.outcome == "timeout":
            continue  # silence of a server that need not answer
        if test.outcome in {"ECONNREFUSED", "reset"} and not test.icmp and CLASSES[test.purpose] not in _IN_CLUSTER:
            continue  # it came through, and was refused there
        target = target_of(evidence, test)
        ends = tuple(islice(_ends(evidence, test, target), MAX_ENDPOINTS))
        if target == source or any(_is_denied(evidence, source, pod, test) for _, pod in ends if pod):
            continue
        sender = place_of(evidence, source)
        is_for_pod = sender != source or (source, target) in needing
        yield _Failing(source=sender, node=node, test=test, target=target, ends=ends, is_for_pod=is_for_pod)


def _ends(evidence: Evidence, test: Test, target: Subject | None) -> Iterator[tuple[str, Subject | None]]:
    if target is not None and target.kind is SubjectKind.SERVICE:
        yield from _endpoints(evidence.slices.get(target, ()), "IPv6" if ":" in test.ip else "IPv4")
    elif target is not None and target.kind is SubjectKind.NODE:
        yield test.ip, target
    else:
        yield test.ip, target or next(iter(evidence.pods_by_ip.get(test.ip, ())), None)


def _endpoints(slices: Sequence[EndpointSlice], family: str) -> Iterator[tuple[str, Subject | None]]:
    for each in slices:
        for endpoint in each.endpoints if each.address_type == family else ():
            if endpoint.is_ready and endpoint.addresses:
                ref = endpoint.target_ref
                is_pod = ref is not None and ref.kind == "Pod"
                pod = facts.pod(ref.namespace or each.metadata.namespace, ref.name) if ref and is_pod else None
                yield endpoint.addresses[0], pod


def _is_denied(evidence: Evidence, source: Subject, target: Subject, test: Test) -> bool:
    """By a NetworkPolicy: what dies there dies as it should."""
    if not evidence.snapshot.network_policies or target.kind is not SubjectKind.POD:
        return False
    protocol = "TCP" if test.protocol in {"tcp", "dns-tcp"} else "ICMP" if test.protocol in {"icmp", "mtu"} else "UDP"
    return allowed(evidence, source, target, test.port or None, protocol).is_denied


def _chosen(failing: Sequence[_Failing], evidence: Evidence) -> Sequence[_Failing]:
    """One of each class of flows, then of each pattern, as many as fit."""
    asked = set(evidence.scope_pods)
    ranked = sorted(
        failing,
        key=lambda one: (
            one.source.kind is SubjectKind.NODE and not one.is_for_pod,
            one.source not in asked and not one.is_for_pod,
            one.test.outcome == "ECONNREFUSED",
            one.test.protocol == "mtu",
            one.source,
        ),
    )
    patterns: tuple[Callable[[_Failing], object], ...] = (
        lambda one: (CLASSES[one.test.purpose], one.test.protocol == "mtu"),
        lambda one: (
            CLASSES[one.test.purpose],
            one.test.protocol,
            one.node,
            _node_of(evidence, one.target),
        ),
        lambda one: (one.source, one.test.ip, one.test.port, one.test.protocol),
    )
    found: list[_Failing] = []
    for pattern in patterns:
        known = {pattern(one) for one in found}
        for one in ranked:
            if len(found) < MAX_FLOWS and pattern(one) not in known:
                known.add(pattern(one))
                found.append(one)
    return found


def _flow(evidence: Evidence, number: int, one: _Failing, first_port: int, length: int) -> TraceFlow:
    test = one.test
    is_dns = test.purpose in QUESTIONS
    is_node = one.source.kind is SubjectKind.NODE
    own = _addresses(evidence, one)
    protocol = "tcp" if test.protocol in {"tcp", "dns-tcp"} else "icmp" if test.protocol in {"icmp", "mtu"} else "udp"
    lost = [step.size_bytes for step in test.mtu_steps if step.outcome == "timeout"]
    return TraceFlow(
        number=number,
        node=one.node,
        source="node" if is_node else evidence.pods[one.source].metadata.uid,
        ip=test.ip,
        port=test.port or (53 if is_dns else 0),
        protocol=protocol,
        addresses=tuple(dict.fromkeys((*own, test.ip, *(ip for ip, _ in one.ends)))),
        count=COUNTS[number - 1],
        first_port=first_port,
        length=0 if protocol == "tcp" else min(lost) if lost else length,
        question=test.name if is_dns and protocol == "udp" else "",
    )


def _addresses(evidence: Evidence, one: _Failing) -> Iterator[str]:
    """Those that the source may send from."""
    family = 6 if ":" in one.test.ip else 4
    if one.source.kind is SubjectKind.POD:
        status = evidence.pods[one.source].status
        own = (status.pod_ip, *(each.ip for each in status.pod_ips))
        yield from (ip for ip in dict.fromkeys(own) if ip and (":" in ip) is (family == 6))
    else:
        root = evidence.reports[one.node].root
        yield from islice((each.ip for each in root.addresses if each.family == family and each.dev != "lo"), 8)


def _pods(evidence: Evidence, node: str, wanted: set[Subject]) -> Iterator[TaskPod]:
    for subject in sorted(wanted):
        pod = evidence.pods.get(subject)
        if pod and pod.spec.node_name == node and not pod.spec.host_network:
            meta = pod.metadata
            yield TaskPod(uid=meta.uid, namespace=meta.namespace, name=meta.name, ip=pod.status.pod_ip, is_source=True)


def _node_of(evidence: Evidence, subject: Subject | None) -> str:
    if subject is None:
        return ""
    return subject.name if subject.kind is SubjectKind.NODE else evidence.node_of(subject)
