"""How cluster-ip tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more
from bot.probes.cluster_ip.kept_flows import judge_kept_flows
from bot.probes.cluster_ip.outside_addresses import judge_outside_addresses
from bot.probes.shared.reach import in_words
from bot.probes.shared.sentences import names, plural, sharing, unseen
from bot.probes.shared.values import listed, strings

NAME = "cluster-ip"
NEARLY_FULL = 0.9

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for Services and endpoints that do not answer, WARN for what bears on them, PASS for the others together."""
    found: list[Finding] = []
    good: list[Subject] = []
    for service in table.subjects(SubjectKind.SERVICE):
        known = table.of(service)
        if known.get("ready_endpoints") == 0:
            continue  # service-endpoints says so
        found += _service(table, service, known)
        found += _notes(service, known)
        if known.get("reach") == "ok" and known.get("reach_from_nodes") in {None, "ok"}:
            good.append(service)
        found += _addresses(service, known)
        found += _untried(table, service, known)
    found += judge_kept_flows(table)
    found += judge_outside_addresses(table)
    found += _endpoints(table)
    for node in table.subjects(SubjectKind.NODE):
        found += _node(node, table.of(node))
    found += unseen(table, NAME, SubjectKind.SERVICE, "reach", "Whether the ClusterIP answers", _is_untestable)
    return (*found, *_pass(table, good))


def _is_untestable(known: _Known) -> bool:
    """Nothing would ever settle it."""
    return known.get("untestable") in {"headless", "udp"}


# Services


def _service(table: FactTable, service: Subject, known: _Known) -> Iterator[Finding]:
    reach, permitted = known.get("reach"), known.get("reach_permitted")
    from_nodes = known.get("reach_from_nodes")
    denied, lost = _denied(table, service, known), strings(known.get("host_clients_failing"))
    yield from denied
    if lost:
        yield _host_clients_fail(table, service, known, lost)
    if isinstance(reach, str) and reach != "ok":
        if isinstance(permitted, str) and permitted != "ok":
            yield _failing(table, service, known, permitted)
        elif permitted == "ok":
            yield _some_denied(service, known)
        elif not denied:
            yield from () if known.get("host_clients_left_out") else (_all_denied(service, known),)
    elif isinstance(from_nodes, str) and from_nodes != "ok" and not lost:
        yield _nodes_fail(table, service, known, from_nodes)
    elif known.get("sockets_decide") is True and known.get("listens") in _NOBODY:
        yield _nobody_listens(service, known)


def _denied(table: FactTable, service: Subject, known: _Known) -> Sequence[Finding]:
    """A fault only where the denied ones are known to need the Service, or where a rule opens the wrong port."""
    reach = known.get("denied_clients_reach")
    clients, rules = strings(known.get("denied_clients")), strings(known.get("denied_clients_rules"))
    keys = ("denied_clients", "denied_clients_by", "denied_clients_why", "denied_clients_rules", "ports_opened_in_vain")
    evidence = {key: known[key] for key in keys if key in known}
    in_vain = strings(known.get("ports_opened_in_vain"))
    flows = table.flows_of(service, "denied_clients_flows")
    is_closed = known.get("reach") not in {None, "ok"} and known.get("reach_permitted") is None
    if clients and reach != "ok":
        why, by = listed(strings(known.get("denied_clients_why"))[:1]), and_more(rules, 3, by="; ")
        untried = "" if reach else " This was not tested."
        sentence = (
            f"NetworkPolicies block {listed(clients)} from Service {service.name}, "
            f"which {'it needs' if len(clients) == 1 else 'they need'} ({why}). {by}.{untried}"
        )
    elif in_vain and is_closed:
        sentence, flows = f"No source may reach Service {service.name}: {in_vain[0]}.", ()
    else:
        return ()
    return (
        Finding(
            probe=NAME,
            subject=service,
            severity=Severity.FAIL if reach or not clients else Severity.WARN,
            sentence=sentence,
            evidence=evidence,
            symptom=Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="policy", flows=flows),
        ),
    )


