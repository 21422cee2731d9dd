"""Whose pods stand behind a Service: their workloads, and those that the Service takes in by mistake.

A selector that is too wide takes pods of a second workload. They are ready by their own standards, so they become
endpoints, and refuse what they never served. A second version of the same application that lost its port looks alike;
its containers still declare the port, strangers never did.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#defining-a-service
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.cluster.objects import Pod
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.services.attempts import ServiceTest, ServiceTests, not_denied
from bot.probes.services.backends import Backend
from bot.probes.services.rules import listening_ports, listens_at

_OF_A_REVISION = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "controller-revision-hash",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that controllers write: no selector should name them."""
_ABSENT = frozenset({"other-port", "nothing", "other-protocol"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Strangers:
    """The pods of workloads that a Service takes in although they never served its port."""

    workloads: tuple[str, ...] = ()
    pods: frozenset[Subject] = frozenset()
    ports: tuple[str, ...] = ()
    """What they listen on instead."""
    narrower: tuple[str, ...] = ()
    """Labels that all the other pods carry and none of these: "app=postgres"."""


def workload_of(evidence: Evidence, subject: Subject) -> str:
    """What made a pod: "Deployment web", "StatefulSet db"; "pod web-1" for one that nobody controls."""
    pod = evidence.pods.get(subject)
    owners = pod.metadata.owner_references if pod else ()
    owner = next((each for each in owners if each.controller), next(iter(owners), None))
    if pod is None or owner is None:
        return f"pod {subject.name.partition('/')[2]}"
    if owner.kind != "ReplicaSet":
        return f"{owner.kind} {owner.name}"
    made_by = next((each for each in evidence.snapshot.replica_sets if each.metadata.uid == owner.uid), None)
    above = next((each for each in made_by.metadata.owner_references if each.controller), None) if made_by else None
    if above:
        return f"{above.kind} {above.name}"
    revision = pod.metadata.labels.get("pod-template-hash", "")
    name = owner.name.removesuffix(f"-{revision}") if revision else owner.name
    return f"Deployment {name}" if name != owner.name else f"ReplicaSet {name}"


def workloads(evidence: Evidence, ready: Iterable[Backend]) -> tuple[str, ...]:
    """The workloads behind a Service, in order of name."""
    return tuple(sorted({workload_of(evidence, each.pod) for each in ready if each.pod}))


def strangers(evidence: Evidence, tests: ServiceTests, ready: Sequence[Backend]) -> Strangers:
    """The workloads that serve none of a port's connections and never declared it, while another workload does."""
    asked = list(not_denied(tests.direct))
    found: set[Subject] = set()
    for port in {(each.service_port, each.protocol) for each in ready}:
        found |= _at(evidence, asked, [each for each in ready if (each.service_port, each.protocol) == port])
    if not found:
        return Strangers()
    others = {each.pod for each in ready if each.pod and each.pod not in found}
    reports = (evidence.pod_reports.get(pod) for pod in sorted(found))
    return Strangers(
        workloads=tuple(sorted({workload_of(evidence, pod) for pod in found})),
        pods=frozenset(found),
        ports=tuple(sorted(set(listening_ports(reports))))[:20],
        narrower=_narrower(
            [evidence.pods[pod] for pod in others if pod in evidence.pods],
            [evidence.pods[pod] for pod in found if pod in evidence.pods],
        ),
    )


def _at(evidence: Evidence, asked: Sequence[ServiceTest], behind: Sequence[Backend]) -> set[Subject]:
    """The strangers at one port."""
    by_workload: dict[str, list[Backend]] = {}
    for each in behind:
        if each.pod:
            by_workload.setdefault(workload_of(evidence, each.pod), []).append(each)
    serving = {name for name, ends in by_workload.items() if any(_serves(asked, each) for each in ends)}
    if not serving:
        return set()
    return {
        each.pod
        for name, ends in by_workload.items()
        if name not in serving and all(_never_served(evidence, asked, each) for each in ends)
        for each in ends
        if each.pod
    }


def _serves(asked: Iterable[ServiceTest], end: Backend) -> bool:
    return any(each.reach in {"ok", "mixed"} for each in asked if _is_at(each, end))


def _never_served(evidence: Evidence, asked: Iterable[ServiceTest], end: Backend) -> bool:
    """It refuses (or its sockets show nobody there), and its containers do not declare the port."""
    pod = evidence.pods.get(end.pod) if end.pod else None
    if pod is None or _declares(pod, end):
        return False
    word = listens_at(evidence.pod_reports.get(end.pod), end) if end.pod else None
    if word is not None:
        return word in _ABSENT
    reaches = {each.reach for each in asked if _is_at(each, end)}
    return reaches == {"refused"}


def _is_at(asked: ServiceTest, end: Backend) -> bool:
    return asked.backend == end.pod and (asked.port, asked.protocol) == (end.service_port, end.protocol)


def _declares(pod: Pod, end: Backend) -> bool:
    ports = (port for container in pod.spec.containers for port in container.ports)
    return any(port.container_port == end.port and port.protocol == end.protocol for port in ports)


def _narrower(wanted: Sequence[Pod], unwanted: Sequence[Pod]) -> tuple[str, ...]:
    if not wanted:
        return ()
    common: Mapping[str, str] = wanted[0].metadata.labels
    return tuple(
        f"{key}={value}"
        for key, value in sorted(common.items())
        if key not in _OF_A_REVISION
        and all(pod.metadata.labels.get(key) == value for pod in wanted)
        and all(pod.metadata.labels.get(key) != value for pod in unwanted)
    )
