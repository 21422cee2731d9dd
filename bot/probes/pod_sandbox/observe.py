"""Did every pod get a network: a sandbox, an address of its own, in a range that the CNI hands out?

A pod without an address never got as far as routes or ARP: its events say which step of the CNI failed. What is
waited for *after* the sandbox (images, readiness) is told apart, as a consequence or as nobody's network at all: a pod
that waits for its image has an address already, one that waits for a volume has none and no failed sandbox either.

Events are kept for an hour; a pod that has its address now has got over an older failure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ (PodReadyToStartContainers)
Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

from bot.cluster.objects import ContainerStatus, Event, Node, Pod
from bot.domain import facts
from bot.domain.access import Need
from bot.domain.errors import bounded
from bot.domain.facts import FactBuilder, FactTable, Subject
from bot.domain.finding import Finding
from bot.probes.address_ranges import blocks_by_node, in_ranges, ranges_for_pods
from bot.probes.declaring import API, fact
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.pod_sandbox_told import NAME, findings
from bot.probes.probe import Probe
from bot.probes.sandbox_messages import SANDBOX_ERRORS, classify
from bot.probes.sight import put
from bot.probes.unread import why_unread

YOUNG_S = 120.0
MAX_MESSAGE = 200
PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_REASONS = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})
_SIDECARS = frozenset({"istio-proxy", "linkerd-proxy", "istio-init", "linkerd-init", "istio-validation"})
_BANDWIDTH = ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth")
_NETWORKS = "k8s.v1.cni.cncf.io/networks"
_LOOK = "kubectl get pod <pod> -o wide"
_EVENTS = "kubectl describe pod <pod>"

FACTS = (
    fact("pod.phase", "str", "The phase of the pod.", look=_LOOK, values=PHASES, rungs=API),
    fact("pod.is_ready", "bool", "The pod's Ready condition is True.", look=_LOOK, rungs=API),
    fact(
        "pod.has_been_ready",
        "bool",
        "The pod is ready now, or was after its containers had started: its network has worked since it was made.",
        look="kubectl get pod <pod> -o jsonpath='{.status.conditions}'",
        rungs=API,
    ),
    fact(
        "pod.has_answered_probe",
        "bool",
        "It has been ready by a readiness probe over the network, which it answers through its gateway (false: it is "
        "not known to have done so).",
        look="kubectl get pod <pod> -o yaml  # readinessProbe, status.conditions",
        rungs=API,
    ),
    fact("pod.age_s", "float", "Seconds since the pod was made.", look=_LOOK, rungs=API),
    fact("pod.is_young", "bool", "The pod was made less than two minutes ago.", look=_LOOK, rungs=API),
    fact("pod.has_ip", "bool", "The pod has an address.", look=_LOOK, rungs=API),
    fact("pod.ip", "str", 'The pod\'s address, "" when it has none.', look=_LOOK, rungs=API),
    fact("pod.in_scope", "bool", "The pod is one of those asked about.", look=_LOOK, rungs=API),
    fact("pod.is_terminating", "bool", "The pod is being deleted.", look=_LOOK, rungs=API),
    fact("pod.host_network", "bool", "The pod shares its node's network (hostNetwork).", look=_LOOK, rungs=API),
    fact("pod.restarts", "int", "Restarts of the pod's containers.", look=_LOOK, rungs=API),
    fact(
        "pod.waiting",
        "str",
        'Why the pod\'s first waiting container waits ("ContainerCreating", "CrashLoopBackOff"); "" when none does.',
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "pod.sandbox_error",
        "str",
        "Why no network could be made for the pod, by its events and its node's conditions.",
        look=_EVENTS,
        values=SANDBOX_ERRORS,
        rungs=API,
    ),
    fact("pod.sandbox_message", "str", "The words of the last failure, at most 200.", look=_EVENTS, rungs=API),
    fact(
        "pod.duplicate_ip",
        "bool",
        "Another live pod with its own network, or a node, has the same address.",
        look="kubectl get pods -A -o wide | sort -k7",
        rungs=API,
    ),
    fact(
        "pod.ip_in_pool",
        "bool",
        "The pod's address lies in an enabled IPPool, or in its node's range where there are no pools.",
        look="kubectl get ippools.crd.projectcalico.org -o yaml; kubectl get node <node> -o jsonpath={.spec.podCIDR}",
        rungs=API,
    ),
    fact("pod.extra_networks", "bool", "Multus gives the pod further networks.", look=_EVENTS, rungs=API),
    fact("pod.has_sidecar", "bool", "A mesh's proxy or its init container is in the pod.", look=_LOOK, rungs=API),
    fact("pod.bandwidth_limited", "bool", "The pod's bandwidth is limited by annotation.", look=_EVENTS, rungs=API),
    fact(
        "node.pods_without_network",
        "int",
        "Scheduled pods of the node that have no address: their sandbox fails, or they are older than two minutes.",
        look="kubectl get pods -A -o wide --field-selector spec.nodeName=<node>",
        rungs=API,
    ),
    fact(
        "node.pods_running",
        "int",
        "Running pods of the node that have an address of their own.",
        look="kubectl get pods -A -o wide --field-selector spec.nodeName=<node>",
        rungs=API,
    ),
)

NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="events", is_optional=True, why="to know why a pod got no network"),
    Need(
        verb="list",
        resource="ippools",
        group="crd.projectcalico.org",
        is_optional=True,
        why="to know from which ranges Calico hands out addresses",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What the API says of every known pod, and the sums by node."""
    events = _last_failures(evidence)
    blocks = blocks_by_node(evidence)
    scope = set(evidence.scope_pods)
    running, without = Counter[str](), Counter[str]()
    for subject, pod in evidence.pods.items():
        into.set(subject, "in_scope", subject in scope)
        _observe_state(evidence, subject, pod, into)
        _observe_address(evidence, subject, pod, blocks, into)
        error = _observe_sandbox(evidence, subject, pod, events, into)
        if pod.spec.host_network or not pod.spec.node_name:
            continue
        running[pod.spec.node_name] += pod.status.phase == "Running" and bool(pod.status.pod_ip)
        old = (_age_s(evidence, pod) or 0.0) >= YOUNG_S
        without[pod.spec.node_name] += not pod.status.pod_ip and (error not in {None, "none"} or old)
    _observe_nodes(evidence, running, without, into)


