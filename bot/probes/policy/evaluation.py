"""Do the NetworkPolicies of both ends allow a flow? Exact evaluation of `networking.k8s.io/v1`, nothing else.

A flow passes when the source's egress *and* the target's ingress allow it. An end that no policy selects for a
direction is not isolated and allows everything; an isolated one allows what any rule of any policy that selects it
allows. The order of policies never matters and no policy can deny what another allows.

"unknown" where the answer hangs on something that was not read or that implementations treat differently: policies
or Namespaces that may not be listed, pods with hostNetwork, address blocks held against pods under Cilium (whose
identities know no addresses of pods), ports by name on an end without containers.

What a CNI adds of its own (GlobalNetworkPolicy, CiliumNetworkPolicy, …) is not part of this, nor whether the CNI
enforces policies at all: the facts `cluster.hidden_policies` and `cluster.enforces_policy` say so.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from bot.cluster.objects import NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, Pod
from bot.domain.facts import Subject, SubjectKind
from bot.probes.evidence import Evidence
from bot.probes.policy_index import Direction, PolicyIndex, name_of, named_ports
from bot.probes.policy_selectors import all_of, any_of, block_has, selects

Verdict = Literal["yes", "no", "unknown"]
Protocol = Literal["TCP", "UDP", "SCTP", "ICMP"]

_VERDICTS: dict[bool | None, Verdict] = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one end's policies say about a flow."""

    verdict: Verdict
    policies: tuple[str, ...] = ()
    """The policies ("namespace/name") that isolate this end; empty when it is not isolated or they are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the policies of both ends say about a flow."""

    verdict: Verdict
    ingress: Side
    """Of the target."""
    egress: Side
    """Of the source."""
    why: str = ""
    """For "unknown": what was not known."""

    @property
    def is_denied(self) -> bool:
        """Whether the policies certainly stop the flow."""
        return self.verdict == "no"

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that isolate the ends that do not (certainly) allow the flow, in order of name."""
        return tuple(
            sorted({p for side in (self.ingress, self.egress) if side.verdict != "yes" for p in side.policies})
        )


YES = Side(verdict="yes")
ALLOWED = Allowed(verdict="yes", ingress=YES, egress=YES)


def policy_index(evidence: Evidence) -> PolicyIndex:
    """The index of this evidence, made once and kept with it (as a cached property of its own would be)."""
    kept = vars(evidence)
    if "_policy_index" not in kept:
        kept["_policy_index"] = PolicyIndex(evidence.snapshot, evidence.pods)
    return cast("PolicyIndex", kept["_policy_index"])


def allowed(
    evidence: Evidence,
    source_pod: Subject,
    target_pod: Subject,
    port: int | None,
    protocol: Protocol | str,
    *,
    by_service: bool = False,
) -> Allowed:
    """Whether NetworkPolicies let `source_pod` reach `target_pod`; either may also be a node (its root namespace).

    `port` is the target pod's own port (behind a ClusterIP the endpoint's, not the Service's); None or 0 asks for no
    port, as with `protocol` "ICMP", which only rules without `ports` allow. `protocol` in any case ("tcp", "TCP").
    `by_service`: the way leads through a Service, so that a pod that reaches itself is held to policies as well: its
    packets leave it and pass its node.
    """
    if source_pod == target_pod and not by_service:
        return ALLOWED  # "a pod cannot block access to itself"
    index = policy_index(evidence)
    same_node = _has_host(index, source_pod, target_pod) and _node(index, source_pod) == _node(index, target_pod) != ""
    key = (index.kind_of(source_pod), index.kind_of(target_pod), same_node, port or 0, protocol.upper())
    answer = index.answers.get(key)
    if answer is None:
        cilium = index.has_blocks and evidence.cni.name == "cilium"
        flow = _Flow(index, source_pod, target_pod, port or 0, protocol.upper(), cilium)
        answer = index.answers[key] = flow.judge(same_node=same_node)
    return cast("Allowed", answer)


def _has_host(index: PolicyIndex, *ends: Subject) -> bool:
    """Whether one end shares a node's address: only then it matters whether they are on one node."""
    pods = (index.pods.get(end) for end in ends)
    return any(pod is None or pod.spec.host_network for pod in pods)


def _node(index: PolicyIndex, end: Subject) -> str:
    if end.kind is SubjectKind.NODE:
        return end.name
    pod = index.pods.get(end)
    return pod.spec.node_name if pod else ""


