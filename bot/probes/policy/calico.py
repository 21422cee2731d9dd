"""What Calico's own policies say of a flow: (Global)NetworkPolicies in their order, NetworkPolicies among them.

Calico asks policy by policy, by tier, order and name; the first rule that takes a packet decides. NetworkPolicies of
Kubernetes stand in the tier "default" at order 1000 and never deny by a rule. A pod that any policy of a tier selects
is denied at that tier's end. What hangs on network sets, services or domains is left open.

Source: https://docs.tigera.io/calico/latest/reference/resources/globalnetworkpolicy
Source: https://docs.tigera.io/calico/latest/network-policy/policy-tiers/tiered-policy
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from bot.cluster.objects import CustomObject, Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Subject, SubjectKind
from bot.domain.foreign import whole_number
from bot.probes.policy.calico_selector import Selector, parse_selector
from bot.probes.policy.ends import Direction, name_of_custom, named_ports
from bot.probes.policy.selectors import address, all_of, any_of, is_within

PLURALS = ("globalnetworkpolicies", "networkpolicies")
KUBERNETES_ORDER = 1000.0
DEFAULT_TIER = "default"
_KNOWN = frozenset({"action", "protocol", "ipVersion", "source", "destination", "metadata"})
_OF_ENTITY = frozenset({"nets", "notNets", "selector", "notSelector", "namespaceSelector", "ports", "notPorts"})
_NUMBERS = {1: "ICMP", 6: "TCP", 17: "UDP", 132: "SCTP"}

Outcome = Literal["allow", "deny", "pass", "next", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What comes of a flow at one end, all policies in their order."""

    allows: bool | None
    policies: tuple[str, ...] = ()
    """Calico's own that decide, or may."""


class CalicoPolicies:
    """Calico's own policies of a snapshot."""

    def __init__(self, snapshot: Snapshot, pods: Mapping[Subject, Pod]) -> None:
        self._pods = pods
        self._namespaces = {each.metadata.name: each.metadata.labels for each in snapshot.namespaces}
        tiers = {
            each.metadata.name: _number(each.spec.get("order")) for each in snapshot.custom_objects.get("tiers", ())
        }
        objects = [each for plural in PLURALS for each in snapshot.custom_objects.get(plural, ())]
        own = [each for each in objects if not each.metadata.name.startswith("knp.default.")]
        self.objects = tuple(sorted(own, key=lambda each: (*self._place(each, tiers), each.metadata.name)))
        self._tiers = {name_of_custom(each): _tier(each) for each in self.objects}

    @staticmethod
    def _place(policy: CustomObject, tiers: Mapping[str, float]) -> tuple[float, str, float]:
        tier = _tier(policy)
        return tiers.get(tier, math.inf if tier == DEFAULT_TIER else 0.0), tier, _number(policy.spec.get("order"))

    def decide(
        self,
        own: Subject,
        other: Subject,
        direction: Direction,
        port: int,
        protocol: str,
        *,
        isolated: bool,
        permitted: bool | None,
    ) -> Decision:
        """What they say at `own`; `isolated` and `permitted` are what the NetworkPolicies of Kubernetes say there."""
        flow = _Flow(self, own, other, direction, port, protocol)
        tiers = list(dict.fromkeys([*(_tier(each) for each in self.objects), DEFAULT_TIER]))
        for tier in tiers:
            decision = self._in_tier(flow, tier, isolated=isolated and tier == DEFAULT_TIER, permitted=permitted)
            if decision is not None:
                return decision
        return Decision(allows=True)

    def _in_tier(self, flow: "_Flow", tier: str, *, isolated: bool, permitted: bool | None) -> Decision | None:
        concerned = [each for each in self.objects if _tier(each) == tier and flow.concerns(each) is not False]
        before = [each for each in concerned if _number(each.spec.get("order")) < KUBERNETES_ORDER]
        names = tuple(name_of_custom(each) for each in concerned)
        after = [each for each in concerned if each not in before]
        outcome, by = flow.first(before)
        if outcome == "next" and isolated and permitted is not False:
            return Decision(allows=permitted, policies=names if permitted is None else ())
        if outcome == "next":
            outcome, by = flow.first(after)
        if outcome in _FINAL:
            return Decision(allows=_FINAL[outcome], policies=(by,))
        return Decision(allows=False, policies=names) if outcome == "next" and (concerned or isolated) else None

    def selecting(self, pod: Subject) -> tuple[str, ...]:
        """The policies that select, or may select, a pod."""
        return tuple(name_of_custom(policy) for policy in self.objects if self.selects(policy, pod) is not False)

    def selects(self, policy: CustomObject, pod: Subject) -> bool | None:
        """Whether a policy selects a pod."""
        known = self._pods.get(pod)
        if known is None or known.spec.host_network:
            return False
        namespace = policy.metadata.namespace
        if namespace and namespace != known.metadata.namespace:
            return False
        wanted = str(policy.spec.get("namespaceSelector", ""))
        in_namespace = self.in_namespace(wanted, known.metadata.namespace) if wanted and not namespace else True
        return all_of((in_namespace, self.takes(str(policy.spec.get("selector", "")), known)))

    def takes(self, selector: str, pod: Pod) -> bool | None:
        """Whether a selector takes a pod's endpoint."""
        labels = {
            **pod.metadata.labels,
            "projectcalico.org/namespace": pod.metadata.namespace,
            "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": pod.spec.service_account_name or "default",
        }
        parsed: Selector | None = parse_selector(selector)
        return None if parsed is None else parsed(labels)

    def in_namespace(self, selector: str, namespace: str) -> bool | None:
        """Whether a namespaceSelector takes a namespace."""
        parsed, labels = parse_selector(selector), self._namespaces.get(namespace)
        if parsed is None or labels is None:
            return None
        return parsed({**labels, "projectcalico.org/name": namespace, "kubernetes.io/metadata.name": namespace})

    def pod(self, end: Subject) -> Pod | None:
        """The pod at an end, if it has a network of its own."""
        known = self._pods.get(end)
        return None if known is None or known.spec.host_network else known


