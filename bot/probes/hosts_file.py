"""Does a line in a pod's /etc/hosts lead a Service's name elsewhere?

Programs look there before they ask a nameserver: names resolve, at once and wrongly, and every test of DNS is content.
hostAliases of the pod write such lines, and so do entrypoints of images. A line may be meant so; that nothing answers
where it leads is seen by the pod's own connections.

Source: https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/
"""

from collections.abc import Iterator, Mapping, Sequence

from bot.cluster.objects import Service
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.shared.dns_zone import dns_zone
from bot.probes.shared.pod_views import observable_pods
from bot.probes.shared.values import listed, strings

NAME = "hosts-file"
LISTED = 10
_KEYS = ("hosts_lines_wrong", "hosts_lines_silent")
_LOOK = "kubectl exec <pod> -- cat /etc/hosts"

FACTS = (
    fact(
        "pod.hosts_lines_wrong",
        "list",
        "Lines of the pod's /etc/hosts that give a Service's name an address that is neither the Service's nor one of "
        "its endpoints'.",
        look=_LOOK,
    ),
    fact(
        "pod.hosts_lines_silent",
        "list",
        "Those of them to whose address a process of the pod calls, and gets no answer.",
        look="nsenter -t <pid> -n ss -tn state syn-sent  # on <node>",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The lines of each pod, against all Services that are known."""
    by_name = _services_by_name(evidence)
    for view in observable_pods(evidence):
        lines = view.seen.hosts if view.seen else None
        if lines is None:
            into.miss_all(view.subject, _KEYS, view.why or "the pod's /etc/hosts was not read")
            continue
        namespace = view.pod.metadata.namespace
        calls = view.state.connections if view.state else None
        unanswered = {one.ip for one in calls or () if one.state == "syn-sent"}
        wrong: list[str] = []
        silent: list[str] = []
        for line in lines:
            for name in line.names:
                service = _service(by_name, name, namespace)
                if service and line.ip not in _addresses(evidence, service):
                    words = f"{line.ip} {name} (Service {service.name})"
                    wrong.append(words)
                    silent += [words] if line.ip in unanswered else []
        into.set(view.subject, "hosts_lines_wrong", tuple(wrong[:LISTED]))
        is_known = calls is not None or not wrong
        into.put(
            view.subject,
            "hosts_lines_silent",
            tuple(silent[:LISTED]) if is_known else None,
            "the pod's connections were not read",
        )


def _services_by_name(evidence: Evidence) -> Mapping[str, Subject]:
    """Every name with a namespace in it by which a Service can be asked for."""
    zone, found = dns_zone(evidence).rstrip("."), dict[str, Subject]()
    for subject, service in evidence.services.items():
        name = f"{service.metadata.name}.{service.metadata.namespace}"
        for each in (name, f"{name}.svc", f"{name}.svc.{zone}"):
            found[each.lower()] = subject
    return found


def _service(by_name: Mapping[str, Subject], name: str, namespace: str) -> Subject | None:
    """A name without a dot is one of the pod's own namespace."""
    full = name.rstrip(".")
    return by_name.get(full if "." in full else f"{full}.{namespace}")


def _addresses(evidence: Evidence, subject: Subject) -> frozenset[str]:
    service: Service = evidence.services[subject]
    endpoints = (
        ip for each in evidence.slices.get(subject, ()) for endpoint in each.endpoints for ip in endpoint.addresses
    )
    spec = service.spec
    return frozenset((spec.cluster_ip, *spec.cluster_ips, *spec.external_ips, *endpoints))


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where nothing answers at the line's address, WARN where that is not known."""
    return [finding for pod in table.subjects(SubjectKind.POD) for finding in _about(table, pod)]


def _about(table: FactTable, pod: Subject) -> Iterator[Finding]:
    wrong = strings(table.of(pod).get("hosts_lines_wrong"))
    silent = strings(table.of(pod).get("hosts_lines_silent"))
    if silent:
        yield Finding(
            probe=NAME,
            subject=pod,
            severity=Severity.FAIL,
            sentence=f"In pod {pod.name} a line of /etc/hosts leads a Service's name to where nothing answers: "
            f"{listed(silent)}.",
            evidence={"hosts_lines_silent": silent},
            symptom=Symptom(kind=SymptomKind.DNS_FAILING, subject=pod, hop="pod"),
        )
    elif wrong:
        yield Finding(
            probe=NAME,
            subject=pod,
            severity=Severity.WARN,
            sentence=f"In pod {pod.name} a line of /etc/hosts leads a Service's name elsewhere: {listed(wrong)}.",
            evidence={"hosts_lines_wrong": wrong},
        )


PROBE = Probe(
    name=NAME,
    question="Does a line in a pod's /etc/hosts lead a Service's name elsewhere?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
