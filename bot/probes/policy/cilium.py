"""What CiliumNetworkPolicies say of a flow: the subset that the API alone decides, "unknown" beyond it.

A policy selects endpoints of its own namespace (a clusterwide one everywhere) and isolates them in the directions for
which it has rules, deny rules among them. A deny rule beats every allowance, also of a NetworkPolicy; and it takes the
endpoint's own node too, which is let in otherwise. Rules by name (toFQDNs), by cloud group or by Service are left open.

Source: https://docs.cilium.io/en/stable/security/policy/language/
Source: https://docs.cilium.io/en/stable/security/policy/deny/
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bot.cluster.objects import CustomObject, LabelSelector, LabelSelectorRequirement, Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Subject, SubjectKind
from bot.domain.foreign import whole_number
from bot.probes.policy.ends import Direction, is_named_port, name_of_custom
from bot.probes.policy.selectors import address, all_of, any_of, is_within, selects

PLURALS = ("ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies")
NAMESPACE = "io.kubernetes.pod.namespace"
_OF_NAMESPACE = "io.cilium.k8s.namespace.labels."
_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_INSIDE = frozenset({"all", "cluster"})
_PEERS = ("Endpoints", "Entities", "CIDR", "CIDRSet", "Nodes", "Groups", "Services", "FQDNs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the policies of this kind say about one end of a flow."""

    denies: bool | None = False
    """A deny rule takes the flow."""
    isolates: bool | None = False
    allows: bool | None = False
    policies: tuple[str, ...] = ()
    """Those that select the end and speak of this direction: "CiliumNetworkPolicy shop/deny"."""


class CiliumPolicies:
    """The CiliumNetworkPolicies of a snapshot."""

    def __init__(self, snapshot: Snapshot, pods: Mapping[Subject, Pod]) -> None:
        self._pods = pods
        self._namespaces = {each.metadata.name: each.metadata.labels for each in snapshot.namespaces}
        self.objects = tuple(each for plural in PLURALS for each in snapshot.custom_objects.get(plural, ()))
        self._labels: dict[Subject, Mapping[str, str]] = {}

    def rule(
        self, own: Subject, other: Subject, direction: Direction, port: int, protocol: str, *, same_node: bool
    ) -> Ruling:
        """What they say at `own`, a pod, about a flow with `other` on the target's port."""
        flow = _Flow(self, own, other, direction, port, protocol, same_node)
        found = [(policy, flow.ruling(policy)) for policy in self.objects if self.selects(policy, own) is not False]
        concerned = [(policy, ruling) for policy, ruling in found if ruling.isolates is not False or ruling.denies]
        return Ruling(
            denies=any_of(ruling.denies for _, ruling in concerned),
            isolates=any_of(ruling.isolates for _, ruling in concerned),
            allows=any_of(ruling.allows for _, ruling in concerned),
            policies=tuple(sorted(name_of_custom(policy) for policy, _ in concerned)),
        )

    def selecting(self, pod: Subject) -> tuple[str, ...]:
        """The policies that select, or may select, a pod."""
        return tuple(
            sorted(name_of_custom(policy) for policy in self.objects if self.selects(policy, pod) is not False)
        )

    def selects(self, policy: CustomObject, pod: Subject) -> bool | None:
        """Whether a policy selects a pod; None where its selector is not of the subset."""
        known = self._pods.get(pod)
        if known is None or known.spec.host_network:
            return False
        if policy.metadata.namespace and policy.metadata.namespace != known.metadata.namespace:
            return False
        if "endpointSelector" not in policy.spec:
            return False if "nodeSelector" in policy.spec else None
        return self.takes(policy.spec["endpointSelector"], pod)

    def takes(self, selector: object, pod: Subject) -> bool | None:
        """Whether an endpoint selector takes a pod."""
        parsed = _selector(selector)
        return None if parsed is None else selects(parsed, self.labels(pod))

    def labels(self, pod: Subject) -> Mapping[str, str]:
        """An endpoint's labels as Cilium sees them."""
        if pod not in self._labels:
            known = self._pods[pod]
            namespace = known.metadata.namespace
            of_namespace = self._namespaces.get(namespace, {})
            self._labels[pod] = {
                **known.metadata.labels,
                **{f"{_OF_NAMESPACE}{key}": value for key, value in of_namespace.items()},
                NAMESPACE: namespace,
                _ACCOUNT: known.spec.service_account_name or "default",
            }
        return self._labels[pod]

    def pod(self, end: Subject) -> Pod | None:
        """The pod at an end, if it has an identity of its own."""
        known = self._pods.get(end)
        return None if known is None or known.spec.host_network else known

    def target(self, end: Subject) -> Pod | None:
        """Whatever pod stands at an end."""
        return self._pods.get(end)


