"""What cluster admins' policies say of a flow: AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy.

Three tiers, and the first that decides has decided: Admin (AdminNetworkPolicies, and ClusterNetworkPolicies of that
tier) by ascending priority and, within a policy, by the order of its rules; then the NetworkPolicies of Kubernetes,
whose word is final for pods that they select; then Baseline. Allow (Accept) and Deny end it, Pass leaves the tier. Of
two policies with one priority either may come first. Both ends are asked, each by its own direction.

What the API alone does not decide is left open: domain names, fields of a newer version, labels that were not read,
address blocks held against pods under Cilium.

Source: https://network-policy-api.sigs.k8s.io/api-overview/
Source: https://github.com/kubernetes-sigs/network-policy-api (v1alpha1; ClusterNetworkPolicy v1alpha2 and v1beta1)
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from bot.cluster.objects import CustomObject, LabelSelector, LabelSelectorRequirement, Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Subject, SubjectKind
from bot.domain.foreign import whole_number
from bot.probes.policy.ends import Direction, is_named_port, name_of_custom
from bot.probes.policy.selectors import address, all_of, any_of, is_within, selects
from bot.probes.shared.unread_resources import why_unread

GROUP = "policy.networking.k8s.io"
PLURALS = ("adminnetworkpolicies", "baselineadminnetworkpolicies", "clusternetworkpolicies")
Tier = Literal["Admin", "Baseline"]
Outcome = Literal["allow", "deny", "next"]
_ACTIONS: Mapping[str, Outcome] = {"allow": "allow", "accept": "allow", "deny": "deny", "pass": "next"}
_EVERY: frozenset[Outcome] = frozenset({"allow", "deny", "next"})
_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a tier may do with a flow at one end: one outcome where it is certain."""

    outcomes: frozenset[Outcome] = frozenset({"next"})
    policies: tuple[str, ...] = ()
    """The rules behind it: 'AdminNetworkPolicy deny-db (egress rule 2 "db", priority 10)'."""


class AdminPolicies:
    """The policies of cluster admins of a snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        pods: Mapping[Subject, Pod],
        in_namespace: Callable[[LabelSelector, str], bool | None],
        *,
        blocks_miss_pods: bool,
    ) -> None:
        """`in_namespace`: whether a selector takes a namespace; `blocks_miss_pods`: CIDRs take no pod for certain."""
        self._pods = pods
        self.in_namespace = in_namespace
        self.blocks_miss_pods = blocks_miss_pods
        self.nodes = {node.metadata.name: node for node in snapshot.nodes}
        self.objects = tuple(each for plural in PLURALS for each in snapshot.custom_objects.get(plural, ()))
        self._tiers: dict[Tier, dict[float, list[CustomObject]]] = {"Admin": {}, "Baseline": {}}
        for each in self.objects:
            self._tiers[_tier(each)].setdefault(_priority(each), []).append(each)
        self.why_unread = _why_unread(snapshot)

    def rule(self, tier: Tier, own: Subject, other: Subject, direction: Direction, port: int, protocol: str) -> Ruling:
        """What the policies of a tier do at `own`, a pod with a network of its own."""
        flow = _Flow(self, own, other, direction, port, protocol)
        possible: dict[Outcome, list[str]] = defaultdict(list)
        for _, policies in sorted(self._tiers[tier].items()):
            found = [one for policy in policies for one in flow.rules(policy)]
            for outcome, words, _ in found:
                possible[outcome].append(words)
            if any(is_sure for _, _, is_sure in found):
                break
        else:
            possible["next"].extend(())
        names = dict.fromkeys(words for each in possible.values() for words in each)
        return Ruling(outcomes=frozenset(possible), policies=tuple(names))

    def selecting(self, pod: Subject) -> tuple[str, ...]:
        """The policies that select, or may select, a pod."""
        return tuple(sorted(name_of_custom(each) for each in self.objects if self.selects(each, pod) is not False))

    def selects(self, policy: CustomObject, pod: Subject) -> bool | None:
        """Whether a policy's subject takes a pod; hostNetwork is never taken."""
        known = self.pod(pod)
        return False if known is None else self.takes(_mapping(policy.spec.get("subject")), known)

    def takes(self, peer: Mapping[str, Any], pod: Pod) -> bool | None:
        """Whether a subject or peer of pods takes a pod; None for one of another kind."""
        namespace = pod.metadata.namespace
        if tuple(peer) == ("namespaces",):
            return self._in(peer["namespaces"], namespace)
        chosen: object = peer.get("pods")
        if tuple(peer) != ("pods",) or not isinstance(chosen, dict):
            return None
        chosen = _mapping(cast("object", chosen))
        wanted = _selector(chosen.get("podSelector", {}))
        is_selected = None if wanted is None else selects(wanted, pod.metadata.labels)
        return all_of((self._in(chosen.get("namespaceSelector", {}), namespace), is_selected))

    def _in(self, value: object, namespace: str) -> bool | None:
        selector = _selector(value)
        return None if selector is None else self.in_namespace(selector, namespace)

    def pod(self, end: Subject) -> Pod | None:
        """The pod at an end, if it has a network of its own."""
        known = self._pods.get(end)
        return None if known is None or known.spec.host_network else known

    def any_pod(self, end: Subject) -> Pod | None:
        """Whatever pod is at an end."""
        return self._pods.get(end)


