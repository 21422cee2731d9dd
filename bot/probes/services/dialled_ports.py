"""Ports at which pods are configured to dial a Service, and that it does not have.

A Service answers at its own ports alone: a client that names the pods' port, or one of last year's, gets nothing,
however well the Service and its pods are. A headless Service translates nothing at all: who dials its name dials the
pods themselves, so there the ports count on which these listen, whatever the Service says.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#headless-services
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.cluster.objects import Pod
from bot.cluster.snapshot.dialled import DEFAULT_PORTS, Dialled, dialled
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.selectors import address
from bot.probes.services.backends import backends, has_cluster_ip
from bot.probes.services.host_clients import place_of
from bot.probes.services.needed import UDP_PORTS
from bot.probes.services.rules import open_tcp_ports
from bot.probes.services.service_names import dialled_service, named_service
from bot.probes.shared.reach import aggregate, reach_of

MAX_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DialledPort:
    """A Service's name with a port behind which the API shows nothing."""

    service: Subject
    host: str
    """The Service's name as it is dialled."""
    ip: str
    """Where it is tried: the ClusterIP, or a pod of a headless Service."""
    port: int
    named: str
    """In words that follow the pod: "its variable DB names db:5433"."""
    offers: tuple[str, ...]
    """Where the Service, or its pods, can be dialled instead: "5432/TCP"."""
    is_headless: bool
    is_explicit: bool
    """The port is written down, and not only what its scheme stands for."""

    @property
    def words(self) -> str:
        """What is dialled and what is there."""
        there = ", ".join(self.offers) or "none"
        if self.is_headless:
            return (
                f"{self.named}, and Service {self.service.name} is headless: its name leads to the pods themselves, "
                f"which listen on {there}, not on {self.port}"
            )
        return f"{self.named}, and Service {self.service.name} has {there}, not {self.port}"


@once_per_evidence
def doubtful_ports(evidence: Evidence) -> Mapping[Subject, tuple[DialledPort, ...]]:
    """By pod asked about, what has to be tried."""
    found: dict[Subject, tuple[DialledPort, ...]] = {}
    for subject in evidence.scope_pods:
        ports = {(each.ip, each.port): each for each in _of_pod(evidence, subject, evidence.pods[subject])}
        if ports:
            found[subject] = tuple(ports.values())[:MAX_NAMED]
    return found


def _of_pod(evidence: Evidence, subject: Subject, pod: Pod) -> Iterator[DialledPort]:
    aliases = {name.lower() for each in pod.spec.host_aliases for name in each.hostnames}
    done = {
        each.name
        for each in pod.status.init_container_statuses
        if each.state.terminated and each.state.terminated.exit_code == 0
    }
    for container in (*pod.spec.containers, *(each for each in pod.spec.init_containers if each.name not in done)):
        for each in dialled(container):
            target = dialled_service(evidence, each.host, pod.metadata.namespace)
            is_own = target is None or subject in evidence.relations.pods_of_service.get(target, ())
            if (
                target is None
                or is_own
                or not each.port
                or each.port in UDP_PORTS
                or each.host.lower().rstrip(".") in aliases
            ):
                continue  # to its own Service: what it is called, not whom it dials
            yield from _beside(evidence, target, pod.metadata.namespace, each, each.port)


def _alias(evidence: Evidence, host: str, namespace: str) -> str:
    """That the name is an alias of another Service, in words."""
    own = None if address(host) else named_service(evidence, host, namespace)
    alias = evidence.services[own].spec.external_name if own else ""
    return f" (an alias, ExternalName, of {alias})" if alias else ""


def _beside(evidence: Evidence, target: Subject, namespace: str, each: Dialled, port: int) -> Iterator[DialledPort]:
    service = evidence.services[target]
    spec = service.spec
    if has_cluster_ip(service) and port in {one.port for one in spec.ports}:
        return
    is_explicit = DEFAULT_PORTS.get(each.scheme) != port
    if has_cluster_ip(service):
        ip = each.host if address(each.host) else spec.cluster_ip
        offers = tuple(f"{one.port}/{one.protocol or 'TCP'}" for one in spec.ports)
    else:
        ends = [end for end in backends(evidence, target) if end.is_ready]
        listening = [open_tcp_ports(evidence.pod_reports.get(end.pod)) if end.pod else None for end in ends]
        known = [ports for ports in listening if ports is not None]
        if not ends or any(port in ports for ports in known) or any(end.port == port for end in ends):
            return  # nobody is there, which is another fault; or somebody listens, or shall
        ip = next((end.ip for end, ports in zip(ends, listening, strict=True) if ports is not None), ends[0].ip)
        offers = tuple(f"{number}/TCP" for number in sorted({number for ports in known for number in ports}))
        offers = offers or tuple(dict.fromkeys(f"{end.port}/{end.protocol}" for end in ends))
    yield DialledPort(
        service=target,
        host=each.host.lower(),
        ip=ip,
        port=port,
        named=each.named + _alias(evidence, each.host, namespace),
        offers=offers[:MAX_NAMED],
        is_headless=not has_cluster_ip(service),
        is_explicit=is_explicit,
    )


@once_per_evidence
def untried_ports(evidence: Evidence) -> Mapping[Subject, tuple[DialledPort, ...]]:
    """Those that nobody tried from the pod (its node, if it shares its network): what answers there is not known."""
    tried = {(source, test.ip, test.port) for source, _, test in evidence.tests if test.purpose == "dial"}
    return {
        pod: left
        for pod, ports in doubtful_ports(evidence).items()
        if (left := tuple(each for each in ports if (place_of(evidence, pod), each.ip, each.port) not in tried))
    }


@once_per_evidence
def missing_ports(evidence: Evidence) -> Mapping[Subject, Sequence[DialledPort]]:
    """Those that were tried from the pod in vain.

    Not those that its own /etc/hosts leads elsewhere: their names stand for other machines.
    """
    tried: dict[tuple[Subject, str, int], list[str | None]] = {}
    for source, _, test in evidence.tests:
        if test.purpose == "dial":
            tried.setdefault((source, test.ip, test.port), []).append(reach_of(test))
    found: dict[Subject, list[DialledPort]] = {}
    for pod, ports in doubtful_ports(evidence).items():
        report = evidence.resolvers.get(pod)
        held = {name for line in (report.hosts or ()) for name in line.names} if report else set[str]()
        for each in ports:
            reach = aggregate(tried.get((place_of(evidence, pod), each.ip, each.port), ()))
            if reach not in {None, "ok", "mixed"} and each.host.rstrip(".") not in held:
                found.setdefault(pod, []).append(each)
    return found
