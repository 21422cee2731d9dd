"""Do policies let the DNS pods ask whom they must ask: the resolvers that they forward to, and the API server?

A DNS server is a client, too. Where its egress is closed, names outside get no answer, or it never learns the names of
the cluster; the pods that suffer are others, in all namespaces, and none of their own policies says anything of it.

Source: https://coredns.io/plugins/forward/ (`forward . /etc/resolv.conf`: the nameservers of the pod's own file)
Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/ (policies only ever add)
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain import facts
from bot.domain.facts import CLUSTER, FactBuilder, Subject, SubjectKind
from bot.probes.dns.observe import answer_of
from bot.probes.engine.evidence import Evidence
from bot.probes.network_policies.stale import dropped_by_policy
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Side, policy_index
from bot.probes.policy.naming import why_denied
from bot.probes.policy.selectors import address
from bot.probes.services.backends import backends, namespace_of
from bot.probes.shared.dns_zone import forwarded_to, is_inside
from bot.probes.shared.reach import reach_of

Whom = Literal["resolvers", "api"]

DENIED_TO = ("none", "resolvers", "api", "both", "unknown")
MAX_NAMED = 6
MAX_MANIFEST = 600
"""A command takes no longer value; half a manifest is none."""
DNS_PORT, DNS_OVER_TLS_PORT = 53, 853
_API = facts.service("default", "kubernetes")
_UPSTREAM = re.compile(r"(?:(tls|dns)://)?(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?$")


@dataclass(frozen=True, slots=True, order=True)
class End:
    """One address that a DNS pod must reach."""

    whom: Whom
    ip: str
    port: int
    protocol: str

    def __str__(self) -> str:
        return f"{f'[{self.ip}]' if ':' in self.ip else self.ip}:{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the policies of one DNS pod say of one end."""

    pod: Subject
    end: End
    side: Side


def observe_dns_servers(evidence: Evidence, into: FactBuilder) -> None:
    """Of which DNS pods policies deny what they need, and what shows that this matters."""
    asked = tuple(_asked(evidence))
    denied = tuple(_denied(asked))
    whom = {each.end.whom for each in denied}
    into.set(CLUSTER, "dns_denied_to", "both" if len(whom) == 2 else next(iter(whom), _not_denied(evidence, asked)))
    into.set(CLUSTER, "dns_denied_pods", tuple(sorted({each.pod.name for each in denied}))[:MAX_NAMED])
    into.set(CLUSTER, "dns_denied_ends", _first(str(each.end) for each in denied))
    into.set(CLUSTER, "dns_denied_rules", _first(_rules(evidence, denied)))
    from_nodes = _from_nodes(evidence, denied)
    into.put(CLUSTER, "dns_resolvers_from_nodes", from_nodes, "no node of theirs asked these resolvers")
    into.put(CLUSTER, "dns_denied_drops", _drops(evidence, denied), "no policy chain of theirs was read twice")
    is_closed = _observe_clients(evidence, into)
    openings = (_egress_opening(evidence, service, denied) for service in evidence.dns_services)
    into.set(CLUSTER, "dns_egress_opening", next(openings, None) or "")
    for service in evidence.services:
        opening = _ingress_opening(evidence, service) if is_closed and service in evidence.dns_services else None
        into.set(service, "dns_ingress_opening", opening or "")


def _observe_clients(evidence: Evidence, into: FactBuilder) -> bool:
    """Of each pod that asked for names whether the DNS pods' own policies let it in; returns if any is kept out."""
    is_closed = False
    ends = {
        (each.pod, each.port)
        for service in evidence.dns_services
        for each in backends(evidence, service)
        if each.service_port == DNS_PORT and each.protocol == "UDP" and each.pod in evidence.pods and each.pod
    }
    nothing_closes = policy_index(evidence).is_empty
    for pod in sorted({source for source, _, test in evidence.tests if test.purpose == "dns-service"}):
        if pod.kind is SubjectKind.POD:
            verdicts = {allowed(evidence, pod, server, port, "UDP").ingress.verdict for server, port in ends}
            is_known = nothing_closes or (bool(ends) and "unknown" not in verdicts)
            value = verdicts == {"no"} if is_known else None
            into.put(pod, "dns_pods_keep_it_out", value, "it hangs on policies or labels that are not known")
            is_closed = is_closed or value is True
    return is_closed


