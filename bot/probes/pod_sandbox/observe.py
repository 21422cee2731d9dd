"""Did every pod get a network: a sandbox, an address of its own, in a range that the CNI hands out?

A pod without an address never got as far as routes or ARP: its events say which step of the CNI failed. What is
waited for *after* the sandbox (images, readiness) is kept apart, as a consequence or as nobody's network at all: a pod
that waits for its image has an address already, one that waits for a volume has none and no failed sandbox either.

Events are kept for an hour; a pod that has its address now has got over an older failure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ (PodReadyToStartContainers)
Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from bot.cluster.objects import ContainerStatus, Event, Node, Pod
from bot.domain import facts
from bot.domain.errors import bounded
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.pod_sandbox.facts import PHASES
from bot.probes.pod_sandbox.messages import SandboxFailure, understand
from bot.probes.pod_sandbox.owners import entry_of, folder_of, owner_of
from bot.probes.services.own_word import own_word
from bot.probes.shared.address_ranges import blocks_by_node, in_ranges, ranges_for_pods
from bot.probes.shared.sidecars import has_sidecar
from bot.probes.shared.unread_resources import why_unread

YOUNG_S = 120.0
_REASONS = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})
_BANDWIDTH = ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth")
_NETWORKS = "k8s.v1.cni.cncf.io/networks"


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What the API says of every known pod, and the sums by node."""
    events = _last_failures(evidence)
    blocks = blocks_by_node(evidence)
    scope = set(evidence.scope_pods)
    running, without = Counter[str](), Counter[str]()
    for subject, pod in evidence.pods.items():
        into.set(subject, "in_scope", subject in scope)
        _observe_state(evidence, subject, pod, into)
        is_own, words = own_word(evidence, subject, pod)
        into.put(subject, "unready_by_itself", is_own, "no event tells what its readiness probe met")
        into.set(subject, "probe_says", words)
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
        into.put(facts.node(name), "pods_running", running.get(name, 0) if seen else None, why)
        into.put(facts.node(name), "pods_without_network", without.get(name, 0) if seen else None, why)


def _observe_state(evidence: Evidence, subject: Subject, pod: Pod, into: FactBuilder) -> None:
    age_s = _age_s(evidence, pod)
    phase = pod.status.phase if pod.status.phase in PHASES else None
    into.put(subject, "phase", phase, "the pod has no phase yet")
    into.put(subject, "age_s", age_s, "the pod has no creation time")
    into.put(subject, "is_young", None if age_s is None else age_s < YOUNG_S, "the pod has no creation time")
    into.set(subject, "is_ready", pod.is_ready)
    was_ready, unknown = _has_been_ready(pod)
    into.put(subject, "has_been_ready", was_ready, unknown)
    into.put(subject, "has_answered_probe", was_ready and _is_probed(pod) if was_ready is not None else None, unknown)
    into.set(subject, "is_terminating", pod.metadata.deletion_timestamp is not None)
    into.set(subject, "host_network", pod.spec.host_network)
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    into.set(subject, "restarts", sum(each.restart_count for each in statuses))
    into.set(subject, "waiting", _waiting(pod, statuses))
    annotations = pod.metadata.annotations
    into.set(subject, "extra_networks", bool(annotations.get(_NETWORKS, "").strip("[] \n")))
    into.set(subject, "bandwidth_limited", any(key in annotations for key in _BANDWIDTH))
    into.set(subject, "has_sidecar", has_sidecar(pod))


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
    why = "the API lists no range of addresses for this node's pods"
    into.put(subject, "ip_in_pool", None if ranges is None else in_ranges(ip, ranges), why)


@once_per_evidence
def _holders(evidence: Evidence) -> Mapping[str, Collection[Subject]]:
    """Pods by the addresses that they hold on the inside, which the API need not know."""
    found: dict[str, set[Subject]] = defaultdict(set)
    for pod, report in evidence.pod_reports.items():
        known = evidence.pods.get(pod)
        if known is not None and not known.spec.host_network and report.state is not None:
            for each in report.state.addresses:
                found[each.ip].add(pod)
    return found


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


_NONE = SandboxFailure("none", "", "")


def _observe_sandbox(
    evidence: Evidence, subject: Subject, pod: Pod, events: Mapping[str, Event], into: FactBuilder
) -> str | None:
    failure, why = _failure(evidence, pod, events.get(pod.metadata.uid))
    if failure is None:
        into.miss_all(subject, _KEYS, why)
        return None
    into.set(subject, "sandbox_error", failure.error)
    into.set(subject, "sandbox_message", failure.reason)
    into.set(subject, "sandbox_plugin", failure.plugin)
    into.set(subject, "sandbox_plugin_owner", owner_of(failure.plugin, evidence.cni.name))
    report = evidence.reports.get(pod.spec.node_name)
    entry = entry_of(failure.plugin, report.cni_files or ()) if report and failure.plugin else None
    into.set(subject, "sandbox_conf", entry.path if entry else folder_of(evidence.cni.distribution))
    named = entry.kubeconfig if entry else ""
    into.put(subject, "sandbox_kubeconfig", named or None, "no configuration that was read names it")
    return failure.error


_KEYS = (
    *("sandbox_error", "sandbox_message", "sandbox_plugin", "sandbox_plugin_owner"),
    *("sandbox_conf", "sandbox_kubeconfig"),
)


def _failure(evidence: Evidence, pod: Pod, event: Event | None) -> tuple[SandboxFailure | None, str]:
    """What keeps a pod from its network; None and why that is not known."""
    if pod.status.pod_ip or not pod.spec.node_name:
        return _NONE, ""
    node = evidence.nodes.get(pod.spec.node_name)
    if event is not None:
        return understand(event.message), ""
    if node is not None and (reported := _node_says(evidence, node)):
        return reported, ""
    if why := why_unread(evidence.snapshot, "events", namespace=pod.metadata.namespace):
        return None, why
    if pod.metadata.namespace != evidence.snapshot.namespace:
        return None, f"events of namespace {pod.metadata.namespace} were not read"
    return _NONE, ""


def _node_says(evidence: Evidence, node: Node) -> SandboxFailure | None:
    for condition in node.status.conditions:
        if condition.type == "Ready" and condition.status == "False" and "etwork" in condition.message:
            failure = understand(condition.message)
            if failure.error != "other":
                return failure
    if _lacks_range(evidence, node):
        return SandboxFailure("pod-cidr-missing", "", f"node {node.metadata.name} has no podCIDR, other nodes have")
    return None


def _lacks_range(evidence: Evidence, node: Node) -> bool:
    """Whether this CNI lives on node.spec.podCIDR and only this node has none."""
    others = any(each.spec.pod_cidr for each in evidence.nodes.values())
    return not node.spec.pod_cidr and others and evidence.cni.name in {"flannel", "canal", "kube-router"}