def _observe_nodes(
    evidence: Evidence, running: Mapping[str, int], without: Mapping[str, int], into: FactBuilder
) -> None:
    known = {pod.spec.node_name for pod in evidence.snapshot.node_pods}
    why = why_unread(evidence.snapshot, "pods") or "the pods of this node were not listed"
    for name in evidence.nodes:
        seen = name in known
        put(into, facts.node(name), "pods_running", running.get(name, 0) if seen else None, why)
        put(into, facts.node(name), "pods_without_network", without.get(name, 0) if seen else None, why)


def _observe_state(evidence: Evidence, subject: Subject, pod: Pod, into: FactBuilder) -> None:
    age_s = _age_s(evidence, pod)
    phase = pod.status.phase if pod.status.phase in PHASES else None
    put(into, subject, "phase", phase, "the pod has no phase yet")
    put(into, subject, "age_s", age_s, "the pod has no creation time")
    put(into, subject, "is_young", None if age_s is None else age_s < YOUNG_S, "the pod has no creation time")
    into.set(subject, "is_ready", pod.is_ready)
    was_ready, unknown = _has_been_ready(pod)
    put(into, subject, "has_been_ready", was_ready, unknown)
    put(into, subject, "has_answered_probe", was_ready and _is_probed(pod) if was_ready is not None else None, unknown)
    into.set(subject, "is_terminating", pod.metadata.deletion_timestamp is not None)
    into.set(subject, "host_network", pod.spec.host_network)
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    into.set(subject, "restarts", sum(each.restart_count for each in statuses))
    into.set(subject, "waiting", _waiting(pod, statuses))
    annotations = pod.metadata.annotations
    into.set(subject, "extra_networks", bool(annotations.get(_NETWORKS, "").strip("[] \n")))
    into.set(subject, "bandwidth_limited", any(key in annotations for key in _BANDWIDTH))
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    into.set(subject, "has_sidecar", any(each.name in _SIDECARS for each in containers))


def _age_s(evidence: Evidence, pod: Pod) -> float | None:
    made = pod.metadata.creation_timestamp
    return max(0.0, (evidence.snapshot.taken_at - made).total_seconds()) if made else None


def _has_been_ready(pod: Pod) -> tuple[bool | None, str]:
    """Ready now; or not, since a moment after all its containers (which never restarted) had started.

    The Ready condition is False from the beginning, so only a change after the start was one from True.
    """
    if pod.is_ready:
        return True, ""
    changed = next((each.last_transition_time for each in pod.status.conditions if each.type == "Ready"), None)
    if changed is None:
        return None, "its Ready condition tells no time"
    statuses = pod.status.container_statuses
    if any(each.restart_count for each in statuses):
        return None, "its containers have restarted: when they first started is not known"
    started = [each.state.running.started_at if each.state.running else None for each in statuses]
    if len(started) < len(pod.spec.containers) or None in started:
        return False, ""
    return all(changed > each for each in started if each), ""


def _is_probed(pod: Pod) -> bool:
    probes = (each.readiness_probe for each in pod.spec.containers)
    return any(each is not None and (each.http_get or each.tcp_socket) for each in probes)