@dataclass(frozen=True, slots=True)
class _Flow:
    policies: AdminPolicies
    own: Subject
    other: Subject
    direction: Direction
    port: int
    protocol: str

    def rules(self, policy: CustomObject) -> Iterator[tuple[Outcome, str, bool]]:
        """What the rules may do that may take the flow, up to the first that surely does: outcome, rule, surely."""
        selected = self.policies.selects(policy, self.own)
        if selected is False:
            return
        for number, value in enumerate(_sequence(policy.spec.get(self.direction)), 1):
            rule = _mapping(value)
            takes = all_of((selected, self._peers(rule), self._ports(rule)))
            if takes is False:
                continue
            outcome = _ACTIONS.get(str(rule.get("action", "")).lower())
            words = _words(policy, self.direction, number, rule)
            is_sure = takes is True and outcome is not None
            for one in (outcome,) if outcome else sorted(_EVERY):
                yield one, words, is_sure
            if is_sure:
                return

    # Peers

    def _peers(self, rule: Mapping[str, Any]) -> bool | None:
        peers = _sequence(rule.get("from" if self.direction == "ingress" else "to"))
        return any_of(self._peer(_mapping(peer)) for peer in peers) if peers else None

    def _peer(self, peer: Mapping[str, Any]) -> bool | None:
        match tuple(peer):
            case ("namespaces" | "pods",):
                pod = self.policies.pod(self.other)
                return False if pod is None else self.policies.takes(peer, pod)
            case ("networks",):
                return self._in_networks(_sequence(peer["networks"]))
            case ("nodes",):
                return self._is_node(peer["nodes"])
            case ("domainNames",):
                return False if self.policies.pod(self.other) else None
            case _:
                return None

    def _in_networks(self, networks: Sequence[Any]) -> bool | None:
        ips = self._ips()
        if not ips:
            return None
        has_it = any(is_within(ip, str(network)) for ip in ips for network in networks)
        is_inside = self.other.kind is not SubjectKind.NODE or address(self.other.name) is None
        return None if has_it and is_inside and self.policies.blocks_miss_pods else has_it

    def _ips(self) -> Sequence[str]:
        pod = self.policies.any_pod(self.other)
        if pod is not None and not pod.spec.host_network:
            return tuple(filter(None, (pod.status.pod_ip, *(each.ip for each in pod.status.pod_ips))))
        if self.other.kind is SubjectKind.NODE and address(self.other.name):
            return (self.other.name,)
        node = self.policies.nodes.get(self._node())
        return tuple(each.address for each in node.status.addresses) if node else ()

    def _is_node(self, value: object) -> bool | None:
        if self.policies.pod(self.other) or (self.other.kind is SubjectKind.NODE and address(self.other.name)):
            return False
        node, selector = self.policies.nodes.get(self._node()), _selector(value)
        return None if node is None or selector is None else selects(selector, node.metadata.labels)

    def _node(self) -> str:
        """The node that the other end is, or shares its network with."""
        pod = self.policies.any_pod(self.other)
        return pod.spec.node_name if pod else self.other.name

    # Ports

    def _ports(self, rule: Mapping[str, Any]) -> bool | None:
        """Without any, all that is sent; those of both versions of the API."""
        if "ports" in rule and "protocols" in rule:
            return None
        value: object = rule.get("ports", rule.get("protocols"))
        if value is not None and not isinstance(value, list | tuple):
            return None
        ports = _sequence(cast("object", value))
        return any_of(map(self._port, ports)) if ports else True

    def _port(self, value: object) -> bool | None:
        port = _mapping(value)
        match tuple(port):
            case ("portNumber",):
                wanted = _mapping(port["portNumber"])
                return self._is(wanted, wanted.get("port"), wanted.get("port"))
            case ("portRange",):
                wanted = _mapping(port["portRange"])
                return self._is(wanted, wanted.get("start"), wanted.get("end"))
            case ("namedPort" | "destinationNamedPort" as key,):
                return self._is_named(str(port[key]))
            case (protocol,) if protocol in _PROTOCOLS:
                return self._of_protocol(protocol, _mapping(port[protocol]))
            case _:
                return None

    def _is(self, wanted: Mapping[str, Any], first: object, last: object) -> bool | None:
        if str(wanted.get("protocol") or "TCP").upper() != self.protocol:
            return False
        low, high = whole_number(first), whole_number(last)
        return None if low is None or high is None else low <= self.port <= high

    def _of_protocol(self, protocol: str, wanted: Mapping[str, Any]) -> bool | None:
        if protocol.upper() != self.protocol:
            return False
        if not wanted:
            return True
        destination = _mapping(wanted.get("destinationPort"))
        if tuple(wanted) != ("destinationPort",) or len(destination) != 1:
            return None
        if "number" in destination:
            return self._is({"protocol": protocol}, destination["number"], destination["number"])
        ends = _mapping(destination.get("range"))
        return self._is({"protocol": protocol}, ends.get("start"), ends.get("end"))

    def _is_named(self, name: str) -> bool | None:
        """Names of ports are those of the target's containers."""
        target = self.policies.any_pod(self.own if self.direction == "ingress" else self.other)
        if target is None:
            return None
        return is_named_port(target, name, self.protocol, self.port)


