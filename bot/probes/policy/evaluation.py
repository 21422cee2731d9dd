"""Do the NetworkPolicies of both ends allow a flow? Exact evaluation of `networking.k8s.io/v1`, nothing else.

A flow passes when the source's egress *and* the target's ingress allow it. An end that no policy selects for a
direction is not isolated and allows everything; an isolated one allows what any rule of any policy that selects it
allows. The order of policies never matters and no policy can deny what another allows.

"unknown" where the answer hangs on something that was not read or that implementations treat differently: policies
or Namespaces that may not be listed, pods with hostNetwork, address blocks held against pods under Cilium (whose
identities know no addresses of pods), ports by name on an end without containers.

Whether anybody enforces them is another question: `bot.probes.policy.enforcement`.

What a CNI adds of its own is held against the flow as well: CiliumNetworkPolicies (`bot.probes.policy.cilium`) and
Calico's (`bot.probes.policy.calico`), as far as the API alone decides them; and what cluster admins put before and
behind NetworkPolicies (`bot.probes.policy.admin`).

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from bot.cluster.objects import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, Pod
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.admin import decided
from bot.probes.policy.ends import Direction, is_named_port
from bot.probes.policy.index import PolicyIndex, name_of
from bot.probes.policy.selectors import address, all_of, any_of, block_has, is_within, selects

Verdict = Literal["yes", "no", "unknown"]
Protocol = Literal["TCP", "UDP", "SCTP", "ICMP"]

BLIND_TO_HOSTS = frozenset({"calico", "canal", "cilium", "flannel"})
"""CNIs whose policies know hosts by address alone; beside Flannel, Calico (Canal) or kube-router (K3s) enforces.

