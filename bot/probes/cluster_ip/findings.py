"""How cluster-ip tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Flow, Severity, Symptom, SymptomKind
from bot.probes.listing import listed, strings
from bot.probes.outcomes import in_words
from bot.probes.service_patterns import UDP_SILENCE
from bot.probes.telling import names, plural, sharing, unseen

NAME = "cluster-ip"
NEARLY_FULL = 0.9

_Known = Mapping[str, Value]


def findings(table: FactTable) -> Sequence[Finding]:
    """FAIL for Services and endpoints that do not answer, WARN for what bears on them, PASS for the others together."""
    found: list[Finding] = []
    good: list[Subject] = []
    for service in table.subjects(SubjectKind.SERVICE):
        known = table.of(service)
        if known.get("ready_endpoints") == 0:
            continue  # service-endpoints says so
        found += _service(table, service, known)
        found += _notes(service, known)
        if known.get("reach") == "ok":
            good.append(service)
    found += _endpoints(table)
    for node in table.subjects(SubjectKind.NODE):
        found += _node(node, table.of(node))
    unknown = unseen(table, NAME, SubjectKind.SERVICE, "reach", "Whether the ClusterIP answers")
    found += (each for each in unknown if UDP_SILENCE not in each.sentence)  # nothing would ever settle it
    return (*found, *_pass(table, good))


# Services


def _service(table: FactTable, service: Subject, known: _Known) -> Iterator[Finding]:
    reach, permitted = known.get("reach"), known.get("reach_permitted")
    from_nodes = known.get("reach_from_nodes")
    if isinstance(reach, str) and reach != "ok":
        if isinstance(permitted, str) and permitted != "ok":
            yield _failing(table, service, known, permitted, Severity.FAIL)
        elif permitted == "ok":
            yield _some_denied(service, known)
        else:
            yield _failing(table, service, known, reach, Severity.WARN)
    elif isinstance(from_nodes, str) and from_nodes != "ok":
        yield _nodes_fail(table, service, known, from_nodes)


def _failing(table: FactTable, service: Subject, known: _Known, reach: str, severity: Severity) -> Finding:
    parts = [f"The ClusterIP of Service {service.name} {in_words(reach)} {_from(known)}{_after(known, reach)}"]
    parts += [_endpoint_part(known), _rules_part(known), _policy_part(known, severity), _pattern_part(known)]
    keys = ("reach", "endpoint_reach", "fails_from", "failing_source_nodes", "rules", "denied_by", "dead_endpoints")
    return Finding(
        probe=NAME,
        subject=service,
        severity=severity,
        sentence=". ".join(part for part in parts if part) + ".",
        evidence={key: known[key] for key in keys if key in known},
        symptom=_symptom(table, service, known),
    )


def _from(known: _Known) -> str:
    asked, failing = known.get("asked_by"), known.get("failing_for")
    nodes = strings(known.get("failing_source_nodes"))
    if not isinstance(asked, int) or not isinstance(failing, int):
        return "when it was asked"
    if failing == asked:
        return "for the one source that asked" if asked == 1 else f"for all {asked} sources that asked"
    if known.get("fails_from") == "some-nodes":
        return f"for {failing} of {asked} sources, namely all on {listed(nodes)}"
    return f"for {failing} of {plural(asked, 'source')}"


def _after(known: _Known, reach: str) -> str:
    after = known.get("failing_after_ms")
    if not isinstance(after, float) or reach == "host-unreachable-late":
        return ""
    return f" (known after {after:.0f} ms)" if after >= 1 else " (at once)"


def _endpoint_part(known: _Known) -> str:
    reach, dead = known.get("endpoint_reach"), strings(known.get("dead_endpoints"))
    if dead:
        return f"Nobody reaches {'its endpoint' if len(dead) == 1 else 'its endpoints'} {listed(dead)} directly either"
    match reach:
        case "ok":
            return "Asked directly, every endpoint answers"
        case "mixed":
            return "Asked directly, endpoints answer only sometimes"
        case str():
            return f"Asked directly, each endpoint {in_words(reach)} too"
        case _:
            return ""


def _rules_part(known: _Known) -> str:
    missing, stale = strings(known.get("rules_missing_nodes")), strings(known.get("stale_backends"))
    if missing:
        return f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no rules for it"
    return f"Rules still send to {listed(stale)}, which no EndpointSlice lists" if stale else ""


def _policy_part(known: _Known, severity: Severity) -> str:
    if known.get("denied_by") not in {"ingress", "egress", "both"}:
        return ""
    sources = strings(known.get("denied_sources"))
    who = f" from {listed(sources)}" if sources else ""
    alone = ", which may be intended" if severity is Severity.WARN else ""
    return f"NetworkPolicies deny this flow{who}{alone}"


def _pattern_part(known: _Known) -> str:
    if known.get("hairpin_fails") is True:
        return "Only pods behind the Service fail, and those only to reach themselves through it"
    if known.get("same_node_only_fails") is True:
        return "It fails exactly on nodes that carry an endpoint"
    return ""


def _symptom(table: FactTable, service: Subject, known: _Known) -> Symptom:
    flows = tuple(_flow(table, each) for each in strings(known.get("failing_flows")))
    return Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=service, hop="service", flows=flows)


def _flow(table: FactTable, text: str) -> Flow:
    source, _, target = text.partition(">")
    hosts = table.relations.node_of_pod
    asking = Subject(SubjectKind.POD if "/" in source else SubjectKind.NODE, source)
    end = Subject(SubjectKind.POD if "/" in target else SubjectKind.NODE, target) if target else None
    return Flow(
        source=asking,
        target=end,
        source_node=asking if asking.kind is SubjectKind.NODE else hosts.get(asking),
        target_node=end if end and end.kind is SubjectKind.NODE else hosts.get(end) if end else None,
    )


def _some_denied(service: Subject, known: _Known) -> Finding:
    failing, asked = known.get("failing_for"), known.get("asked_by")
    who = f"{failing} of {asked} sources" if isinstance(failing, int) else "some sources"
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.INFO,
        sentence=f"Service {service.name} answers by ClusterIP all that may ask. NetworkPolicies deny it to {who}.",
        evidence={key: known[key] for key in ("reach", "reach_permitted", "denied_sources") if key in known},
    )


def _nodes_fail(table: FactTable, service: Subject, known: _Known, reach: str) -> Finding:
    works = "pods reach it" if known.get("reach") == "ok" else "no pod was asked to try"
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.WARN,
        sentence=f"From the root namespaces of nodes the ClusterIP of Service {service.name} {in_words(reach)}, while "
        f"{works}: processes with hostNetwork, kubelet included, do not reach it.",
        evidence={"reach_from_nodes": reach},
        symptom=None if known.get("reach") == "ok" else _symptom(table, service, known),
    )


def _notes(service: Subject, known: _Known) -> Iterator[Finding]:
    is_told = known.get("reach") not in {None, "ok"}
    missing, stale = strings(known.get("rules_missing_nodes")), strings(known.get("stale_backends"))
    if missing and not is_told:
        yield _warn(service, f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no rules for Service", known)
    if stale and not is_told:
        what = f"Rules still send to {listed(stale)}, which no EndpointSlice lists, for Service"
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
    sources = f" for each of the {max(asked)} sources that asked" if asked and max(asked) > 1 else ""
    one = len(good) == 1
    yield Finding(
        probe=NAME,
        subject=good[0] if one else CLUSTER,
        severity=Severity.PASS,
        sentence=f"The ClusterIP of Service {good[0].name} answered{sources}."
        if one
        else f"The ClusterIPs of {len(good)} Services answered everybody that asked: {names(good)}.",
    )


# Endpoints


def _endpoints(table: FactTable) -> Iterator[Finding]:
    states: dict[Subject, tuple[str, str, str] | None] = {}
    for pod in table.subjects(SubjectKind.POD):
        known = table.of(pod)
        reach = known.get("endpoint_reach")
        if not isinstance(reach, str):
            continue
        is_dead = reach not in {"ok", "mixed"}
        states[pod] = (reach, listed(strings(known.get("endpoint_ports"))), _listening(known)) if is_dead else None
    for who, (reach, ports, listening) in sharing(table, states):
        counts = (table.of(pod).get("endpoint_asked_by") for pod in who.pods)
        asked = max((count for count in counts if isinstance(count, int)), default=0)
        sources = "the one source" if asked == 1 else f"all {asked} sources"
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.FAIL,
            sentence=f"{'Endpoint' if len(who.pods) == 1 else 'Endpoints:'} {who}, asked directly at "
            f"{ports or 'its ports'}, {in_words(reach)} for {sources} that asked{listening}.",
            evidence={"endpoint_reach": reach, "endpoint_ports": ports},
            symptom=who.symptom(SymptomKind.ENDPOINT_UNREACHABLE, "application"),
        )


def _listening(known: _Known) -> str:
    match known.get("listens"):
        case "loopback-only":
            return "; it listens there on its loopback address only"
        case "other-port":
            return "; it listens on other ports only"
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
        yield f"kube-proxy is not ready on {name}: changes of Services may not have come through there"
    if known.get("kube_proxy") == "missing":
        yield f"kube-proxy does not run on {name}, as it does on other nodes"
    if known.get("service_rules") == "missing":
        yield f"{name} holds no rules for any of the Services that were looked for"
    if known.get("service_rules") == "partial":
        yield f"{name} holds rules for only some of the Services that were looked for"
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