def _waiting(pod: Pod, statuses: Iterable[ContainerStatus]) -> str:
    for each in statuses:
        if each.state.waiting and each.state.waiting.reason not in {"", "PodInitializing"}:
            return bounded(each.state.waiting.reason, 60)
    unscheduled = (c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False")
    return next((bounded(each.reason or "Unscheduled", 60) for each in unscheduled), "")


def _observe_address(
    evidence: Evidence, subject: Subject, pod: Pod, blocks: Mapping[str, tuple[str, ...]], into: FactBuilder
) -> None:
    ip = pod.status.pod_ip
    into.set(subject, "has_ip", bool(ip))
    into.set(subject, "ip", bounded(ip, 50))
    if not ip or pod.spec.host_network:
        why = "the pod has no address" if not ip else "the pod has its node's address"
        into.miss(subject, "duplicate_ip", why)
        into.miss(subject, "ip_in_pool", why)
        return
    owners = {*evidence.pods_by_ip.get(ip, ()), *_holders(evidence).get(ip, ())}
    into.set(subject, "duplicate_ip", len(owners) > 1 or ip in evidence.node_by_ip)
    ranges = ranges_for_pods(evidence, blocks, pod.spec.node_name)
    why = "the API tells no range of addresses for this node's pods"
    put(into, subject, "ip_in_pool", None if ranges is None else in_ranges(ip, ranges), why)


def _holders(evidence: Evidence) -> Mapping[str, Collection[Subject]]:
    """Pods by the addresses that they hold on the inside, which the API need not know. Kept with the evidence."""
    kept = vars(evidence)
    if "_address_holders" not in kept:
        found: dict[str, set[Subject]] = defaultdict(set)
        for pod, report in evidence.pod_reports.items():
            known = evidence.pods.get(pod)
            if known is not None and not known.spec.host_network and report.state is not None:
                for each in report.state.addresses:
                    found[each.ip].add(pod)
        kept["_address_holders"] = found
    return cast("Mapping[str, Collection[Subject]]", kept["_address_holders"])


# Failed sandboxes


def _last_failures(evidence: Evidence) -> Mapping[str, Event]:
    """The last event about a failed sandbox, by the pod's uid."""
    found: dict[str, Event] = {}
    for event in evidence.snapshot.events:
        if event.reason not in _REASONS or event.involved_object.kind != "Pod":
            continue
        uid = event.involved_object.uid
        before = found.get(uid)
        if before is None or _is_later(event, before):
            found[uid] = event
    return found


def _is_later(event: Event, before: Event) -> bool:
    then, now = before.last_seen_at, event.last_seen_at
    return now is not None and (then is None or now >= then)


def _observe_sandbox(
    evidence: Evidence, subject: Subject, pod: Pod, events: Mapping[str, Event], into: FactBuilder
) -> str | None:
    error, message = _failure(evidence, pod, events.get(pod.metadata.uid))
    if error is None:
        into.miss(subject, "sandbox_error", message)
        into.miss(subject, "sandbox_message", message)
        return None
    into.set(subject, "sandbox_error", error)
    into.set(subject, "sandbox_message", bounded(message, MAX_MESSAGE))
    return error


def _failure(evidence: Evidence, pod: Pod, event: Event | None) -> tuple[str | None, str]:
    """The class and words of what keeps a pod from its network; None and why that is not known."""
    if pod.status.pod_ip or not pod.spec.node_name:
        return "none", ""
    node = evidence.nodes.get(pod.spec.node_name)
    if event is not None:
        return classify(event.message), event.message
    if node is not None and (told := _node_says(evidence, node)):
        return told
    if why := why_unread(evidence.snapshot, "events", namespace=pod.metadata.namespace):
        return None, why
    if pod.metadata.namespace != evidence.snapshot.namespace:
        return None, f"events of namespace {pod.metadata.namespace} were not read"
    return "none", ""


def _node_says(evidence: Evidence, node: Node) -> tuple[str, str] | None:
    for condition in node.status.conditions:
        if condition.type == "Ready" and condition.status == "False" and "etwork" in condition.message:
            error = classify(condition.message)
            if error != "other":
                return error, condition.message
    if _lacks_range(evidence, node):
        return "pod-cidr-missing", f"node {node.metadata.name} has no podCIDR, other nodes have"
    return None


def _lacks_range(evidence: Evidence, node: Node) -> bool:
    """Whether this CNI lives on node.spec.podCIDR and only this node has none."""
    others = any(each.spec.pod_cidr for each in evidence.nodes.values())
    return not node.spec.pod_cidr and others and evidence.cni.name in {"flannel", "canal", "kube-router"}


def judge(table: FactTable) -> Sequence[Finding]:
    """See `bot.probes.pod_sandbox_told`."""
    return findings(table)


PROBE = Probe(
    name=NAME,
    question="Did every pod get a network: a sandbox, an address of its own, in a range that the CNI hands out?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