def _first(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))[:MAX_NAMED]


def _not_denied(evidence: Evidence, asked: Sequence[_Asked]) -> str:
    """Whether "none" is known: of each pod that anything closes, the policies and both kinds of ends."""
    servers = tuple(_servers(evidence))
    closed = [pod for pod in servers if not _is_open(evidence, pod)]
    seen = {(each.pod, each.end.whom) for each in asked if each.side.verdict != "unknown"}
    is_known = bool(servers) and all((pod, whom) in seen for pod in closed for whom in ("resolvers", "api"))
    return "none" if is_known else "unknown"


def _is_open(evidence: Evidence, pod: Subject) -> bool:
    """Whether it is known that no policy isolates the pod for egress."""
    index = policy_index(evidence)
    is_read = not index.why_unread(evidence.pods[pod].metadata.namespace)
    return is_read and not index.isolating(pod, "egress") and not index.hidden_selecting(pod)


def _asked(evidence: Evidence) -> Iterator[_Asked]:
    """Each DNS pod that something may close, against each end that it needs and that is known."""
    for pod in _servers(evidence):
        if _is_open(evidence, pod):
            continue
        for end in (*_resolvers(evidence, pod), *_api_servers(evidence)):
            yield _Asked(pod, end, allowed(evidence, pod, _other(evidence, end), end.port, end.protocol).egress)


def _other(evidence: Evidence, end: End) -> Subject:
    """The pod or node that has this address, else the bare address."""
    if end.ip in evidence.node_by_ip:
        return facts.node(evidence.node_by_ip[end.ip])
    return next(iter(evidence.pods_by_ip.get(end.ip, ())), facts.node(end.ip))


def _servers(evidence: Evidence) -> Iterator[Subject]:
    for service in evidence.dns_services:
        for pod in evidence.relations.pods_of_service.get(service, ()):
            if pod in evidence.pods and not evidence.pods[pod].spec.host_network:
                yield pod


def _resolvers(evidence: Evidence, pod: Subject) -> Iterator[End]:
    """Those that the Corefile names, and those of the pod's own resolv.conf where it names the file."""
    report = evidence.resolvers.get(pod)
    for word in forwarded_to(evidence):
        upstream = _UPSTREAM.match(word)
        if upstream:
            port = int(upstream[3] or (DNS_OVER_TLS_PORT if upstream[1] == "tls" else DNS_PORT))
            yield End("resolvers", upstream[2].strip("[]"), port, "TCP" if upstream[1] == "tls" else "UDP")
        elif word.startswith("/") and report:
            others = (each for each in report.nameservers or () if address(each) and not each.startswith("127."))
            yield from (End("resolvers", each, DNS_PORT, "UDP") for each in others)


def _api_servers(evidence: Evidence) -> Iterator[End]:
    """Where the API's own Service leads: policies see the packets after their translation."""
    for each in backends(evidence, _API):
        yield End("api", each.ip, each.port, each.protocol)


def _denied(asked: Sequence[_Asked]) -> Iterator[_Asked]:
    """What is closed to a pod: of each kind of end one that is open suffices."""
    closed: dict[tuple[Subject, Whom], list[_Asked]] = {}
    for each in asked:
        closed.setdefault((each.pod, each.end.whom), []).append(each)
    for ends in closed.values():
        if all(each.side.verdict == "no" for each in ends):
            yield from ends