@dataclass(frozen=True, slots=True)
class _Flow:
    index: PolicyIndex
    source: Subject
    target: Subject
    port: int
    protocol: str
    blocks_miss_pods: bool
    """Whether this CNI never holds address blocks against pods."""

    def judge(self, *, same_node: bool) -> Allowed:
        ingress = self._side(self.target, self.source, "ingress", same_node=same_node)
        egress = self._side(self.source, self.target, "egress", same_node=same_node)
        verdict = all_of(_truth(side.verdict) for side in (ingress, egress))
        why = "" if verdict is not None else self._why_unknown((ingress, egress))
        return Allowed(verdict=_VERDICTS[verdict], ingress=ingress, egress=egress, why=why)

    def _side(self, own: Subject, other: Subject, direction: Direction, *, same_node: bool) -> Side:
        pod = self._pod(own)
        if pod is None or pod.spec.host_network:
            return YES if own.kind is SubjectKind.NODE or pod else Side(verdict="unknown")
        if same_node and self._is_host(other) and direction == "ingress":
            return YES  # a pod's own node, kubelet's probes among it, is always let in
        policies = self.index.isolating(own, direction)
        names = tuple(name_of(policy) for policy in policies)
        permitted = any_of(self._permits(policy, pod, other, direction) for policy in policies)
        if not permitted and self.index.why_unread(pod.metadata.namespace):
            return Side(verdict="unknown", policies=names)  # one that was not read may isolate, or may allow
        return Side(verdict=_VERDICTS[permitted], policies=names) if policies else YES

    def _permits(self, policy: NetworkPolicy, own: Pod, other: Subject, direction: Direction) -> bool | None:
        """Whether one policy lets the flow pass; None when unknown. A policy that may not select the pod: unknown."""
        rules = self._rules(policy, direction)
        permitted = any_of(
            all_of((self._peers_take(policy, peers, other), self._ports_take(ports))) for peers, ports in rules
        )
        return permitted if selects(policy.spec.pod_selector, own.metadata.labels) else None

    @staticmethod
    def _rules(
        policy: NetworkPolicy, direction: Direction
    ) -> Iterator[tuple[Sequence[NetworkPolicyPeer], Sequence[NetworkPolicyPort]]]:
        if direction == "ingress":
            return ((rule.from_, rule.ports) for rule in policy.spec.ingress)
        return ((rule.to, rule.ports) for rule in policy.spec.egress)

    # Peers

    def _peers_take(self, policy: NetworkPolicy, peers: Sequence[NetworkPolicyPeer], other: Subject) -> bool | None:
        return any_of(self._peer_takes(policy, peer, other) for peer in peers) if peers else True

    def _peer_takes(self, policy: NetworkPolicy, peer: NetworkPolicyPeer, other: Subject) -> bool | None:
        if peer.ip_block is not None:
            return self._block_takes(peer, other)
        pod = self._pod(other)
        if other.kind is SubjectKind.NODE and peer.namespace_selector is None:
            return False  # a machine is no pod of the policy's own namespace
        if pod is None or pod.spec.host_network:
            return None  # the API leaves open whether selectors see pods with hostNetwork; most CNIs do not
        in_namespace = self._namespace_takes(policy, peer, pod.metadata.namespace)
        is_selected = selects(peer.pod_selector, pod.metadata.labels) if peer.pod_selector is not None else True
        return all_of((in_namespace, is_selected))

    def _namespace_takes(self, policy: NetworkPolicy, peer: NetworkPolicyPeer, namespace: str) -> bool | None:
        if peer.namespace_selector is not None:
            return self.index.namespace_selected(peer.namespace_selector, namespace)
        return peer.pod_selector is not None and namespace == policy.metadata.namespace

    def _block_takes(self, peer: NetworkPolicyPeer, other: Subject) -> bool | None:
        pod = self._pod(other)
        if pod is None or peer.ip_block is None or not pod.status.pod_ip or pod.spec.host_network:
            return None  # a node's address is often rewritten on the way
        has_it = block_has(peer.ip_block, pod.status.pod_ip)
        return None if has_it and self.blocks_miss_pods else has_it

    # Ports

    def _ports_take(self, ports: Sequence[NetworkPolicyPort]) -> bool | None:
        return any_of(self._port_takes(each) for each in ports) if ports else True

    def _port_takes(self, wanted: NetworkPolicyPort) -> bool | None:
        if (wanted.protocol or "TCP") != self.protocol:
            return False
        if wanted.port is None:
            return True
        if isinstance(wanted.port, str):
            return self._name_takes(wanted.port)
        return wanted.port <= self.port <= (wanted.end_port or wanted.port)

    def _name_takes(self, name: str) -> bool | None:
        """Names of ports are those of the target's containers, also in egress rules."""
        pod = self._pod(self.target)
        if pod is None:
            return None
        return any(n == name and p == self.protocol and at == self.port for n, p, at in named_ports(pod))

    # Ends

    def _pod(self, end: Subject) -> Pod | None:
        return self.index.pods.get(end)

    def _is_host(self, end: Subject) -> bool:
        pod = self._pod(end)
        return end.kind is SubjectKind.NODE or (pod is not None and pod.spec.host_network)

    def _why_unknown(self, sides: Sequence[Side]) -> str:
        for pod in filter(None, map(self._pod, (self.source, self.target))):
            if why := self.index.why_unread(pod.metadata.namespace):
                return f"NetworkPolicies of namespace {pod.metadata.namespace} could not be read: {why}"
        names = sorted({name for side in sides if side.verdict == "unknown" for name in side.policies})
        if not names:
            return "one end is not a pod that the snapshot holds"
        return f"it hangs on how {', '.join(names)} treats an end whose labels or address are not certain"


def _truth(verdict: Verdict) -> bool | None:
    return {"yes": True, "no": False, "unknown": None}[verdict]