def _failing(table: FactTable, service: Subject, known: _Known, reach: str) -> Finding:
    what = f"A connection to the ClusterIP of Service {service.name} {in_words(reach)}"
    parts = [f"{what} {_from(known)}{_after(known, reach)}"]
    parts += [_endpoint_part(known), _rules_part(known), _policy_part(known), _pattern_part(known)]
    keys = ("reach", "endpoint_reach", "fails_from", "failing_source_nodes", "rules", "denied_by", "dead_endpoints")
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.FAIL,
        sentence=". ".join(part for part in parts if part) + ".",
        evidence={key: known[key] for key in keys if key in known},
        symptom=_symptom(table, service),
    )


def _from(known: _Known) -> str:
    asked, failing = known.get("asked_by"), known.get("failing_for")
    nodes = strings(known.get("failing_source_nodes"))
    if not isinstance(asked, int) or not isinstance(failing, int):
        return "when it was tried"
    if failing == asked:
        return "for the one source that tried" if asked == 1 else f"for all {asked} sources that tried"
    if known.get("fails_from") == "some-nodes":
        return f"for {failing} of {asked} sources, all of them on {listed(nodes)}"
    return f"for {failing} of {plural(asked, 'source')}"


def _after(known: _Known, reach: str) -> str:
    after = known.get("failing_after_ms")
    if not isinstance(after, float) or reach == "host-unreachable-late":
        return ""
    return f" (known after {after:.0f} ms)" if after >= 1 else " (at once)"


def _endpoint_part(known: _Known) -> str:
    reach, dead = known.get("endpoint_reach"), strings(known.get("dead_endpoints"))
    if dead:
        its = "its endpoint" if len(dead) == 1 else "its endpoints"
        return f"No source reaches {its} {listed(dead)} directly either"
    match reach:
        case "ok":
            return "Tried directly, every endpoint answers"
        case "mixed":
            return "Tried directly, endpoints answer only sometimes"
        case str():
            return f"Tried directly, each endpoint {in_words(reach)} too"
        case _:
            return ""


def _rules_part(known: _Known) -> str:
    missing, stale = strings(known.get("rules_missing_nodes")), strings(known.get("stale_backends"))
    if missing:
        return f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no rules for it"
    return f"Rules still send traffic to {listed(stale)}, which no EndpointSlice lists" if stale else ""


def _policy_part(known: _Known) -> str:
    if known.get("denied_by") not in {"ingress", "egress", "both"}:
        return ""
    sources = strings(known.get("denied_sources"))
    who = f" from {listed(sources)}" if sources else ""
    return f"NetworkPolicies deny this flow{who}"


def _pattern_part(known: _Known) -> str:
    if known.get("hairpin_fails") is True:
        return "Only pods behind the Service fail, and those only to reach themselves through it"
    if known.get("same_node_only_fails") is True:
        return "It fails exactly from the nodes that run an endpoint"
    return ""


_NOBODY: Mapping[object, str] = {
    "loopback-only": "listen there on their loopback address only",
    "other-port": "do not listen there",
    "other-protocol": "listen there by the other protocol (TCP, UDP) only",
    "nothing": "listen on no port at all",
}


def _nobody_listens(service: Subject, known: _Known) -> Finding:
    """From inside pods: nothing was sent, but their kernels refuse what comes."""
    ports = strings(known.get("listening_ports"))
    instead = f" but on {listed(ports)}" if ports and known.get("listens") == "other-port" else ""
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.FAIL,
        sentence=f"Service {service.name} sends to a port at which its ready pods do not serve it: they "
        f"{_NOBODY[known['listens']]}{instead}, so their kernels refuse each connection.",
        evidence={key: known[key] for key in ("listens", "listening_ports") if key in known},
        symptom=Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="application"),
    )


def _symptom(table: FactTable, service: Subject) -> Symptom:
    flows = table.flows_of(service, "failing_flows")
    return Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="service", flows=flows)


def _some_denied(service: Subject, known: _Known) -> Finding:
    failing, asked = known.get("failing_for"), known.get("asked_by")
    who = f"{failing} of {asked} sources" if isinstance(failing, int) else "some sources"
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.INFO,
        sentence=f"Service {service.name} answers on its ClusterIP for every source that NetworkPolicies allow; "
        f"they block {who}.",
        evidence={key: known[key] for key in ("reach", "reach_permitted", "denied_sources") if key in known},
    )