@dataclass(frozen=True, slots=True)
class _Flow:
    policies: CalicoPolicies
    own: Subject
    other: Subject
    direction: Direction
    port: int
    protocol: str

    def concerns(self, policy: CustomObject) -> bool | None:
        types = [str(each).lower() for each in _sequence(policy.spec.get("types"))]
        types = types or (["egress"] if "egress" in policy.spec else []) + (
            ["ingress"] if "ingress" in policy.spec or "egress" not in policy.spec else []
        )
        return self.policies.selects(policy, self.own) if self.direction in types else False

    def first(self, policies: Iterable[CustomObject]) -> tuple[Outcome, str]:
        """What the first rule says that takes the flow, and whose it is; "next" where none does."""
        for policy in policies:
            is_sure = self.concerns(policy)
            for rule in _sequence(policy.spec.get(self.direction)):
                takes = self._takes(policy, _mapping(rule))
                if takes is False:
                    continue
                action = str(_mapping(rule).get("action", "")).lower()
                if action == "log":
                    continue
                if takes is None or is_sure is None:
                    return "unknown", name_of_custom(policy)
                return _ACTIONS.get(action, "unknown"), name_of_custom(policy)
            if is_sure is None:
                return "unknown", name_of_custom(policy)
        return "next", ""

    def _takes(self, policy: CustomObject, rule: Mapping[str, Any]) -> bool | None:
        source, destination = _mapping(rule.get("source")), _mapping(rule.get("destination"))
        ends = (self.other, self.own) if self.direction == "ingress" else (self.own, self.other)
        return all_of(
            (
                True if rule.keys() <= _KNOWN else None,
                rule.get("ipVersion") in {None, 4},
                self._protocol(rule.get("protocol")),
                *self._entity(policy, source, ends[0], port=None),
                *self._entity(policy, destination, ends[1], port=self.port),
            )
        )

    def _protocol(self, wanted: object) -> bool | None:
        if wanted is None:
            return True
        number = _NUMBERS.get(wanted) if isinstance(wanted, int) else None
        return (number or str(wanted).upper()) == self.protocol

    def _entity(
        self, policy: CustomObject, entity: Mapping[str, Any], end: Subject, port: int | None
    ) -> Iterator[bool | None]:
        if not entity:
            return
        if not entity.keys() <= _OF_ENTITY:
            yield None
        ip = self._ip(end)
        if "nets" in entity:
            yield any(is_within(ip, str(each)) for each in _sequence(entity["nets"])) if ip else None
        if "notNets" in entity:
            yield not any(is_within(ip, str(each)) for each in _sequence(entity["notNets"])) if ip else None
        yield self._selected(policy, entity, end)
        if "ports" in entity:
            yield self._has_port(entity["ports"], end, port)
        if "notPorts" in entity:
            has_it = self._has_port(entity["notPorts"], end, port)
            yield None if has_it is None else not has_it

    def _ip(self, end: Subject) -> str:
        pod = self.policies.pod(end)
        if pod is not None:
            return pod.status.pod_ip
        return end.name if end.kind is SubjectKind.NODE and address(end.name) else ""

    def _selected(self, policy: CustomObject, entity: Mapping[str, Any], end: Subject) -> bool | None:
        selector, scope = str(entity.get("selector", "")), str(entity.get("namespaceSelector", ""))
        unwanted = str(entity.get("notSelector", ""))
        if not selector and not scope and not unwanted:
            return True
        pod = self.policies.pod(end)
        if pod is None:
            return None  # host endpoints and network sets have labels, too
        parts: list[bool | None] = []
        if scope:
            parts.append(self.policies.in_namespace(scope, pod.metadata.namespace))
        elif selector and policy.metadata.namespace:
            parts.append(pod.metadata.namespace == policy.metadata.namespace)
        if selector:
            parts.append(self.policies.takes(selector, pod))
        if unwanted:
            has_it = self.policies.takes(unwanted, pod)
            parts.append(None if has_it is None else not has_it)
        return all_of(parts)

    def _has_port(self, wanted: object, end: Subject, port: int | None) -> bool | None:
        if self.protocol not in {"TCP", "UDP", "SCTP"}:
            return False
        return None if port is None else any_of(self._is_port(each, end, port) for each in _sequence(wanted))

    def _is_port(self, wanted: object, end: Subject, port: int) -> bool | None:
        first, _, last = str(wanted).partition(":")
        lowest, highest = whole_number(first), whole_number(last)
        if lowest is not None:
            return lowest <= port <= (lowest if highest is None else highest)
        pod = self.policies.pod(end)
        return None if pod is None else any(n == first and at == port for n, _, at in named_ports(pod))


_FINAL: Mapping[Outcome, bool | None] = {"allow": True, "deny": False, "unknown": None}
_ACTIONS: Mapping[str, Outcome] = {"allow": "allow", "deny": "deny", "pass": "pass"}


def _tier(policy: CustomObject) -> str:
    return str(policy.spec.get("tier") or DEFAULT_TIER)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()
