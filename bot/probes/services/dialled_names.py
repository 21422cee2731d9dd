"""Names that pods are configured to dial and behind which the API shows no Service with an address of its own.

A variable that names a Service which was deleted, renamed or never installed, or one of type ExternalName whose name
is gone: no packet is ever sent, so no test of addresses, ports or hops can fail. Whether such a name exists is for the
pod's own resolver to say: search lists and hosts files know names that the API does not.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#externalname
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import Test
from bot.cluster.objects import Pod
from bot.cluster.snapshot.dialled import Dialled, dialled
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.policy.selectors import address
from bot.probes.services.itself import named_localhost
from bot.probes.services.service_names import cut_short
from bot.probes.shared.unread_resources import why_unread

LOCALHOST = "localhost"
"""Asked for where somebody dials it: a pod's /etc/hosts answers before any nameserver, unless it is somebody's own."""
MAX_NAMES = 4
"""So many names are asked for from each pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtfulName:
    """A name to be asked for, and where it comes from."""

    name: str
    why: str
    """In words that follow the pod: "its variable DB_HOST names db, and no Service db is in shop"."""


@once_per_evidence
def doubtful_names(evidence: Evidence) -> Mapping[Subject, tuple[DoubtfulName, ...]]:
    """By pod asked about."""
    found: dict[Subject, tuple[DoubtfulName, ...]] = {}
    for subject in evidence.scope_pods:
        names = {each.name: each for each in _of_pod(evidence, evidence.pods[subject])}
        if names:
            found[subject] = tuple(names.values())[:MAX_NAMES]
    return found


def _of_pod(evidence: Evidence, pod: Pod) -> Iterator[DoubtfulName]:
    aliases = {name.lower() for each in pod.spec.host_aliases for name in each.hostnames}
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        for each in dialled(container):
            service = _service_named(evidence, each.host, pod.metadata.namespace)
            # Some resolvers look for an absolute name in /etc/hosts without its dot.
            if service is None or each.host.lower().rstrip(".") in aliases:
                continue
            if cut_short(each.host):
                if _is_dialled(each):
                    yield DoubtfulName(name=each.host, why=f"{each.named}{_is_absolute(evidence, service)}")
                continue
            known = evidence.services.get(service)
            if known is None and _is_dialled(each):
                yield DoubtfulName(name=each.host, why=f"{each.named}{_not_there(evidence, service)}")
            elif known is not None and known.spec.type == "ExternalName":
                leads = f"Service {service.name} is an alias (ExternalName) of {known.spec.external_name}"
                if address(known.spec.external_name):
                    leads += (
                        ", an address, which no alias leads to (a Service without selector and an EndpointSlice do)"
                    )
                yield DoubtfulName(name=each.host, why=f"{each.named}, and {leads}")
    if LOCALHOST not in aliases and (why := named_localhost(pod)):
        yield DoubtfulName(name=LOCALHOST, why=why)


def _not_there(evidence: Evidence, service: Subject) -> str:
    namespace, _, name = service.name.partition("/")
    if why_unread(evidence.snapshot, "services", namespace=namespace):
        return ""
    return f", and no Service {name} is in {namespace}"


def _is_absolute(evidence: Evidence, service: Subject) -> str:
    words = ", absolute by the dot at its end, so that no search list completes it"
    return f"{words} to Service {service.name}" if service in evidence.services else words


def _service_named(evidence: Evidence, host: str, namespace: str) -> Subject | None:
    """The Service that a name of the cluster's own form is for; None for names of another form, and for addresses."""
    labels = host.rstrip(".").split(".")
    if address(host) or (len(labels) > 2 and labels[2] != "svc"):
        return None
    if len(labels) == 2 and labels[1] not in _namespaces(evidence):
        return None
    return facts.service(labels[1] if len(labels) > 1 else namespace, labels[0])


@once_per_evidence
def _namespaces(evidence: Evidence) -> frozenset[str]:
    return frozenset({each.metadata.name for each in evidence.snapshot.namespaces} | {evidence.snapshot.namespace})


def _is_dialled(each: Dialled) -> bool:
    """A host without port or scheme may be anything: a host's own name, a mode, a label."""
    return each.port is not None or bool(each.scheme)


@once_per_evidence
def missing_names(evidence: Evidence) -> Mapping[Subject, tuple[DoubtfulName, ...]]:
    """Those for which no nameserver of the pod has an address, in whatever way its resolver completes them."""
    asked: dict[tuple[Subject, str], list[Test]] = defaultdict(list)
    for source, _, test in evidence.tests:
        if test.purpose == "dns-own" and test.asked and test.outcome != "skipped":
            asked[source, test.asked].append(test)
    found: dict[Subject, tuple[DoubtfulName, ...]] = {}
    for pod, names in doubtful_names(evidence).items():
        report = evidence.resolvers.get(pod)
        held = {name for line in (report.hosts or ()) for name in line.names} if report else set[str]()
        if report is None or report.localhost is None or report.localhost:
            held.add(LOCALHOST)
        open_names = [each for each in names if each.name.rstrip(".") not in held]
        lost = [each for each in open_names if _is_denied(asked.get((pod, each.name), ()))]
        if lost:
            found[pod] = tuple(lost)
    return found


def lacks_localhost(evidence: Evidence, pod: Subject) -> str:
    """How the pod is known to dial localhost, where nothing says that this is itself; "" where something does."""
    return next((each.why for each in missing_names(evidence).get(pod, ()) if each.name == LOCALHOST), "")


def _is_denied(tests: Sequence[Test]) -> bool:
    """Whether all that was asked was answered, and always with no address."""
    return bool(tests) and all(
        test.outcome == "ok" and test.rcode in {"NXDOMAIN", "NOERROR"} and not test.answers for test in tests
    )
