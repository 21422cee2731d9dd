"""By what a policy's rule misses a flow, in words: the port, the address, the labels."""

from collections.abc import Iterable, Iterator, Sequence

from bot.cluster.objects import LabelSelector, NetworkPolicyPeer, NetworkPolicyPort, Pod
from bot.domain.errors import bounded
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.ends import named_ports
from bot.probes.policy.evaluation import Miss, misses, policy_index
from bot.probes.policy.index import PolicyIndex, name_of
from bot.probes.policy.selectors import NAMESPACE_NAME, is_within, selects

MAX_MISSES = 4
MAX_TEXT = 60


def why_denied(
    evidence: Evidence, source: Subject, target: Subject, port: int, protocol: str, service_port: int = 0
) -> tuple[str, ...]:
    """Which rules deny the flow and by what they miss it, the nearest misses first."""
    index = policy_index(evidence)
    found = misses(evidence, source, target, port, protocol)
    near = [miss for miss in found if miss.takes_peer or miss.takes_port] or found
    naming = _Naming(index, source, target, port, protocol.upper(), service_port)
    return tuple(dict.fromkeys(naming.sentence(miss) for miss in near[:MAX_MISSES]))


class _Naming:
    def __init__(
        self, index: PolicyIndex, source: Subject, target: Subject, port: int, protocol: str, service_port: int
    ) -> None:
        self._index = index
        self._ends = {"ingress": source, "egress": target}
        self._target = target
        self._port = port
        self._protocol = protocol
        self._service_port = service_port

    def sentence(self, miss: Miss) -> str:
        """One miss in words."""
        name = name_of(miss.policy)
        if miss.number == 0:
            return f"{name} has no {miss.direction} rule"
        parts: list[str] = []
        if miss.takes_port is False:
            parts.append(self._ports(miss.ports))
        if miss.takes_peer is False:
            parts.append(self._peers(miss))
        return f"{name}, {miss.direction} rule {miss.number}, {' and '.join(parts) or 'may not take this flow'}"

    def _ports(self, ports: Sequence[NetworkPolicyPort]) -> str:
        allowed = ", ".join(map(_port, ports))
        said = f"allows {allowed}, not {self._protocol} {self._port}"
        if any(each.port == self._service_port != self._port for each in ports):
            whose = "pods'" if self._target in self._index.pods else "endpoints'"
            return f"{said} ({self._service_port} is the Service's port; policies see the {whose} own, {self._port})"
        names = [each.port for each in ports if isinstance(each.port, str)]
        pod = self._index.pods.get(self._target)
        own = {name for name, _, _ in named_ports(pod)} if pod else set[str]()
        lacking = [name for name in names if name not in own]
        return f"{said} (no container there names a port {lacking[0]})" if lacking and pod else said

    def _peers(self, miss: Miss) -> str:
        other = self._ends[miss.direction]
        pod = self._index.pods.get(other)
        said = dict.fromkeys(self._peer(miss, peer, other, pod) for peer in miss.peers[:3])
        return " and ".join(said)

    def _peer(self, miss: Miss, peer: NetworkPolicyPeer, other: Subject, pod: Pod | None) -> str:
        ip = pod.status.pod_ip if pod else other.name
        if peer.ip_block is not None:
            left_out = next((each for each in peer.ip_block.except_ if is_within(ip, each)), "")
            within = f"takes addresses of {peer.ip_block.cidr} only, not {ip}"
            return f"excepts {left_out}, in which {ip} lies" if left_out else within
        if pod is not None and pod.spec.host_network and other == self._target:
            return f"takes pods by their labels; {other.name} has hostNetwork, so only its node's address {ip} counts"
        return f"takes pods only, not {ip}" if pod is None else self._selectors(miss, peer, other, pod)

    def _selectors(self, miss: Miss, peer: NetworkPolicyPeer, other: Subject, pod: Pod) -> str:
        namespace = pod.metadata.namespace
        if peer.namespace_selector is not None:
            if self._index.namespace_selected(peer.namespace_selector, namespace) is False:
                return f"takes namespaces with {_selector(peer.namespace_selector)}; {namespace} is none"
        elif namespace != miss.policy.metadata.namespace:
            return f"takes pods of its own namespace only, not of {namespace}"
        if peer.pod_selector is not None and selects(peer.pod_selector, pod.metadata.labels) is False:
            return f"takes pods with {_selector(peer.pod_selector)}; {other.name} is none"
        return f"does not take {other.name}"


def _port(each: NetworkPolicyPort) -> str:
    if each.port is None:
        return each.protocol or "TCP"
    until = f"-{each.end_port}" if each.end_port else ""
    return f"{each.protocol or 'TCP'} {bounded(str(each.port), MAX_TEXT)}{until}"


def _selector(selector: LabelSelector) -> str:
    return ", ".join(_requirements(selector)) or "any label"


def _requirements(selector: LabelSelector) -> Iterator[str]:
    for key, value in sorted(selector.match_labels.items()):
        yield bounded(
            f"{key.removeprefix('kubernetes.io/metadata.') if key == NAMESPACE_NAME else key}={value}", MAX_TEXT
        )
    for each in selector.match_expressions:
        yield bounded(f"{each.key} {each.operator} {_values(each.values)}".strip(), MAX_TEXT)


def _values(values: Iterable[str]) -> str:
    return f"({', '.join(values)})" if values else ""