def _rules(evidence: Evidence, denied: Sequence[_Asked]) -> Iterator[str]:
    seen: set[tuple[int, End]] = set()
    for each in denied:
        kind = (policy_index(evidence).kind_of(each.pod), each.end)
        if kind in seen:
            continue
        seen.add(kind)
        yield from (f"{name} denies it" for name in each.side.hidden)
        if each.side.policies:
            yield from why_denied(evidence, each.pod, _other(evidence, each.end), each.end.port, each.end.protocol)


# What shows that it matters


def _from_nodes(evidence: Evidence, denied: Sequence[_Asked]) -> str | None:
    """Whether the nodes of these pods get answers where the pods may not ask: "ok" as soon as one does."""
    wanted = {(evidence.node_of(each.pod), each.end.ip) for each in denied if each.end.whom == "resolvers"}
    words: list[str] = []
    for source, node, test in evidence.tests:
        if source.kind is not SubjectKind.NODE or (node, test.ip) not in wanted:
            continue
        if test.purpose == "dns-own" and not is_inside(test.name) and not test.asked:
            words.append(answer_of(evidence, test) or "")
        elif test.purpose == "outside" and (reach := reach_of(test)):
            words.append(reach)
    known = [word for word in words if word]
    return "ok" if "ok" in known else known[0] if known else None


def _drops(evidence: Evidence, denied: Sequence[_Asked]) -> bool | None:
    """Whether a chain that enforces policies for one of these pods dropped packets while we looked."""
    words = [dropped_by_policy(evidence, pod) for pod in dict.fromkeys(each.pod for each in denied)]
    known = [word for word in words if word is not None]
    return any(known) if known else None


# What opens no more than is needed


def _egress_opening(evidence: Evidence, service: Subject, denied: Sequence[_Asked]) -> str | None:
    """A NetworkPolicy that opens these ends to the DNS pods; None where it would not help, or is too long to type."""
    ends = sorted({each.end for each in denied})
    if not ends or any(each.side.hidden for each in denied):
        return None
    ports: dict[str, list[tuple[int, str]]] = {}
    for end in ends:
        over = ("UDP", "TCP") if end.protocol == "UDP" else (end.protocol,)
        ports.setdefault(end.ip, []).extend((end.port, protocol) for protocol in over)
    rules: dict[tuple[tuple[int, str], ...], list[str]] = {}
    for ip, opened in ports.items():
        rules.setdefault(tuple(opened), []).append(f"{ip}/{128 if ':' in ip else 32}")
    egress = [
        {"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs], "ports": _ports(opened)}
        for opened, cidrs in rules.items()
    ]
    return _manifest(evidence, service, "allow-dns-servers-out", {"policyTypes": ["Egress"], "egress": egress})


def _ingress_opening(evidence: Evidence, service: Subject) -> str | None:
    """A NetworkPolicy that lets all pods ask the DNS pods for names, and nothing else."""
    index = policy_index(evidence)
    pods = [pod for pod in _servers(evidence) if pod in evidence.relations.pods_of_service.get(service, ())]
    opened = sorted(
        {(each.port, each.protocol) for each in backends(evidence, service) if each.service_port == DNS_PORT}
    )
    if not opened or any(index.hidden_selecting(pod) for pod in pods):
        return None
    everybody: dict[str, object] = {"namespaceSelector": {}}
    rule = {"from": [everybody], "ports": _ports(opened)}
    return _manifest(evidence, service, "allow-dns-clients", {"policyTypes": ["Ingress"], "ingress": [rule]})


def _ports(opened: Iterable[tuple[int, str]]) -> list[dict[str, object]]:
    return [{"protocol": protocol, "port": port} for port, protocol in opened]


def _manifest(evidence: Evidence, service: Subject, name: str, spec: Mapping[str, object]) -> str | None:
    selector = dict(evidence.services[service].spec.selector)
    if not selector:
        return None
    text = json.dumps(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace_of(service)},
            "spec": {"podSelector": {"matchLabels": selector}, **spec},
        },
        separators=(",", ":"),
    )
    return text if len(text) <= MAX_MANIFEST else None
