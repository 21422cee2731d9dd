"""What pod-routes says about pods that cannot send, that nothing returns to, and about what nodes lack."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.shared.own_link import is_link_broken
from bot.probes.shared.sentences import Who, plural, sharing, unseen

NAME = "pod-routes"


_NO_ROUTE = {
    "missing": ("no default route", "ENETUNREACH"),
    "mistyped": ("a default route typed as 0.0.0.0/32, which matches nothing", "ENETUNREACH"),
    "unreachable": ("an unreachable default route", "EHOSTUNREACH"),
    "blackhole": ("a blackhole for a default route", "EINVAL"),
    "prohibit": ("a prohibiting default route", "EACCES"),
}
_NO_WAY_BACK = {
    "missing": "the node has no route to",
    "refused": "the node refuses, by a route for this address alone, what is for",
    "blackhole": "the node drops, by a blackhole route, what is for",
    "wrong-link": "the node routes to another pod's link what is for",
}


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for pods that cannot send and for pods that nothing can be returned to; WARN for what nodes lack."""
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    seen = {pod: known for pod, known in pods.items() if known.keys() & {"default_route", "route_on_node"}}
    # The routes of a link go with it: a pod whose own end is down is reported by pod-link.
    stuck = {
        pod: None if is_link_broken(known) else _text(known, "default_route", _NO_ROUTE) for pod, known in seen.items()
    }
    found = [_no_route(table, who, state) for who, state in sharing(table, stuck)]
    lost = {
        pod: _text(known, "route_on_node", _NO_WAY_BACK) if _is_linked(known) else None for pod, known in seen.items()
    }
    found += [_no_way_back(table, who, state) for who, state in sharing(table, lost)]
    elsewhere = {pod: known.get("default_route") == "other-device" or None for pod, known in seen.items()}
    found += [_other_device(who) for who, _ in sharing(table, elsewhere)]
    good = {pod: _is_good(known) or None for pod, known in seen.items()}
    found += [_pass(who) for who, _ in sharing(table, good, apart=0)]
    for node in table.subjects(SubjectKind.NODE):
        found += _about_node(node, table.of(node))
    found += unseen(table, NAME, SubjectKind.POD, "default_route", "The routes")
    return found


def _text(known: Mapping[str, Value], key: str, wrong: Mapping[str, object]) -> str | None:
    value = known.get(key)
    return value if isinstance(value, str) and value in wrong else None


def _is_linked(known: Mapping[str, Value]) -> bool:
    """Whether the pod has a link of its own on the node: only then a route by it can be expected."""
    return known.get("host_link") == "up" and not is_link_broken(known)


def _is_good(known: Mapping[str, Value]) -> bool:
    return known.get("default_route") == "gateway" and known.get("route_on_node") in {
        None,
        "own-link",
        "bridge",
        "programs",
        "other",
    }


def _no_route(table: FactTable, who: Who, state: str) -> Finding:
    what, errno = _NO_ROUTE[state]
    known = table.of(who.pods[0])
    reaches = any(known.get(key) == "ok" for key in ("reach_remote_pods", "reach_outside"))
    own = "its own kernel" if len(who.pods) == 1 else "the kernel of each"
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN if reaches else Severity.FAIL,
        sentence=f"{who.opening} {who.have} {what}: {own} refuses to send, replies included ({errno}).",
        evidence={"default_route": state},
        symptom=None if reaches else who.symptom(SymptomKind.POD_NO_ROUTE, "pod"),
    )


def _no_way_back(table: FactTable, who: Who, state: str) -> Finding:
    """FAIL where no test of gateway-reachability already says that the pod is cut off."""
    known = table.of(who.pods[0])
    is_reported = bool(known.keys() & {"reach_own_node", "node_reaches_pod"}) or known.get("gateway_arp") == "silent"
    sentence = f"{_NO_WAY_BACK[state]} {who}".removeprefix("the ")
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN if is_reported else Severity.FAIL,
        sentence=f"The {sentence}: replies do not come back.",
        evidence={key: known[key] for key in ("route_on_node", "route_dev") if key in known},
        symptom=None if is_reported else who.symptom(SymptomKind.POD_ISOLATED, "node"),
    )


def _other_device(who: Who) -> Finding:
    leaves = "route leaves" if len(who.pods) == 1 else "routes leave"
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"In {who}, the default {leaves} by another device "
        "than the one with the address that the API knows: the cluster's gateway is never asked.",
    )


def _pass(who: Who) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.PASS,
        sentence=f"{who.opening} {who.have} a default route by the gateway, and the node has a route back.",
    )


def _about_node(node: Subject, known: Mapping[str, Value]) -> Iterator[Finding]:
    default = known.get("default_route")
    if isinstance(default, str) and default in _NO_ROUTE:
        yield _no_default(node, default, known)
    rules = known.get("foreign_rules")
    if isinstance(rules, tuple) and rules:
        count = plural(len(rules), "routing rule")
        yield _warn(
            node, f"{count} of node {node.name} may send pod traffic elsewhere: {rules[0]}.", foreign_rules=rules
        )
    if known.get("overlapping_route"):
        yield _warn(node, f"On node {node.name} a network that is not the CNI's takes packets for pods or Services.")


def _no_default(node: Subject, default: str, known: Mapping[str, Value]) -> Finding:
    """FAIL where the node itself has no way to Services therefore: a ClusterIP is translated after it was routed."""
    has = f"Node {node.name} has {_NO_ROUTE[default][0]}"
    reach = known.get("reach_services")
    if known.get("service_route") is not False or reach is None or reach == "ok":
        return _warn(node, f"{has}.", default_route=default)
    return Finding(
        probe=NAME,
        subject=node,
        severity=Severity.FAIL,
        sentence=f"{has}: what runs with hostNetwork there, kubelet included, reaches no Service and nothing outside.",
        evidence={"default_route": default, "service_route": False, "reach_services": reach},
        symptom=Symptom(kind=SymptomKind.OUTSIDE_UNREACHABLE, subject=node, hop="node"),
    )


def _warn(node: Subject, sentence: str, **evidence: Value) -> Finding:
    return Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=sentence, evidence=evidence)