def _why_unread(snapshot: Snapshot) -> str:
    """Why there may be some that were not read; "" where all were, or the API serves none."""
    whole = next((one.why for one in snapshot.unobserved if any(read.path == "/apis" for read in one.reads)), "")
    return whole or next((why for each in PLURALS if (why := why_unread(snapshot, each, group=GROUP))), "")


def _words(policy: CustomObject, direction: str, number: int, rule: Mapping[str, Any]) -> str:
    name = f' "{str(rule["name"])[:100]}"' if rule.get("name") else ""
    priority = policy.spec.get("priority")
    place = f", priority {priority}" if isinstance(priority, int) else ""
    return f"{name_of_custom(policy)} ({direction} rule {number}{name}, {rule.get('action', '')}{place})"


def _tier(policy: CustomObject) -> Tier:
    is_baseline = policy.kind.startswith("Baseline") or policy.spec.get("tier") == "Baseline"
    return "Baseline" if is_baseline else "Admin"


def _priority(policy: CustomObject) -> float:
    value = policy.spec.get("priority")
    return float(value) if isinstance(value, int | float) else 0.0


def _selector(value: object) -> LabelSelector | None:
    """None for what is none."""
    if not isinstance(value, dict):
        return None
    parts = _mapping(cast("object", value))
    expressions = [_mapping(each) for each in _sequence(parts.get("matchExpressions"))]
    return LabelSelector(
        match_labels={key: str(each) for key, each in _mapping(parts.get("matchLabels")).items()},
        match_expressions=tuple(
            LabelSelectorRequirement(
                key=str(each.get("key", "")),
                operator=str(each.get("operator", "")),
                values=tuple(map(str, _sequence(each.get("values")))),
            )
            for each in expressions
        ),
    )


def decided(outcomes: Iterable[bool | None]) -> bool | None:
    """The one answer to which all ways lead, None where they lead to several."""
    found = set(outcomes)
    return found.pop() if len(found) == 1 else None


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