Source: https://docs.cilium.io/en/stable/security/policy/kubernetes/ (known missing: hostNetwork pods)
Source: https://github.com/cloudnativelabs/kube-router/blob/master/pkg/controllers/netpol/pod.go (isNetPolActionable)
"""
LINK_LOCAL = "169.254.0.0/16"

_VERDICTS: dict[bool | None, Verdict] = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one end's policies say about a flow."""

    verdict: Verdict
    policies: tuple[str, ...] = ()
    """The policies ("namespace/name") that isolate this end; empty when it is not isolated or they are not known."""
    hidden: tuple[str, ...] = ()
    """Policies of the CNI's own kinds that deny the flow at this end, or may: "CiliumNetworkPolicy shop/deny"."""


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

    @property
    def hidden(self) -> tuple[str, ...]:
        """The CNI's own policies that deny the flow, or may."""
        return tuple(sorted({p for side in (self.ingress, self.egress) if side.verdict != "yes" for p in side.hidden}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A rule of a policy that isolates an end and does not let the flow pass; or a policy without any rule."""

    policy: NetworkPolicy
    direction: Direction
    number: int
    """Of the rule, from 1; 0 for a policy without rules in this direction."""
    peers: Sequence[NetworkPolicyPeer] = ()
    ports: Sequence[NetworkPolicyPort] = ()
    takes_peer: bool | None = None
    takes_port: bool | None = None


YES = Side(verdict="yes")
ALLOWED = Allowed(verdict="yes", ingress=YES, egress=YES)


@once_per_evidence
def policy_index(evidence: Evidence) -> PolicyIndex:
    """The index of this evidence's policies."""
    return PolicyIndex(evidence.snapshot, evidence.pods, blocks_miss_pods=evidence.cni.name == "cilium")


def by_rules(
    evidence: Evidence,
    source_pod: Subject,
    target_pod: Subject,
    port: int | None,
    protocol: Protocol | str,
    *,
    by_service: bool = False,
) -> Allowed:
    """Whether policies let `source_pod` reach `target_pod`, if somebody enforces them; either may also be a node.

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
        flow = _flow(evidence, source_pod, target_pod, port or 0, protocol)
        answer = index.answers[key] = flow.judge(same_node=same_node)
    return cast("Allowed", answer)


def misses(evidence: Evidence, source_pod: Subject, target_pod: Subject, port: int, protocol: str) -> tuple[Miss, ...]:
    """The rules that do not let a denied flow pass, those first that miss it by one thing only."""
    flow = _flow(evidence, source_pod, target_pod, port, protocol)
    answer = by_rules(evidence, source_pod, target_pod, port, protocol, by_service=True)
    found = [
        miss
        for direction, side in (("ingress", answer.ingress), ("egress", answer.egress))
        if side.verdict == "no"
        for miss in flow.misses("ingress" if direction == "ingress" else "egress")
    ]
    return tuple(sorted(found, key=lambda miss: (miss.number == 0, not (miss.takes_peer or miss.takes_port))))


def _flow(evidence: Evidence, source: Subject, target: Subject, port: int, protocol: str) -> "_Flow":
    index, cni = policy_index(evidence), evidence.cni.name
    return _Flow(index, source, target, port, protocol.upper(), cni == "cilium", cni in BLIND_TO_HOSTS)


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
    selectors_miss_hosts: bool
    """Whether selectors of this CNI's never take what has a node's address."""

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
            return self._from_own_node(own, other)
        policies = self.index.isolating(own, direction)
        names = tuple(name_of(policy) for policy in policies)
        permitted = any_of(self._permits(policy, pod, other, direction) for policy in policies)
        plain = Side(verdict=_VERDICTS[permitted], policies=names) if policies else YES
        if not permitted and self.index.why_unread(pod.metadata.namespace):
            plain = Side(verdict="unknown", policies=names)  # one that was not read may isolate, or may allow
        else:
            plain = self._with_cnis(plain, own, other, direction, permitted=permitted)
        return self._with_admins(plain, own, other, direction, is_isolated=bool(policies))

    def _from_own_node(self, own: Subject, other: Subject) -> Side:
        """A pod's own node, kubelet's probes among it, is let in; a deny rule of Cilium's takes it all the same."""
        cilium = self.index.cilium
        if not cilium.objects:
            return YES
        ruling = cilium.rule(own, other, "ingress", self.port, self.protocol, same_node=True)
        return Side(verdict="no", hidden=ruling.policies) if ruling.denies else YES

    def _with_cnis(
        self, plain: Side, own: Subject, other: Subject, direction: Direction, *, permitted: bool | None
    ) -> Side:
        """What NetworkPolicies say, and on top what the CNI's own kinds do."""
        if self.index.cilium.objects:
            return self._with_cilium(plain, own, other, direction, permitted=permitted)
        if self.index.calico.objects:
            return self._with_calico(plain, own, other, direction, permitted=permitted)
        return plain

    def _with_admins(
        self, plain: Side, own: Subject, other: Subject, direction: Direction, *, is_isolated: bool
    ) -> Side:
        """What cluster admins decide before NetworkPolicies, or behind them where none of these isolates the end."""
        admin = self.index.admin
        if admin.why_unread:
            return Side(verdict="unknown", policies=plain.policies)
        if not admin.objects:
            return plain
        first = admin.rule("Admin", own, other, direction, self.port, self.protocol)
        last = admin.rule("Baseline", own, other, direction, self.port, self.protocol)
        then: list[bool | None] = [_truth(plain.verdict)]
        if not is_isolated and plain.verdict == "yes":
            then = [outcome != "deny" for outcome in last.outcomes]
        ways = [way for outcome in first.outcomes for way in (then if outcome == "next" else [outcome == "allow"])]
        verdict = _VERDICTS[decided(ways)]
        is_passed_on = "next" in first.outcomes
        if is_passed_on and len(first.outcomes) == 1 and then == [_truth(plain.verdict)]:
            return plain
        rules = (*first.policies, *(last.policies if is_passed_on and not is_isolated else ()))
        if self._has_own_kinds and verdict != plain.verdict:
            # Where those of the CNI stand among these tiers is not for the API alone to say.
            return Side(verdict="unknown", policies=plain.policies, hidden=(*plain.hidden, *rules))
        return Side(verdict=verdict, policies=plain.policies if verdict != "yes" else (), hidden=rules)

    @property
    def _has_own_kinds(self) -> bool:
        return bool(self.index.cilium.objects or self.index.calico.objects)

    def _with_cilium(
        self, plain: Side, own: Subject, other: Subject, direction: Direction, *, permitted: bool | None
    ) -> Side:
        """Both kinds isolate and allow together; a deny rule beats both."""
        same_node = _node(self.index, own) == _node(self.index, other) != ""
        ruling = self.index.cilium.rule(own, other, direction, self.port, self.protocol, same_node=same_node)
        if not ruling.policies:
            return plain
        if ruling.denies:
            return Side(verdict="no", policies=plain.policies, hidden=ruling.policies)
        isolated = any_of((bool(plain.policies), ruling.isolates))
        allowed_by_any = any_of((permitted if plain.policies else False, ruling.allows))
        passes = any_of((_not(isolated), allowed_by_any))
        verdict = all_of((passes, _not(ruling.denies)))
        # Where NetworkPolicies alone would deny it, too, they are the ones to name.
        hidden = ruling.policies if plain.verdict == "yes" else ()
        return Side(verdict=_VERDICTS[verdict], policies=plain.policies, hidden=hidden)

    def _with_calico(
        self, plain: Side, own: Subject, other: Subject, direction: Direction, *, permitted: bool | None
    ) -> Side:
        decision = self.index.calico.decide(
            own, other, direction, self.port, self.protocol, isolated=bool(plain.policies), permitted=permitted
        )
        hidden = decision.policies if plain.verdict == "yes" or decision.allows is None else ()
        return Side(verdict=_VERDICTS[decision.allows], policies=plain.policies, hidden=hidden)

    def _permits(self, policy: NetworkPolicy, own: Pod, other: Subject, direction: Direction) -> bool | None:
        """Whether one policy lets the flow pass; None when unknown. A policy that may not select the pod: unknown."""
        rules = self._rules(policy, direction)
        permitted = any_of(
            all_of((self._peers_take(policy, peers, other), self._ports_take(ports))) for peers, ports in rules
        )
        return permitted if selects(policy.spec.pod_selector, own.metadata.labels) else None

    def misses(self, direction: Direction) -> Iterator[Miss]:
        """Each rule of the policies that isolate the end of this direction, and by what it misses the flow."""
        own, other = (self.target, self.source) if direction == "ingress" else (self.source, self.target)
        for policy in self.index.isolating(own, direction):
            rules = tuple(self._rules(policy, direction))
            if not rules:
                yield Miss(policy=policy, direction=direction, number=0)
            for number, (peers, ports) in enumerate(rules, 1):
                yield Miss(
                    policy=policy,
                    direction=direction,
                    number=number,
                    peers=peers,
                    ports=ports,
                    takes_peer=self._peers_take(policy, peers, other),
                    takes_port=self._ports_take(ports),
                )

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
        if self._is_address(other):
            return False  # selectors take pods
        if other.kind is SubjectKind.NODE and peer.namespace_selector is None:
            return False  # a machine is no pod of the policy's own namespace
        if pod is None or pod.spec.host_network:
            # The API leaves open whether selectors see pods with hostNetwork; most CNIs do not. What such pods send is
            # another matter: there the address is a question as well.
            is_missed = self.selectors_miss_hosts and other == self.target and self._is_host(other)
            return False if is_missed else None
        in_namespace = self._namespace_takes(policy, peer, pod.metadata.namespace)
        is_selected = selects(peer.pod_selector, pod.metadata.labels) if peer.pod_selector is not None else True
        return all_of((in_namespace, is_selected))

    def _namespace_takes(self, policy: NetworkPolicy, peer: NetworkPolicyPeer, namespace: str) -> bool | None:
        if peer.namespace_selector is not None:
            return self.index.namespace_selected(peer.namespace_selector, namespace)
        return peer.pod_selector is not None and namespace == policy.metadata.namespace

    def _block_takes(self, peer: NetworkPolicyPeer, other: Subject) -> bool | None:
        pod = self._pod(other)
        if peer.ip_block is not None and other.kind is SubjectKind.NODE:
            return self._block_takes_machine(peer.ip_block, other)
        if pod is None or peer.ip_block is None or not pod.status.pod_ip:
            return None
        if pod.spec.host_network and other == self.source:
            return None  # a node's address is often rewritten on the way from it
        has_it = block_has(peer.ip_block, pod.status.pod_ip)
        return None if has_it and self.blocks_miss_pods else has_it

    def _block_takes_machine(self, block: IPBlock, other: Subject) -> bool | None:
        """A node's address is often rewritten on the way from it, never on the way to it; Cilium sees no address."""
        if self._is_address(other):
            has_it = block_has(block, other.name)
            # An address of the node's own (link-local) has no identity that Cilium's address blocks take.
            return None if has_it and self.blocks_miss_pods and is_within(other.name, LINK_LOCAL) else has_it
        ips = self.index.node_ips.get(other.name, ())
        if other == self.source or not ips:
            return None
        has_it = any(block_has(block, ip) for ip in ips)
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
        return is_named_port(pod, name, self.protocol, self.port)

    # Ends

    def _pod(self, end: Subject) -> Pod | None:
        return self.index.pods.get(end)

    @staticmethod
    def _is_address(end: Subject) -> bool:
        """Whether it is an address that no pod and no node is known by."""
        return end.kind is SubjectKind.NODE and address(end.name) is not None

    def _is_host(self, end: Subject) -> bool:
        pod = self._pod(end)
        is_node = end.kind is SubjectKind.NODE and not self._is_address(end)
        return is_node or (pod is not None and pod.spec.host_network)

    def _why_unknown(self, sides: Sequence[Side]) -> str:
        for pod in filter(None, map(self._pod, (self.source, self.target))):
            if why := self.index.why_unread(pod.metadata.namespace):
                return f"NetworkPolicies of namespace {pod.metadata.namespace} could not be read: {why}"
        if why := self.index.admin.why_unread:
            return f"policies of cluster admins could not be read: {why}"
        names = sorted({name for side in sides if side.verdict == "unknown" for name in (*side.policies, *side.hidden)})
        if not names:
            return "one end is not a pod that the snapshot holds"
        return f"it hangs on how {', '.join(names)} treats an end whose labels or address are not certain"


def _not(value: bool | None) -> bool | None:  # noqa: FBT001 three-valued
    return None if value is None else not value


def _truth(verdict: Verdict) -> bool | None:
    return {"yes": True, "no": False, "unknown": None}[verdict]
