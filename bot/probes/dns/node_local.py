"""NodeLocal DNSCache, for pods that ask a link-local nameserver: does it run on their node, and listen there?

Each node answers for such an address by itself: a pod of the cache (or a service of the node's own, as on AKS) that
listens on an interface with it. Without that, questions leave the pod and meet nobody, whatever the DNS Service does.

Source: https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
Source: https://docs.cilium.io/en/stable/network/kubernetes/local-redirect-policy/ (a cache without the address)
"""

from bot.agent.report import NetnsState
from bot.cluster.objects import Pod
from bot.domain.facts import FactBuilder
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.evaluation import LINK_LOCAL
from bot.probes.policy.selectors import is_within
from bot.probes.shared.unread_resources import why_unread

_NAMES = ("node-local-dns", "nodelocaldns")
_ANY = frozenset({"0.0.0.0", "::"})
_KEYS = ("node_local_dns", "node_local_dns_why")


def is_node_local(address: str) -> bool:
    """Whether it is an address of the node's own, as NodeLocal DNSCache has (169.254.20.10)."""
    return is_within(address, LINK_LOCAL)


def observe_node_local(evidence: Evidence, into: FactBuilder) -> None:
    """Of each pod, what became of the cache that it asks."""
    caches = [pod for pod in evidence.pods.values() if _is_cache(pod)]
    unread = why_unread(evidence.snapshot, "pods", namespace="kube-system")
    for subject, report in evidence.pod_reports.items():
        if report.nameservers is None:
            into.miss_all(subject, _KEYS, "its resolv.conf was not read")
            continue
        address, node = next(iter(report.nameservers), ""), evidence.node_of(subject)
        state = evidence.reports[node].root if node in evidence.reports else None
        if not is_node_local(address) and not (state and _is_kept_by_node(address, state)):
            into.set(subject, "node_local_dns", "not-asked")
            into.set(subject, "node_local_dns_why", "")
            continue
        found = _state(address, node, state, caches, is_read=not unread, is_redirected=evidence.cni.runs_cilium)
        into.put(subject, "node_local_dns", found[0] if found else None, unread or "the node's sockets were not read")
        into.put(subject, "node_local_dns_why", found[1] if found else None, unread)


def _is_kept_by_node(address: str, state: NetnsState) -> bool:
    """Whether questions for the DNS Service's own address end on the node.

    The cache puts that address on its interface as well, and switches connection tracking off for it, so that no
    Service rule translates it: an uninstalled one may leave both behind.
    """
    changes = state.firewall.changes if state.firewall else ()
    is_untracked = any(
        match.fields == ("daddr",) and not match.is_inverted and address in {v.partition("/")[0] for v in match.values}
        for change in changes
        if change.kind == "untracked"
        for match in change.matches
    )
    return is_untracked and any(each.ip == address for each in state.addresses)


def _is_cache(pod: Pod) -> bool:
    return pod.metadata.labels.get("k8s-app") in _NAMES or pod.metadata.name.startswith(_NAMES)


def _state(
    address: str, node: str, state: NetnsState | None, caches: list[Pod], *, is_read: bool, is_redirected: bool
) -> tuple[str, str] | None:
    """The state of the cache on a node, and the sentence that says it; None where it is not known."""
    if state is None or state.listeners is None or not state.addresses:
        return None
    if any(each.protocol == "udp" and each.port == 53 and each.ip in {address, *_ANY} for each in state.listeners):
        return "listening", f"something listens on {address} on {node}"
    here = [pod for pod in caches if pod.spec.node_name == node]
    if not here:
        return _without_pod(address, node, caches) if is_read else None
    if is_redirected and any(pod.is_ready and not pod.spec.host_network for pod in here):
        return None  # by a CiliumLocalRedirectPolicy, which needs no address on the node
    return _with_pod(address, node, state, here)


def _without_pod(address: str, node: str, caches: list[Pod]) -> tuple[str, str]:
    said = f"nothing listens on {address} on {node}, and no pod of NodeLocal DNSCache is"
    return ("no-pod", f"{said} there, though others are") if caches else ("not-installed", f"{said} in this cluster")


def _with_pod(address: str, node: str, state: NetnsState, here: list[Pod]) -> tuple[str, str]:
    unready = next((pod for pod in here if not pod.is_ready), None)
    if unready is not None:
        name = f"{unready.metadata.namespace}/{unready.metadata.name}"
        return "unready", f"{name}, NodeLocal DNSCache's pod on {node}, is not ready{_waiting(unready)}"
    if all(each.ip != address for each in state.addresses):
        return "no-address", f"no interface of {node} has {address}, although NodeLocal DNSCache's pod there is ready"
    return "not-listening", f"nothing listens on {address} on {node}, although NodeLocal DNSCache's pod there is ready"


def _waiting(pod: Pod) -> str:
    reasons = (each.state.waiting.reason for each in pod.status.container_statuses if each.state.waiting)
    reason = next(filter(None, reasons), "")
    return f" ({reason})" if reason else ""