def _all_denied(service: Subject, known: _Known) -> Finding:
    policies = strings(known.get("denying_policies"))
    by = f" ({listed(policies)})" if policies else ""
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.INFO,
        sentence=f"NetworkPolicies{by} block every source that tried Service {service.name}; none of them is known "
        "to need it, so this is probably intended.",
        evidence={key: known[key] for key in ("reach", "denied_sources") if key in known},
    )


def _nodes_fail(table: FactTable, service: Subject, known: _Known, reach: str) -> Finding:
    works = "pods reach it" if known.get("reach") == "ok" else "no pod tried it"
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.WARN,
        sentence=f"From the root namespaces of nodes, a connection to the ClusterIP of Service {service.name} "
        f"{in_words(reach)}, while {works}: processes with hostNetwork, kubelet included, do not reach it.",
        evidence={"reach_from_nodes": reach},
        symptom=None if known.get("reach") == "ok" else _symptom(table, service),
    )


def _host_clients_fail(table: FactTable, service: Subject, known: _Known, lost: Sequence[str]) -> Finding:
    """They need it, and their node's own tests are theirs."""
    one = len(lost) == 1
    who, fail = ("A pod", "does not") if one else ("Pods", "do not")
    always = " always" if known.get("host_clients_reach") == "mixed" else ""
    others = ", and other pods reach it" if known.get("reach") == "ok" else ""
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.FAIL,
        sentence=f"{who} with hostNetwork {fail}{always} reach Service {service.name}: {listed(lost)}. "
        f"{'It needs' if one else 'They need'} it{others}.",
        evidence={key: known[key] for key in ("host_clients_reach", "host_clients_failing") if key in known},
        symptom=Symptom(
            kind=SymptomKind.SERVICE_UNREACHABLE,
            subject=service,
            hop="service",
            flows=table.flows_of(service, "host_clients_failing_flows"),
        ),
    )


def _notes(service: Subject, known: _Known) -> Iterator[Finding]:
    is_reported = known.get("reach") not in {None, "ok"}
    missing, stale = strings(known.get("rules_missing_nodes")), strings(known.get("stale_backends"))
    if missing and not is_reported:
        yield _warn(service, f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no rules for Service", known)
    if stale and not is_reported:
        what = f"Rules still send traffic to {listed(stale)}, which no EndpointSlice lists, for Service"
        yield _warn(service, what, known)
    if known.get("backlog_overflow") is True:
        yield _warn(service, "Connections were dropped because an accept queue was full in a pod behind Service", known)


def _warn(service: Subject, what: str, known: _Known) -> Finding:
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.WARN,
        sentence=f"{what} {service.name}.",
        evidence={key: known[key] for key in ("rules", "stale_backends", "backlog_overflow") if key in known},
    )


def _pass(table: FactTable, good: Sequence[Subject]) -> Iterator[Finding]:
    if not good:
        return
    asked = [n for n in (table.of(each).get("asked_by") for each in good) if isinstance(n, int)]
    sources = f" for each of the {max(asked)} sources that tried" if asked and max(asked) > 1 else ""
    one = len(good) == 1
    yield Finding(
        probe=NAME,
        subject=good[0] if one else CLUSTER,
        severity=Severity.PASS,
        sentence=f"The ClusterIP of Service {good[0].name} answered{sources}."
        if one
        else f"All {len(good)} ClusterIPs answered every source that tried: {names(good)}.",
    )


def _untried(table: FactTable, service: Subject, known: _Known) -> Iterator[Finding]:
    """What rules take of needed flows that opened when they were tried."""
    kinds = {"data_lost_flows": SymptomKind.LARGE_PACKETS_LOST, "chance_lost_flows": SymptomKind.SERVICE_UNREACHABLE}
    for key, kind in kinds.items():
        if flows := table.flows_of(service, key):
            losses = listed(strings(known.get("untried_losses")))
            yield Finding(
                probe=NAME,
                subject=service,
                severity=Severity.FAIL,
                sentence=f"Connections to Service {service.name} open, but rules on the way take what its clients "
                f"need: {losses}.",
                evidence={key: known[key]},
                symptom=Symptom(kind=kind, subject=service, hop="service", flows=flows),
            )
    if limits := strings(known.get("crowd_limits")):
        yield Finding(
            probe=NAME,
            subject=service,
            severity=Severity.WARN,
            sentence=f"Connections to Service {service.name} open one by one; a rule that is not Kubernetes' own takes "
            f"those beyond a limit, which its clients may pass under load: {listed(limits)}.",
            evidence={"crowd_limits": limits},
        )


