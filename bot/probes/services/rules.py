"""What nodes' packet filters hold of each Service, and what the pods behind it listen on.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/ (proxy modes)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from bot.agent.report import Listener, NodeReport, PodReport, ServiceRules
from bot.agent.report_ebpf import CiliumService
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.services.backends import Backend, service_of
from bot.probes.shared.sidecars import has_sidecar

LISTENS = ("target-port", "loopback-only", "other-protocol", "other-port", "nothing")
"""other-protocol: on this very port, but by TCP where the Service says UDP, or the other way round."""

_EPHEMERAL = 32_768


@dataclass(slots=True)
class RulesSeen:
    """What the looked-at nodes hold of one Service."""

    present: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    has_reject: bool = False
    backends: dict[str, str] = field(default_factory=dict[str, str])
    """"ip:port" of each backend in the rules, and a node that holds it."""


def rules_of_node(evidence: Evidence, report: NodeReport) -> Sequence[ServiceRules] | None:
    """The rules (or eBPF map entries) that a node was asked about; None where they were not looked for.

    Where eBPF carries Services (or may: Cilium without a word on kube-proxy), a node without any rule says nothing.
    """
    mode = evidence.cni.kube_proxy_mode
    in_ebpf = mode == "ebpf" or (evidence.cni.name == "cilium" and mode in {"", "unknown"})
    if in_ebpf and report.cilium and report.cilium.services:
        return [_of_map(each) for each in report.cilium.services if service_of(each.name)]
    rules = [each for each in report.service_rules or () if service_of(each.name)]  # others are of claims
    if not rules:
        return None
    return None if in_ebpf and not any(each.mentions for each in rules) else rules


def _of_map(service: CiliumService) -> ServiceRules:
    """A Service of an eBPF map as if rules held it."""
    return ServiceRules(
        name=service.name,
        ip=service.ip,
        port=service.port,
        protocol=service.protocol,
        mentions=int(service.is_known),
        backends=tuple(each for each in service.backends if " " not in each),
    )


def rules_by_service(evidence: Evidence) -> Mapping[Subject, RulesSeen]:
    """By Service, over all nodes that were inspected. A node misses a Service when any of its ports is missing."""
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
        return "no node was inspected from inside"
    for report in evidence.reports.values():
        if why := report.why_missing("firewall", "root.firewall"):
            return why
    if evidence.cni.name == "cilium":
        return "Cilium's eBPF programs may carry the Services: no packet filter holds them"
    return "no node report covers Service rules"


# Listeners


def listens_at(report: PodReport | None, backend: Backend) -> str | None:
    """What a pod listens on, held against the port that a Service sends to; None when its sockets were not read."""
    if report is None or report.state is None or report.state.listeners is None:
        return None
    protocol = backend.protocol.lower()
    sockets = [each for each in report.state.listeners if each.protocol == protocol]
    here = [each for each in sockets if each.port == backend.port]
    if any(not is_loopback(each.ip) for each in here):
        return "target-port"
    if here:
        return "loopback-only"
    if any(each.port == backend.port and not is_loopback(each.ip) for each in report.state.listeners):
        return "other-protocol"
    return "other-port" if any(not is_loopback(each.ip) for each in sockets) else "nothing"


def sockets_tell(evidence: Evidence, ready: Sequence[Backend]) -> bool:
    """Whether sockets alone say who is served: read in the pod of each ready endpoint, all TCP, without a proxy there.

    A mesh's proxy in the pod may serve a port at which nothing listens.
    """
    pods = [evidence.pods.get(each.pod) if each.pod else None for each in ready]
    seen = [listens_at(evidence.pod_reports.get(each.pod), each) if each.pod else None for each in ready]
    is_plain = all(pod is not None and not has_sidecar(pod) for pod in pods)
    return bool(ready) and is_plain and None not in seen and all(each.protocol == "TCP" for each in ready)


def open_tcp_ports(report: PodReport | None) -> frozenset[int] | None:
    """The TCP ports at which a pod listens for others than itself; None when its sockets were not read."""
    if report is None or report.state is None or report.state.listeners is None:
        return None
    listening = (each for each in report.state.listeners if each.protocol == "tcp" and not is_loopback(each.ip))
    return frozenset(each.port for each in listening)


def is_loopback(ip: str) -> bool:
    """Whether only the machine itself reaches an address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(mapped.is_loopback if mapped else address.is_loopback)


def worst_for_service(ports: Mapping[tuple[int, str], Iterable[str]]) -> str | None:
    """One word for a Service from those for the pods of each port and protocol: a port is well when any pod listens."""
    words = {port: list(found) for port, found in ports.items()}
    known = {port: found for port, found in words.items() if found}
    if not known:
        return None
    for _, found in sorted(known.items()):
        if "target-port" not in found:
            return max(sorted(set(found)), key=found.count)
    return "target-port"


def listening_ports(reports: Iterable[PodReport | None]) -> Iterator[str]:
    """The ports that pods listen on: "9004", "53/UDP", "127.0.0.1:9000" where only the pod itself can reach it."""
    for report in reports:
        sockets: tuple[Listener, ...] = (report.state.listeners or ()) if report and report.state else ()
        for each in sockets:
            if each.protocol == "udp" and each.port >= _EPHEMERAL:
                continue  # A client waits there for its answer.
            number = str(each.port) if each.protocol == "tcp" else f"{each.port}/UDP"
            yield f"{each.ip}:{number}" if is_loopback(each.ip) else number
