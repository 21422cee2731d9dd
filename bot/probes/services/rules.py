"""What nodes' packet filters hold of each Service, and what the pods behind it listen on.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/ (proxy modes)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from bot.agent.report import Listener, NodeReport, PodReport, ServiceRules
from bot.domain.facts import Subject
from bot.probes.evidence import Evidence
from bot.probes.service_view import Backend, service_of

LISTENS = ("target-port", "loopback-only", "other-port", "nothing")


@dataclass(slots=True)
class RulesSeen:
    """What the looked-at nodes hold of one Service."""

    present: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    has_reject: bool = False
    backends: dict[str, str] = field(default_factory=dict[str, str])
    """"ip:port" of each backend in the rules, and a node that holds it."""


def rules_of_node(evidence: Evidence, report: NodeReport) -> Sequence[ServiceRules] | None:
    """The rules that a node was asked about; None where they were not (or could not be) looked for.

    Where eBPF carries Services (or may: Cilium without a word on kube-proxy), a node without any rule says nothing.
    """
    rules = report.service_rules
    if rules is None or not rules:
        return None
    mode = evidence.cni.kube_proxy_mode
    in_ebpf = mode == "ebpf" or (evidence.cni.name == "cilium" and mode in {"", "unknown"})
    return None if in_ebpf and not any(each.mentions for each in rules) else rules


def rules_by_service(evidence: Evidence) -> Mapping[Subject, RulesSeen]:
    """By Service, over all nodes that were looked at. A node misses a Service when any of its ports is missing."""
    found: dict[Subject, RulesSeen] = {}
    for node, report in sorted(evidence.reports.items()):
        state: dict[Subject, bool] = {}
        for each in rules_of_node(evidence, report) or ():
            named = service_of(each.name)
            if named is None:
                continue
            service = named[0]
            seen = found.setdefault(service, RulesSeen())
            state[service] = state.get(service, True) and each.mentions > 0
            seen.has_reject = seen.has_reject or each.has_reject
            for backend in each.backends:
                seen.backends.setdefault(backend, node)
        for service, is_present in state.items():
            (found[service].present if is_present else found[service].missing).append(node)
    return found


def why_no_rules(evidence: Evidence) -> str:
    """Why nothing is known about Services' rules."""
    if not evidence.reports:
        return "no node was looked at from inside"
    for report in evidence.reports.values():
        for each in report.missing:
            if each.what.startswith(("service_rules", "services", "firewall")):
                return each.why
    if evidence.cni.name == "cilium":
        return "Cilium's eBPF programs may carry the Services: no packet filter holds them"
    return "no report speaks of Services' rules"


# Listeners


def listens_at(report: PodReport | None, backend: Backend) -> str | None:
    """What a pod listens on, held against the port that a Service sends to; None when its sockets were not read."""
    if report is None or report.state is None or report.state.listeners is None:
        return None
    protocol = backend.protocol.lower()
    sockets = [each for each in report.state.listeners if each.protocol == protocol]
    here = [each for each in sockets if each.port == backend.port]
    if any(not _is_loopback(each.ip) for each in here):
        return "target-port"
    if here:
        return "loopback-only"
    return "other-port" if any(not _is_loopback(each.ip) for each in sockets) else "nothing"


def _is_loopback(ip: str) -> bool:
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(mapped.is_loopback if mapped else address.is_loopback)


def worst_for_service(ports: Mapping[int, Iterable[str]]) -> str | None:
    """One word for a Service from the words for each port's pods: a port is well when any pod listens on it."""
    words = {port: list(found) for port, found in ports.items()}
    known = {port: found for port, found in words.items() if found}
    if not known:
        return None
    for _, found in sorted(known.items()):
        if "target-port" not in found:
            return max(sorted(set(found)), key=found.count)
    return "target-port"


def listening_ports(reports: Iterable[PodReport | None]) -> Iterator[str]:
    """The TCP ports that pods listen on: "9004", or "127.0.0.1:9000" where only the pod itself can reach it."""
    for report in reports:
        sockets: tuple[Listener, ...] = (report.state.listeners or ()) if report and report.state else ()
        for each in sockets:
            if each.protocol == "tcp":
                yield f"{each.ip}:{each.port}" if _is_loopback(each.ip) else str(each.port)