# Endpoints


def _endpoints(table: FactTable) -> Iterator[Finding]:
    states: dict[Subject, tuple[str, str, str] | None] = {}
    for pod in table.subjects(SubjectKind.POD):
        known = table.of(pod)
        if "endpoint_reach" not in known:
            continue
        reach, ports = known.get("endpoint_dead_reach"), strings(known.get("endpoint_dead_ports"))
        states[pod] = (str(reach), listed(ports), _listening(known)) if ports else None
    for who, (reach, ports, listening) in sharing(table, states):
        counts = (table.of(pod).get("endpoint_asked_by") for pod in who.pods)
        asked = max((count for count in counts if isinstance(count, int)), default=0)
        sources = "the one source" if asked == 1 else f"all {asked} sources"
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.FAIL,
            sentence=f"A direct connection to {'endpoint ' * (len(who.pods) == 1)}{who} at {ports or 'its ports'} "
            f"{in_words(reach)} for {sources} that tried{listening}.",
            evidence={"endpoint_reach": reach, "endpoint_ports": ports},
            symptom=who.symptom(SymptomKind.ENDPOINT_UNREACHABLE, "application"),
        )


def _addresses(service: Subject, known: _Known) -> Iterator[Finding]:
    """Endpoints that are no pods."""
    dead, reach = strings(known.get("dead_addresses")), known.get("dead_addresses_reach")
    if not dead or not isinstance(reach, str):
        return
    one = len(dead) == 1
    yield Finding(
        probe=NAME,
        subject=service,
        severity=Severity.FAIL,
        sentence=f"A direct connection to {'endpoint' if one else 'endpoints'} {listed(dead)} of Service {service.name}"
        f", which {'is not a pod' if one else 'are not pods'}, {in_words(reach)} for every source that tried.",
        evidence={"dead_addresses": dead, "dead_addresses_reach": reach},
        symptom=Symptom(kind=SymptomKind.ENDPOINT_UNREACHABLE, subject=service, hop="service"),
    )


def _listening(known: _Known) -> str:
    match known.get("listens"):
        case "loopback-only":
            return "; it listens there on its loopback address only"
        case "other-port":
            return "; it listens on other ports only"
        case "other-protocol":
            return "; it listens there by the other protocol (TCP, UDP) only"
        case "nothing":
            return "; it listens on no port at all"
        case "target-port":
            return ", though it listens there"
        case _:
            return ""


# Nodes


def _node(node: Subject, known: _Known) -> Iterator[Finding]:
    yield from (_about_node(node, what) for what in _node_notes(node.name, known))


def _node_notes(name: str, known: _Known) -> Iterator[str]:
    if known.get("kube_proxy") == "not-ready":
        yield f"kube-proxy is not ready on {name}: Service changes may not have been applied there"
    if known.get("kube_proxy") == "missing":
        yield f"kube-proxy does not run on {name}, as it does on other nodes"
    if known.get("service_rules") == "missing":
        yield f"{name} has no rules for any of the Services that were checked"
    if known.get("service_rules") == "partial":
        yield f"{name} has rules for only some of the Services that were checked"
    ratio = known.get("conntrack_ratio")
    if isinstance(ratio, float) and ratio >= NEARLY_FULL:
        yield f"The connection table of {name} is {ratio:.0%} full; a full one drops new connections"
    drops, failed = known.get("conntrack_drop_delta"), known.get("conntrack_insert_failed_delta")
    if isinstance(drops, int) and drops > 0:
        yield f"{plural(drops, 'packet')} that could not be tracked {_was(drops)} dropped on {name} during the tests"
    if isinstance(failed, int) and failed > 0:
        yield f"{plural(failed, 'connection')} could not be tracked on {name} (insert failed) during the tests"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _about_node(node: Subject, what: str) -> Finding:
    return Finding(probe=NAME, subject=node, severity=Severity.WARN, sentence=f"{what}.")
