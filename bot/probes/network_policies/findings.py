"""How network-policies tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more
from bot.probes.shared.sentences import names, plural, sharing, unseen
from bot.probes.shared.values import listed, strings

NAME = "network-policies"

_Known = Mapping[str, Value]
_SIDES = {
    "ingress": "the ingress policies of its endpoints",
    "egress": "the egress policies of those who ask",
    "both": "policies of both ends",
}


def judge(table: FactTable) -> Sequence[Finding]:
    """INFO for what policies deny (it may be meant), WARN where it rarely is, PASS where none concerns the pods.

    FAIL for clients with their node's network whom policies seem to let in, and who get no answer.
    """
    found: list[Finding] = []
    for service in table.subjects(SubjectKind.SERVICE):
        found += _host_clients(table, service)
        found += _service(service, table.of(service))
    found += _dns_denied(table)
    found += _dns_servers(table.of(CLUSTER))
    found += _kubelet_denied(table)
    found += _cluster(table.of(CLUSTER), is_used=_is_isolated(table))
    found += unseen(table, NAME, SubjectKind.POD, "policies_ingress", "The NetworkPolicies")
    return (*found, *_pass(table))


def _service(service: Subject, known: _Known) -> Iterator[Finding]:
    side = known.get("denied_by")
    if not isinstance(side, str) or side not in _SIDES or known.get("denied_clients"):
        return  # cluster-ip tells of clients
    policies = strings(known.get("denying_policies"))
    sources = strings(known.get("denied_sources"))
    by = f" ({listed(policies)})" if policies else ""
    whom = f" to {listed(sources)}" if sources else " to pods asked about"
    yield Finding(
        probe=NAME,
        subject=service,
        severity=Severity.INFO,
        sentence=f"By its NetworkPolicies alone, Service {service.name} is denied{whom} by {_SIDES[side]}{by}.",
        evidence={key: known[key] for key in ("denied_by", "denied_sources", "denying_policies") if key in known},
    )


def _host_clients(table: FactTable, service: Subject) -> Iterator[Finding]:
    left_out = strings(table.of(service).get("host_clients_left_out"))
    if left_out:
        policies = strings(table.of(service).get("host_clients_policies"))
        flows = table.flows_of(service, "host_clients_flows")
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.FAIL,
            sentence=f"Clients of Service {service.name} that use their node's network (hostNetwork) do not reach it: "
            f"{listed(left_out)}. Its NetworkPolicies ({listed(policies)}) name clients by labels.",
            evidence={"host_clients_left_out": left_out},
            symptom=Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="policy", flows=flows),
        )


def _dns_denied(table: FactTable) -> Iterator[Finding]:
    states = {
        pod: ("denied" if known["egress_dns_denied"] is True else None)
        for pod in table.subjects(SubjectKind.POD)
        if "egress_dns_denied" in (known := table.of(pod)) and known.get("in_scope") is not False
    }
    for who, _ in sharing(table, states):
        one = len(who.pods) == 1
        policies = strings(table.of(who.pods[0]).get("policy_names"))
        by = f" (policies: {listed(policies)})" if policies and one else ""
        rules = strings(table.of(who.pods[0]).get("denied_nameserver_rules"))
        why = f" ({and_more(rules, 2, by='; ')})" if rules else ""
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN,
            sentence=f"Egress policies let {who} reach no DNS pod{by}: {'it cannot' if one else 'they cannot'} resolve "
            f"names by the cluster's DNS{why}.",
        )


def _dns_servers(cluster: _Known) -> Iterator[Finding]:
    pods, ends = strings(cluster.get("dns_denied_pods")), strings(cluster.get("dns_denied_ends"))
    if pods and ends:
        whom = {"resolvers": "the resolvers that they ask", "api": "the API server"}
        what = whom.get(str(cluster.get("dns_denied_to")), "the resolvers that they ask and the API server")
        rules = strings(cluster.get("dns_denied_rules"))
        why = f": {and_more(rules, 2, by='; ')}" if rules else ""
        yield _note(
            Severity.WARN,
            f"Policies do not let the DNS pods ({and_more(pods, 2)}) reach {what} ({and_more(ends, 3)}){why}",
        )


def _kubelet_denied(table: FactTable) -> Iterator[Finding]:
    """Kubelets that a policy of the CNI's own kind keeps from the pods that they probe."""
    states = {
        pod: listed(strings(known.get("kubelet_denied_by"))) or None
        for pod in table.subjects(SubjectKind.POD)
        if (known := table.of(pod)).get("in_scope") is not False and "kubelet_denied_by" in known
    }
    for who, by in sharing(table, states):
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.FAIL,
            sentence=f"{by} blocks the kubelet's probes of {who}, which then count as unready.",
            symptom=who.symptom(SymptomKind.ENDPOINT_UNREACHABLE, "policy"),
        )


def _is_isolated(table: FactTable) -> bool:
    keys = ("policies_ingress", "policies_egress")
    return any(table.of(pod).get(key) not in {None, 0} for pod in table.subjects(SubjectKind.POD) for key in keys)


def _cluster(cluster: _Known, *, is_used: bool) -> Iterator[Finding]:
    hidden = strings(cluster.get("hidden_policies"))
    idle = strings(cluster.get("policies_selecting_nothing"))
    if hidden:
        what = f"Beside NetworkPolicies there are objects of kind {listed(hidden)}, evaluated as far as the API decides"
        yield _note(Severity.INFO, what)
    passed = strings(cluster.get("denied_but_passed"))
    if cluster.get("enforces_policy") is False and is_used:
        shown = f" ({and_more(passed, 2)})" if passed else ""
        yield _note(Severity.WARN, f"NetworkPolicies are not enforced here: the existing ones have no effect{shown}")
    elif passed:
        yield _note(Severity.WARN, f"Policies that deny a connection do not stop it: {and_more(passed, 2)}")
    if idle:
        one = len(idle) == 1
        noun, verb = ("NetworkPolicy", "selects") if one else ("NetworkPolicies", "select")
        yield _note(Severity.INFO, f"{noun} {listed(idle)} {verb} no pod")


def _note(severity: Severity, what: str) -> Finding:
    return Finding(probe=NAME, subject=CLUSTER, severity=severity, sentence=f"{what}.")


def _pass(table: FactTable) -> Iterator[Finding]:
    counted = {
        pod: known
        for pod in table.subjects(SubjectKind.POD)
        if "policies_ingress" in (known := table.of(pod)) and known.get("in_scope") is not False
    }
    if not counted:
        return
    free = [pod for pod, known in counted.items() if known["policies_ingress"] == 0 == known.get("policies_egress")]
    if len(free) == len(counted):
        who = f"pod {free[0].name}" if len(free) == 1 else f"any of {plural(len(free), 'pod')} ({names(free)})"
        sentence = f"No NetworkPolicy selects {who}."
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.PASS, sentence=sentence)