@dataclass(frozen=True, slots=True)
class _Flow:
    policies: CiliumPolicies
    own: Subject
    other: Subject
    direction: Direction
    port: int
    protocol: str
    same_node: bool

    def ruling(self, policy: CustomObject) -> Ruling:
        allowing, denying = _rules(policy, self.direction), _rules(policy, f"{self.direction}Deny")
        default = _mapping(policy.spec.get("enableDefaultDeny")).get(self.direction)
        is_sure = self.policies.selects(policy, self.own)
        isolates = default if isinstance(default, bool) else bool(allowing or denying)
        if "endpointSelector" not in policy.spec:
            return Ruling(denies=None, isolates=None)
        return Ruling(
            denies=all_of((is_sure, any_of(self._takes(policy, rule) for rule in denying))),
            isolates=all_of((is_sure, isolates)),
            allows=all_of((is_sure, any_of(self._takes(policy, rule) for rule in allowing))),
        )

    def _takes(self, policy: CustomObject, rule: Mapping[str, Any]) -> bool | None:
        to = "from" if self.direction == "ingress" else "to"
        named = [key for key in _PEERS if f"{to}{key}" in rule]
        has_ports = "toPorts" in rule or "icmps" in rule
        if not named and not has_ports:
            return False  # an empty rule takes nobody
        peers = any_of(self._peer(policy, key, rule[f"{to}{key}"]) for key in named) if named else True
        return all_of((peers, self._ports(rule)))

    # Peers

    def _peer(self, policy: CustomObject, key: str, value: object) -> bool | None:
        match key:
            case "Endpoints":
                return any_of(self._endpoint(policy, each) for each in _sequence(value))
            case "Entities":
                return any_of(self._entity(str(each)) for each in _sequence(value))
            case "CIDR" | "CIDRSet":
                return any_of(self._block(each) for each in _sequence(value))
            case "FQDNs" if self.policies.pod(self.other) is not None:
                return False  # names stand for addresses outside, never for pods
            case _:
                return None

    def _endpoint(self, policy: CustomObject, selector: object) -> bool | None:
        pod = self.policies.pod(self.other)
        if pod is None:
            return False if self.other.kind is SubjectKind.NODE else None
        if _reserved(selector):
            return None
        is_scoped = policy.metadata.namespace and not _asks_for_namespace(selector)
        if is_scoped and pod.metadata.namespace != policy.metadata.namespace:
            return False
        return self.policies.takes(selector, self.other)

    def _entity(self, entity: str) -> bool | None:
        if entity == "all":
            return True
        if self.policies.pod(self.other) is not None:
            return entity in _INSIDE
        if address(self.other.name) is not None and self.other.kind is SubjectKind.NODE:
            return True if entity == "world" else None if entity in {"host", "cluster"} else False
        if entity in {"host", "remote-node"}:
            return self.same_node if entity == "host" else not self.same_node
        return True if entity == "cluster" else None if entity == "kube-apiserver" else False

    def _block(self, value: object) -> bool | None:
        if self.policies.pod(self.other) is not None:
            return False  # pods have identities, which address blocks do not take
        if address(self.other.name) is None:
            return None
        block = {"cidr": value} if isinstance(value, str) else _mapping(value)
        if "cidr" not in block:
            return None
        left_out = any(is_within(self.other.name, str(each)) for each in _sequence(block.get("except")))
        return is_within(self.other.name, str(block["cidr"])) and not left_out

    # Ports

    def _ports(self, rule: Mapping[str, Any]) -> bool | None:
        if self.protocol == "ICMP":
            return None if "icmps" in rule else "toPorts" not in rule
        if "toPorts" not in rule:
            return "icmps" not in rule
        return any_of(self._port_rule(_mapping(each)) for each in _sequence(rule["toPorts"]))

    def _port_rule(self, each: Mapping[str, Any]) -> bool | None:
        ports = _sequence(each.get("ports"))
        taken = any_of(self._port(_mapping(port)) for port in ports) if ports else True
        is_open = None if self.protocol == "UDP" and "rules" in each else True  # names may be filtered
        return all_of((taken, is_open))

    def _port(self, wanted: Mapping[str, Any]) -> bool | None:
        if str(wanted.get("protocol", "ANY")).upper() not in {"ANY", self.protocol}:
            return False
        text = str(wanted.get("port", "0"))
        first = whole_number(text)
        if first is not None:
            last = wanted.get("endPort")
            return first == 0 or first <= self.port <= (last if isinstance(last, int) else first)
        target = self.policies.target(self.own if self.direction == "ingress" else self.other)
        if target is None:
            return None
        return is_named_port(target, text, self.protocol, self.port)


def _rules(policy: CustomObject, key: str) -> Sequence[Mapping[str, Any]]:
    return [_mapping(each) for each in _sequence(policy.spec.get(key))]


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def _plain(key: str) -> str:
    return key.removeprefix("k8s:").removeprefix("any:").removeprefix("k8s.").removeprefix("any.")


def _keys(selector: object) -> Iterator[str]:
    parts = _mapping(selector)
    yield from _mapping(parts.get("matchLabels"))
    yield from (str(_mapping(each).get("key", "")) for each in _sequence(parts.get("matchExpressions")))


def _reserved(selector: object) -> bool:
    return any(key.startswith(("reserved:", "reserved.", "cidr:")) for key in _keys(selector))


def _asks_for_namespace(selector: object) -> bool:
    keys: Iterable[str] = map(_plain, _keys(selector))
    return any(key == NAMESPACE or key.startswith(_OF_NAMESPACE) for key in keys)


def _selector(value: object) -> LabelSelector | None:
    """An endpoint selector without Cilium's prefixes; None when it asks about something else than labels of pods."""
    parts = _mapping(value)
    if not isinstance(value, dict) or _reserved(parts):
        return None
    expressions = [_mapping(each) for each in _sequence(parts.get("matchExpressions"))]
    return LabelSelector(
        match_labels={_plain(key): str(each) for key, each in _mapping(parts.get("matchLabels")).items()},
        match_expressions=tuple(
            LabelSelectorRequirement(
                key=_plain(str(each.get("key", ""))),
                operator=str(each.get("operator", "")),
                values=tuple(map(str, _sequence(each.get("values")))),
            )
            for each in expressions
        ),
    )
