"""Services that claim an address which is somebody else's: every node then leads what is sent there to their pods.

Whoever may write a Service can take an address on the ports of that Service: by externalIPs, or by the status of a load
balancer where that may be written. Kube-proxy asks nobody whose it is: a resolver, a node, another Service, a pod, a
host outside. Two Services with one ClusterIP are the same thing, from a restored store.

An address of a node is claimed on purpose as often as not (K3s puts its nodes' addresses into the status of balancers),
and one that is nobody's is what externalIPs are for. So a claim is of interest where something needed fails there.

Source: https://github.com/kubernetes/kubernetes/issues/97076 (CVE-2020-8554)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.agent.report import ServicePort, Test
from bot.cluster.objects import Service
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.services.backends import backends, has_cluster_ip
from bot.probes.services.needed import needed_flows
from bot.probes.shared.dns_zone import forwarded_to, is_inside

How = Literal["externalIPs", "the status of its load balancer", "its ClusterIP"]
MAX_CLAIMS = 200
MAX_QUESTIONS = 16
"""So many claims are looked for in the rules of each node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One address on one port, and the Service that claims it."""

    service: Subject
    address: str
    port: int
    protocol: str
    """TCP or UDP."""
    how: How
    owner: str
    """Whose it is, in words; "" where nobody is known to have it."""
    victim: Subject | None = None
    """The Service, pod or node that has it."""
    is_resolver: bool = False
    """CoreDNS asks it for names outside."""

    @property
    def text(self) -> str:
        """In words: "Service evil/dns claims 10.0.0.53:53/UDP by externalIPs, which is …"."""
        at = f"{self.address}:{self.port}/{self.protocol}"
        return f"Service {self.service.name} claims {at} by {self.how}, which is {self.owner}"

    @property
    def question(self) -> str:
        """The name by which node agents are asked for its rules: no Service has it."""
        return f"{self.service.name} claims {self.address} port {self.port} {self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Whose an address is."""

    words: str = ""
    subject: Subject | None = None
    is_resolver: bool = False


@once_per_evidence
def every_service(evidence: Evidence) -> Mapping[Subject, Service]:
    """Those that were read, also of namespaces that are none of the diagnosis's business."""
    others = evidence.snapshot.claiming_services or ()
    found = {facts.service(one.metadata.namespace, one.metadata.name): one for one in others}
    return {**found, **evidence.services}


@once_per_evidence
def claims(evidence: Evidence) -> tuple[Claim, ...]:
    """Each claim to an address that is known to be somebody else's, at most 200."""
    return tuple(claim for claim in _claims(evidence) if claim.owner)[:MAX_CLAIMS]


def claim_questions(evidence: Evidence) -> Iterator[ServicePort]:
    """What node agents are asked: where the rules lead that is sent to such an address.

    Whose an address is may be known only when they have answered: first those of which it is known already.
    """
    for claim in sorted(_claims(evidence), key=lambda claim: not claim.owner)[:MAX_QUESTIONS]:
        if ":" not in claim.address:
            protocol = "udp" if claim.protocol == "UDP" else "tcp"
            yield ServicePort(name=claim.question, ip=claim.address, port=claim.port, protocol=protocol)


def _claims(evidence: Evidence) -> Iterator[Claim]:
    owners, by_ip = _owners(evidence), _by_cluster_ip(evidence)
    for subject, service in sorted(every_service(evidence).items()):
        balancer = (each.ip for each in service.status.load_balancer.ingress if each.ip_mode != "Proxy")
        ways: dict[str, How] = {ip: "the status of its load balancer" for ip in balancer if ip}
        ways |= {ip: "externalIPs" for ip in service.spec.external_ips if ip}
        for ip, how in ways.items():
            others = [one for one in by_ip.get(ip, ()) if one != subject]
            named = _Owner(words=f"the ClusterIP of Service {others[0].name}", subject=others[0]) if others else None
            yield from _on_ports(subject, service, ip, how, named or owners.get(ip, _Owner()))
        elder = _elder(evidence, by_ip.get(service.spec.cluster_ip, ()), subject)
        if elder is not None:
            owner = _Owner(words=f"the ClusterIP of Service {elder.name}, too", subject=elder)
            yield from _on_ports(subject, service, service.spec.cluster_ip, "its ClusterIP", owner)


def _on_ports(subject: Subject, service: Service, ip: str, how: How, owner: _Owner) -> Iterator[Claim]:
    for port in service.spec.ports:
        if port.protocol in {"TCP", "UDP"}:
            yield Claim(
                service=subject,
                address=ip,
                port=port.port,
                protocol=port.protocol,
                how=how,
                owner=owner.words,
                victim=owner.subject,
                is_resolver=owner.is_resolver,
            )


@once_per_evidence
def _by_cluster_ip(evidence: Evidence) -> Mapping[str, Sequence[Subject]]:
    found: dict[str, list[Subject]] = defaultdict(list)
    for subject, service in sorted(every_service(evidence).items()):
        if has_cluster_ip(service):
            for ip in dict.fromkeys((service.spec.cluster_ip, *service.spec.cluster_ips)):
                found[ip].append(subject)
    return found


