"""The NetworkPolicies of a snapshot, indexed by the pods that they isolate.

Pods that no policy can tell apart (same namespace, same values of the labels, ports and addresses that any policy
asks about) are of one kind, and each question about two kinds is answered once: the cost grows with kinds of pods,
not with pods.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from bot.cluster.objects import LabelSelector, NetworkPolicy, NetworkPolicyPeer, Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Subject
from bot.probes.policy.admin import AdminPolicies
from bot.probes.policy.calico import CalicoPolicies
from bot.probes.policy.cilium import CiliumPolicies
from bot.probes.policy.ends import Direction, named_ports
from bot.probes.policy.selectors import NAMESPACE_NAME, asked_by, is_within, selects
from bot.probes.shared.unread_resources import why_unread


def directions(policy: NetworkPolicy) -> tuple[Direction, ...]:
    """The directions in which a policy isolates the pods that it selects.

    Where `policyTypes` is absent: ingress always, egress only when there are egress rules.
    Source: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/ (policyTypes)
    """
    types = policy.spec.policy_types or (("Ingress", "Egress") if policy.spec.egress else ("Ingress",))
    found: list[Direction] = []
    if "Ingress" in types:
        found.append("ingress")
    if "Egress" in types:
        found.append("egress")
    return tuple(found)


def name_of(policy: NetworkPolicy) -> str:
    """A policy as "namespace/name"."""
    return f"{policy.metadata.namespace}/{policy.metadata.name}"


class PolicyIndex:
    """Policies, pods and Namespaces' labels, arranged for questions about flows."""

    def __init__(self, snapshot: Snapshot, pods: Mapping[Subject, Pod], *, blocks_miss_pods: bool = False) -> None:
        """`blocks_miss_pods`: this CNI never holds address blocks against pods for certain."""
        self.pods = pods
        self._blocks_miss_pods = blocks_miss_pods
        self._policies = sorted(snapshot.network_policies, key=name_of)
        self._labels = {each.metadata.name: each.metadata.labels for each in snapshot.namespaces}
        self._isolating: dict[tuple[int, Direction], tuple[NetworkPolicy, ...]] = {}
        self._kinds: dict[Subject, int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._snapshot = snapshot
        self.node_ips = {
            node.metadata.name: tuple(each.address for each in node.status.addresses) for node in snapshot.nodes
        }
        self._unread: dict[str, str] = {}
        self.answers: dict[tuple[int, int, bool, int, str], object] = {}
        """What `policy_arithmetic` has worked out already."""

    @cached_property
    def cilium(self) -> CiliumPolicies:
        """Cilium's own policies."""
        return CiliumPolicies(self._snapshot, self.pods)

    @cached_property
    def calico(self) -> CalicoPolicies:
        """Calico's own policies."""
        return CalicoPolicies(self._snapshot, self.pods)

    @cached_property
    def has_hidden(self) -> bool:
        """Whether there are policies of the CNI's own kinds."""
        return bool(self.cilium.objects or self.calico.objects or self.admin.objects)

    @property
    def is_empty(self) -> bool:
        """Whether there is no policy at all, so that nothing is denied."""
        return not self._policies and not self.has_hidden and not self.admin.why_unread

    def hidden_selecting(self, pod: Subject) -> tuple[str, ...]:
        """Policies of the CNI's own kinds that select a pod, or may."""
        return (*self.cilium.selecting(pod), *self.calico.selecting(pod), *self.admin.selecting(pod))

    @cached_property
    def admin(self) -> AdminPolicies:
        """Policies of cluster admins."""
        return AdminPolicies(
            self._snapshot, self.pods, self.namespace_selected, blocks_miss_pods=self._blocks_miss_pods
        )

    def why_unread(self, namespace: str) -> str:
        """Why the NetworkPolicies of a namespace were not read, "" when they were."""
        if namespace not in self._unread:
            why = why_unread(self._snapshot, "networkpolicies", group="networking.k8s.io", namespace=namespace)
            self._unread[namespace] = why
        return self._unread[namespace]

    @cached_property
    def by_namespace(self) -> Mapping[str, tuple[NetworkPolicy, ...]]:
        """Policies by the namespace that they are in."""
        found: dict[str, list[NetworkPolicy]] = {}
        for policy in self._policies:
            found.setdefault(policy.metadata.namespace, []).append(policy)
        return {namespace: tuple(policies) for namespace, policies in found.items()}

    def isolating(self, pod: Subject, direction: Direction) -> tuple[NetworkPolicy, ...]:
        """The policies that select a pod and isolate it in this direction, in order of name.

        Pods with hostNetwork share their node's address and are beyond NetworkPolicies.
        """
        key = (self.kind_of(pod), direction)
        if key not in self._isolating:
            self._isolating[key] = tuple(self._find_isolating(self.pods[pod], direction))
        return self._isolating[key]

    def _find_isolating(self, pod: Pod, direction: Direction) -> Iterator[NetworkPolicy]:
        if pod.spec.host_network:
            return
        for policy in self._candidates(pod):
            if direction in directions(policy) and selects(policy.spec.pod_selector, pod.metadata.labels) is not False:
                yield policy

    def _candidates(self, pod: Pod) -> Iterator[NetworkPolicy]:
        """Policies of the pod's namespace, without those that ask for a label which it has not, in order of name."""
        namespace = pod.metadata.namespace
        wanted = [("", ""), *pod.metadata.labels.items()]
        found = {number for key, value in wanted for number in self._by_label.get((namespace, key, value), ())}
        return (self._policies[number] for number in sorted(found))

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str, str], Sequence[int]]:
        """Numbers of policies by namespace and the first label that they ask for ("" for those that ask for none)."""
        found: dict[tuple[str, str, str], list[int]] = {}
        for number, policy in enumerate(self._policies):
            key, value = next(iter(policy.spec.pod_selector.match_labels.items()), ("", ""))
            found.setdefault((policy.metadata.namespace, key, value), []).append(number)
        return found

    def namespace_selected(self, selector: LabelSelector, namespace: str) -> bool | None:
        """Whether a namespaceSelector takes a namespace; None when its labels were not read."""
        known = self._labels.get(namespace)
        labels = {**(known or {}), NAMESPACE_NAME: namespace}
        return selects(selector, labels, are_complete=known is not None)

    # Kinds

    def kind_of(self, end: Subject) -> int:
        """A number that pods share exactly if policies cannot tell them apart; a node's is its own."""
        known = self._kinds.get(end)
        if known is None:
            pod = self.pods.get(end)
            described: tuple[object, ...] = (end,) if pod is None else self._describe(pod)
            known = self._kinds[end] = self._numbers.setdefault(described, len(self._numbers))
        return known

    def _describe(self, pod: Pod) -> tuple[object, ...]:
        own = pod.metadata.labels
        if self.has_hidden:  # these may ask about anything
            ports, labels = tuple(sorted(named_ports(pod))), tuple(sorted(own.items()))
            where = pod.spec.node_name if pod.spec.host_network else pod.status.pod_ip
            return (pod.metadata.namespace, labels, ports, where, pod.spec.service_account_name)
        labels = tuple(
            (key, own[key] if own[key] in values else None) for key, values in self._asked.items() if key in own
        )
        ports = tuple(sorted(named_ports(pod))) if self._names_ports else ()
        inside = tuple(is_within(pod.status.pod_ip, cidr) for cidr in self._cidrs)
        host = pod.spec.node_name if pod.spec.host_network else ""
        return (pod.metadata.namespace, labels, ports, inside, bool(pod.status.pod_ip), host)

    @cached_property
    def _asked(self) -> Mapping[str, frozenset[str]]:
        """The label keys that selectors of pods ask about, with the values that they name."""
        found: dict[str, set[str]] = {}
        for selector in (each for policy in self._policies for each in _pod_selectors(policy)):
            for key, values in asked_by(selector):
                found.setdefault(key, set()).update(values)
        return {key: frozenset(found[key]) for key in sorted(found)}

    @property
    def has_blocks(self) -> bool:
        """Whether any rule speaks of addresses."""
        return bool(self._cidrs)

    @cached_property
    def _cidrs(self) -> tuple[str, ...]:
        blocks = [peer.ip_block for policy in self._policies for peer in _peers(policy) if peer.ip_block]
        return tuple(sorted({cidr for block in blocks for cidr in (block.cidr, *block.except_)}))

    @cached_property
    def _names_ports(self) -> bool:
        rules = [rule for policy in self._policies for rule in (*policy.spec.ingress, *policy.spec.egress)]
        return any(isinstance(port.port, str) for rule in rules for port in rule.ports)


def _peers(policy: NetworkPolicy) -> Iterator[NetworkPolicyPeer]:
    for ingress in policy.spec.ingress:
        yield from ingress.from_
    for egress in policy.spec.egress:
        yield from egress.to


def _pod_selectors(policy: NetworkPolicy) -> Iterable[LabelSelector]:
    yield policy.spec.pod_selector
    for peer in _peers(policy):
        if peer.pod_selector is not None:
            yield peer.pod_selector
