"""Why the pods behind a Service are not ready: of their own, or because of something that failed before.

That no pod is ready is seldom a root. A kubelet that is gone, an image that is not there, a dependency out of reach:
each makes pods unready, and the Service in front of them empty. What the API and the tests show decides, in this order.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.cluster.objects import ContainerStatus, Pod
from bot.domain.errors import bounded
from bot.domain.facts import Rung, Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.services.attempts import ServiceTest, tests_by_service
from bot.probes.services.backends import backends
from bot.probes.services.dialled_names import missing_names
from bot.probes.services.dialled_ports import missing_ports, untried_ports
from bot.probes.services.host_clients import place_of
from bot.probes.services.itself import itself
from bot.probes.services.kubelet_probes import readiness_ports, unconnected
from bot.probes.services.needed import clients_of, needs
from bot.probes.services.plain_addresses import outside_addresses_lost, plain_addresses
from bot.probes.services.rules import open_tcp_ports
from bot.probes.shared.reach import aggregate, in_words, reach_of
from bot.probes.shared.unread_resources import why_unread

FOLLOWS = ("kubelet", "no-network", "network", "needs", "unanswered")
"""Something failed before: being unready follows from it."""
WHY = (
    "terminating",
    *FOLLOWS,
    "unscheduled",
    "image",
    "configuration",
    "crash",
    "starting",
    "needs-denied",
    "probe-port",
    "application",
    "mixed",
)
RECENT_S = 300.0
MAX_WORDS = 120
_IMAGE = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """Why a pod is not ready."""

    why: str
    lacks: tuple[str, ...] = ()
    """What is out of its reach, in words."""


def unready(evidence: Evidence, subject: Subject, pod: Pod) -> Unready | None:
    """Why a pod is not ready; None where the API does not say, and nothing was sent from inside the pod."""
    if word := _by_the_api(evidence, pod):
        return word
    if not pod.status.pod_ip:
        return Unready(why="no-network", lacks=("it has no address",))
    if lacking := _lacking(evidence, subject, pod):
        return lacking
    if any(_crashes(evidence, each) for each in _statuses(pod)):
        return Unready(why="crash")
    why = _of_its_own(evidence, subject, pod) if subject in evidence.pod_reports else ""
    return Unready(why=why) if why else None


def _by_the_api(evidence: Evidence, pod: Pod) -> Unready | None:
    """What the API alone decides."""
    name = pod.spec.node_name
    reasons = {each.state.waiting.reason for each in _statuses(pod) if each.state.waiting}
    for word, holds in (
        ("terminating", pod.metadata.deletion_timestamp is not None),
        ("unscheduled", not name),
        ("kubelet", _is_kubelet_silent(evidence, pod)),
        ("image", reasons & _IMAGE),
        ("configuration", reasons & _CONFIGURATION),
    ):
        if holds:
            return Unready(why=word, lacks=(f"the kubelet of {name} does not report",) if word == "kubelet" else ())
    return None


def _is_kubelet_silent(evidence: Evidence, pod: Pod) -> bool:
    node = evidence.nodes.get(pod.spec.node_name)
    conditions = node.status.conditions if node else ()
    return any(each.type == "Ready" and each.status == "Unknown" for each in conditions)


def _statuses(pod: Pod) -> Sequence[ContainerStatus]:
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def _crashes(evidence: Evidence, status: ContainerStatus) -> bool:
    """It waits to be started again, has ended in failure, or did so a moment ago."""
    if status.state.waiting:
        return status.state.waiting.reason == "CrashLoopBackOff"
    ended = status.state.terminated or status.last_state.terminated
    if ended is None or ended.exit_code == 0 or status.ready:
        return False
    since = (evidence.snapshot.taken_at - ended.finished_at).total_seconds() if ended.finished_at else 0.0
    return since < RECENT_S


def _lacking(evidence: Evidence, subject: Subject, pod: Pod) -> Unready | None:
    """What a pod that has an address is kept from: it goes before that it crashes, which many do without it."""
    if lacks := _out_of_kubelets_reach(evidence, pod):
        return Unready(why="network", lacks=(lacks,))
    for why, lacks in (
        ("needs", [*_lacks(evidence, subject, is_denied=False), *_lacks_behind(evidence, subject)]),
        ("needs", ["itself by its own loopback"] if _is_kept_from_itself(evidence, subject) else []),
        ("needs-denied", _lacks(evidence, subject, is_denied=True)),
    ):
        if lacks := tuple(dict.fromkeys(lacks)):
            return Unready(why=why, lacks=lacks)
    if words := unconnected(evidence, pod):
        return Unready(why="unanswered", lacks=(f"kubelet does not get through to it ({bounded(words, MAX_WORDS)})",))
    return None


def _out_of_kubelets_reach(evidence: Evidence, pod: Pod) -> str:
    """What of the pod its own node does not reach, or only at times; "" where it does, or was not asked."""
    node, ip = pod.spec.node_name, pod.status.pod_ip
    if _reached_from_own_node(evidence).get(ip) is False:
        return f"{node} does not reach it, so no probe of kubelet does"
    for port in readiness_ports(pod):
        reach = _ports_from_own_node(evidence).get((ip, port))
        if reach not in {None, "ok", "refused", "reset"}:
            seldom = "only now and then" if reach == "mixed" else "not"
            return f"{node} reaches it at {port}/TCP, where kubelet asks, {seldom}"
    return ""


def _is_kept_from_itself(evidence: Evidence, subject: Subject) -> bool:
    own = itself(evidence).get(subject)
    return own is not None and bool(own.broken)


def _of_its_own(evidence: Evidence, subject: Subject, pod: Pod) -> str:
    if _is_starting(evidence, pod):
        return "starting"
    if _is_asked_at_a_wrong_port(evidence, subject, pod):
        return "probe-port"
    # On lower rungs nothing was sent: whether it reaches what it needs is not known.
    is_tried = evidence.access is Rung.AGENT and subject not in untried_ports(evidence)
    return "application" if is_tried else ""


@once_per_evidence
def _reached_from_own_node(evidence: Evidence) -> Mapping[str, bool]:
    """By address whether its own node reaches what is there.

    Any answer says that it does, a refusal as well; but a pod does not refuse where it listens: something on the way
    did, and then what else was answered, such as an echo, does not help kubelet.
    """
    answered: dict[str, bool] = {}
    refused: set[str] = set()
    for source, node, test in evidence.tests:
        pods = evidence.pods_by_ip.get(test.ip, ())
        if source.kind is not SubjectKind.NODE or all(evidence.node_of(pod) != node for pod in pods):
            continue
        is_answered = test.ok > 0 or test.outcome in {"ECONNREFUSED", "reset"}
        listening = {port for pod in pods for port in open_tcp_ports(evidence.pod_reports.get(pod)) or ()}
        if not test.ok and test.outcome == "ECONNREFUSED" and test.port in listening:
            refused.add(test.ip)
        answered[test.ip] = answered.get(test.ip, False) or is_answered
    return {ip: is_answered and ip not in refused for ip, is_answered in answered.items()}


@once_per_evidence
def _ports_from_own_node(evidence: Evidence) -> Mapping[tuple[str, int], str]:
    """By address and TCP port of a pod how its own node reaches it."""
    found: dict[tuple[str, int], list[str | None]] = defaultdict(list)
    for source, node, test in evidence.tests:
        is_here = any(evidence.node_of(pod) == node for pod in evidence.pods_by_ip.get(test.ip, ()))
        if source.kind is SubjectKind.NODE and is_here and test.protocol == "tcp":
            found[test.ip, test.port].append(reach_of(test))
    return {at: reach for at, reaches in found.items() if (reach := aggregate(reaches))}


@once_per_evidence
def _dns_answers(evidence: Evidence) -> Mapping[Subject, list[str | None]]:
    """By who asked, what came of its questions to the cluster's DNS."""
    found: dict[Subject, list[str | None]] = defaultdict(list)
    for source, _, test in evidence.tests:
        if test.purpose == "dns-service" and test.protocol == "dns-udp":
            found[source].append(reach_of(test))
    return found