def _elder(evidence: Evidence, sharing: Sequence[Subject], subject: Subject) -> Subject | None:
    """Of several Services with one ClusterIP, the one that has had it longest; None for that one itself."""
    if len(sharing) < 2:
        return None

    def age(one: Subject) -> tuple[str, Subject]:
        created = every_service(evidence)[one].metadata.creation_timestamp
        return (created.isoformat() if created else "9", one)

    eldest = min(sharing, key=age)
    return None if eldest == subject else eldest


@once_per_evidence
def _owners(evidence: Evidence) -> Mapping[str, _Owner]:
    """Who has an address, the surest word last."""
    found: dict[str, _Owner] = {}
    for flow in needed_flows(evidence):
        if flow.known_by in {"socket", "connection"} and flow.target is None:
            found.setdefault(flow.address, _Owner(words=f"an address that {flow.source.name} dials"))
    for subject, report in evidence.resolvers.items():
        for ip in report.nameservers or ():
            found[ip] = _Owner(words=f"a nameserver of pod {subject.name}")
    asked = {test.ip for _, _, test in evidence.tests if test.purpose == "outside" and test.port == 53}
    for ip in asked | set(map(_plain, forwarded_to(evidence))):
        found[ip] = _Owner(words="a resolver that the cluster's DNS or its nodes ask", is_resolver=True)
    for ip, pods in evidence.pods_by_ip.items():
        found[ip] = _Owner(words=f"the address of pod {pods[0].name}", subject=pods[0])
    for ip, node in evidence.node_by_ip.items():
        found[ip] = _Owner(words=f"an address of node {node}", subject=facts.node(node))
    return found


def _plain(server: str) -> str:
    """A server of CoreDNS's configuration without its protocol and port."""
    host = server.rpartition("://")[2]
    return host.partition(":")[0] if host.count(":") == 1 else host.strip("[]")


# What came of it


def failing_at(evidence: Evidence, claim: Claim) -> str:
    """What failed that was sent to a claimed address and port; "" where nothing is known to."""
    for source, _, test in evidence.tests:
        if _is_there(test, claim) and test.outcome not in {"ok", "skipped"}:
            return f"{source.name} tried it in vain ({test.outcome})"
    for flow in needed_flows(evidence):
        if flow.is_waiting and (flow.address, flow.at_port or flow.port) == (claim.address, claim.port):
            return f"{flow.source.name} dials it without an answer"
    if claim.is_resolver and claim.protocol == "UDP" and claim.port == 53 and _lacks_outside_names(evidence):
        return "names outside the cluster do not resolve"
    return ""


def _is_there(test: Test, claim: Claim) -> bool:
    if test.ip != claim.address:
        return False
    if test.protocol in {"dns-udp", "dns-tcp"}:
        return claim.port == 53 and claim.protocol == ("UDP" if test.protocol == "dns-udp" else "TCP")
    return (test.port, test.protocol.upper()) == (claim.port, claim.protocol)


def _lacks_outside_names(evidence: Evidence) -> bool:
    """Whether every question of the cluster's DNS for a name outside failed, and there was one."""
    asked = [
        test
        for _, _, test in evidence.tests
        if test.purpose in {"dns-service", "dns-pod"} and test.name and not is_inside(test.name)
    ]
    return bool(asked) and not any(test.outcome == "ok" and test.rcode == "NOERROR" for test in asked)


def programmed(evidence: Evidence, claim: Claim) -> str:
    """Where a node's rules lead it; "" where no node that was looked at leads it to anybody but its owner."""
    is_of_service = claim.victim is not None and claim.victim.kind is SubjectKind.SERVICE
    ends = backends(evidence, claim.victim) if is_of_service and claim.victim else ()
    own = {f"{end.ip}:{end.port}" for end in ends}
    for node, report in sorted(evidence.reports.items()):
        for rules in report.service_rules or ():
            if rules.name != claim.question or not rules.mentions:
                continue
            strangers = [each for each in rules.backends if each not in own]
            if strangers or not own:
                to = ", ".join(strangers[:2]) or ("a rule that refuses it" if rules.has_reject else "other addresses")
                return f"{node} leads {claim.address}:{claim.port}/{claim.protocol} to {to}"
        for entry in (report.cilium.services if report.cilium else None) or ():
            if entry.name == claim.question and entry.is_known and not own.issuperset(entry.backends):
                to = ", ".join(each for each in entry.backends if each not in own)
                return f"{node} leads {claim.address}:{claim.port}/{claim.protocol} to {to}"
    return ""


def why_no_rules_of(evidence: Evidence, claim: Claim) -> str:
    """Why it is not known where nodes lead a claim; "" where a node was asked."""
    for report in evidence.reports.values():
        if any(rules.name == claim.question for rules in report.service_rules or ()):
            return ""
    return "no node was asked where its rules lead that address"