def _lacks(evidence: Evidence, subject: Subject, *, is_denied: bool) -> Iterator[str]:
    """Services with endpoints, and DNS, that the pod never reached: each port for itself, as one may need only that."""
    own = {service for service, pods in evidence.relations.pods_of_service.items() if subject in pods}
    place = place_of(evidence, subject)  # a node tries for many: what it fails at, this pod need not need
    for service, tests in sorted(tests_by_service(evidence).items()):
        if service in own or not any(each.is_ready for each in backends(evidence, service)):
            continue
        by_port: dict[tuple[int, str], list[ServiceTest]] = defaultdict(list)
        for each in tests.vip:
            if each.source == place and (place == subject or needs(evidence, subject, service, each.port)):
                by_port[each.port, each.protocol].append(each)
        failed = {
            port: reach
            for port, asked in by_port.items()
            if any(each.permitted == "no" for each in asked) is is_denied
            and (reach := aggregate(each.reach for each in asked)) not in {None, "ok", "mixed"}
        }
        for (port, protocol), reach in sorted(failed.items()):
            at = f" at {port}/{protocol}" if len(by_port) > 1 else ""
            yield f"Service {service.name}{at} {in_words(str(reach))}"
    yield from _lacks_addresses(evidence, subject, is_denied=is_denied)
    if not is_denied:
        for each in missing_names(evidence).get(subject, ()):
            yield f"the name {each.name}, which does not exist"
        for each in missing_ports(evidence).get(subject, ()):
            yield f"Service {each.service.name} at {each.port}, a port that it does not have"
        reach = aggregate(_dns_answers(evidence).get(subject, ()))
        if reach not in {None, "ok", "mixed"}:
            yield f"the cluster's DNS {in_words(str(reach))}"


def _lacks_addresses(evidence: Evidence, subject: Subject, *, is_denied: bool) -> Iterator[str]:
    """What it is configured to dial by an address that is no ClusterIP."""
    for dial in plain_addresses(evidence).get(subject, ()):
        if dial.reach not in {"ok", "mixed"} and (dial.permitted == "no") is is_denied:
            yield dial.words
    if not is_denied:
        yield from outside_addresses_lost(evidence).get(subject, ())


def _lacks_behind(evidence: Evidence, subject: Subject) -> Iterator[str]:
    """Services that the pod is known to need and that lead nowhere: no pod, or only pods that are out of reach.

    Where they have pods that are not ready for another reason, these may wait for this one as well: it is left open.
    """
    for service in sorted(_needed_by(evidence).get(subject, ())):
        ends = list(backends(evidence, service))
        is_empty = not any(each.pod or each.is_ready for each in ends)
        if is_empty and evidence.services[service].spec.ports and _has_read_slices(evidence, service):
            yield f"Service {service.name}, which has no {'ready ' if ends else ''}endpoint"
        pods = {each.pod for each in ends if each.pod and each.pod in evidence.pods} - {subject}
        if pods and not any(each.is_ready for each in ends) and all(_is_out_of_reach(evidence, pod) for pod in pods):
            yield f"Service {service.name}, whose own pods are out of reach"


def _has_read_slices(evidence: Evidence, service: Subject) -> bool:
    """Whether the EndpointSlices of its namespace were read: of other namespaces, one that was found shows it."""
    namespace = service.name.partition("/")[0]
    if why_unread(evidence.snapshot, "endpointslices", group="discovery.k8s.io", namespace=namespace):
        return False
    found = evidence.snapshot.endpoint_slices
    return namespace == evidence.snapshot.namespace or any(each.metadata.namespace == namespace for each in found)


@once_per_evidence
def _needed_by(evidence: Evidence) -> Mapping[Subject, frozenset[Subject]]:
    """By pod the Services that it is known to need."""
    found: dict[Subject, set[Subject]] = defaultdict(set)
    for (service, _), flows in clients_of(evidence).items():
        for source in flows:
            found[source].add(service)
    return {source: frozenset(services) for source, services in found.items()}


def _is_out_of_reach(evidence: Evidence, subject: Subject) -> bool:
    pod = evidence.pods[subject]
    return (
        _is_kubelet_silent(evidence, pod)
        or not pod.status.pod_ip
        or _reached_from_own_node(evidence).get(pod.status.pod_ip) is False
    )


def _is_starting(evidence: Evidence, pod: Pod) -> bool:
    """Whether a readiness probe has not had its first chance yet."""
    started = [each.state.running.started_at for each in pod.status.container_statuses if each.state.running]
    waits_s = [p.initial_delay_seconds + p.period_seconds for c in pod.spec.containers if (p := c.readiness_probe)]
    latest = max((each for each in started if each), default=None)
    return bool(waits_s) and latest is not None and (evidence.snapshot.taken_at - latest).total_seconds() < max(waits_s)


def _is_asked_at_a_wrong_port(evidence: Evidence, subject: Subject, pod: Pod) -> bool:
    """Whether kubelet asks a port where nobody listens, while the pod listens where its Services send to."""
    open_ports = open_tcp_ports(evidence.pod_reports[subject])
    if open_ports is None:
        return False
    probed = set(readiness_ports(pod))
    served = _served_ports(evidence, subject)
    return bool(probed) and not probed & open_ports and bool(served) and set(served) <= open_ports


def _served_ports(evidence: Evidence, subject: Subject) -> Collection[int]:
    behind = (service for service, pods in evidence.relations.pods_of_service.items() if subject in pods)
    return {end.port for service in behind for end in backends(evidence, service) if end.pod == subject and end.port}


def together(found: Sequence[Unready | None]) -> tuple[Unready | None, str]:
    """One reason for all unready pods of a Service; None and why where that of one is not known."""
    known = [each for each in found if each]
    if len(known) < len(found) or not known:
        return None, "its pods' node was not inspected from inside" if found else "no pod that it selects is unready"
    words = {each.why for each in known}
    lacks = tuple(dict.fromkeys(text for each in known for text in each.lacks))
    if len(words) == 1:
        return Unready(why=words.pop(), lacks=lacks), ""
    if words <= set(FOLLOWS):
        return Unready(why=min(words, key=FOLLOWS.index), lacks=lacks), ""
    return Unready(why="mixed", lacks=lacks), ""
