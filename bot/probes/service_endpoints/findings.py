"""How service-endpoints tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.services.unready import FOLLOWS
from bot.probes.shared.sentences import names, plural, unseen
from bot.probes.shared.values import listed, strings

NAME = "service-endpoints"

_REASONS: Mapping[str, str] = {
    "unscheduled": "no node takes them",
    "image": "their image cannot be pulled",
    "configuration": "their containers cannot be created",
    "crash": "their containers crash",
    "starting": "they have just started",
    "probe-port": "their readiness probe uses a port on which they do not listen",
}

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for Services that nobody can reach, WARN for what looks wrong, PASS for the others together."""
    found: list[Finding] = []
    good: list[tuple[Subject, int]] = []
    for service in table.subjects(SubjectKind.SERVICE):
        known = table.of(service)
        if known.get("in_scope") is not True and known.get("is_dns") is not True:
            continue
        ready = known.get("ready_endpoints")
        if ready == 0:
            found.append(_without_endpoints(service, known))
        elif isinstance(ready, int):
            good.append((service, ready))
            found += _partly_ready(service, known, ready)
        found += _notes(service, known)
    found += unseen(table, NAME, SubjectKind.SERVICE, "ready_endpoints", "The endpoints")
    return (*found, *_pass(good))


def _without_endpoints(service: Subject, known: _Known) -> Finding:
    selected, has_selector = known.get("selected_pods"), known.get("has_selector")
    if has_selector is False:
        astray = listed(strings(known.get("slices_astray")))
        what = f"has no selector, and no ready endpoint is listed for it{f' ({astray})' if astray else ''}"
        is_used = known.get("is_used") is True
        return _tell(service, Severity.FAIL if is_used else Severity.WARN, what, known, fails=is_used)
    if known.get("scaled_to_zero") is True or (selected == 0 and _is_left_behind(known)):
        is_unused = known.get("is_used") is False
        why = "its workload is scaled to zero" if known.get("scaled_to_zero") is True else "its selector matches no pod"
        what = f"has no endpoint: {why}{', and no client is known to use it' if is_unused else ''}"
        is_used = known.get("is_used") is True
        return _tell(service, Severity.FAIL if is_used else Severity.WARN, what, known, fails=not is_unused)
    if selected == 0:
        return _tell(service, Severity.FAIL, f"has no endpoint: its selector matches no pod{_similar(known)}", known)
    if isinstance(selected, int) and known.get("endpoints") == 0 and known.get("port_name_ok") is False:
        why = f"no container of the {plural(selected, 'pod')} that it selects has a port of the name in targetPort"
        return _tell(service, Severity.FAIL, f"has no endpoint: {why}", known)
    if isinstance(selected, int):
        what = f"has no ready endpoint: it selects {plural(selected, 'pod')}, {_states(known, selected)}{_why(known)}"
        return _tell(service, Severity.FAIL, what, known)
    return _tell(service, Severity.FAIL, "has no ready endpoint", known)


def _is_left_behind(known: _Known) -> bool:
    """Nobody is known to dial it, and no pod nearly fits its selector."""
    return known.get("is_used") is False and not known.get("similar_pods")


def _states(known: _Known, selected: int) -> str:
    unready, leaving = known.get("unready_selected"), known.get("terminating_selected")
    if leaving == selected:
        return "which is being deleted" if selected == 1 else "all of them being deleted"
    if unready == 0 and known.get("family_served") is False:
        return "none of them with an address of the Service's IP family"
    if unready == 0 and not leaving:
        return "ready by the API, yet no EndpointSlice lists them"
    return "none of them ready" if unready == selected else f"{unready} of them not ready"


def _why(known: _Known) -> str:
    """What comes before, where being unready follows from it; else the reason that the API gives."""
    lacks, why = strings(known.get("unready_lacks")), known.get("unready_why")
    if why in FOLLOWS:
        return f"; that follows from something else ({listed(lacks)})"
    return f" ({_REASONS[why]})" if isinstance(why, str) and why in _REASONS else ""


def _similar(known: _Known) -> str:
    similar = known.get("similar_pods")
    if not isinstance(similar, int) or similar == 0:
        return ""
    return f", though {plural(similar, 'pod')} nearly {'fits' if similar == 1 else 'fit'} it"


def _tell(service: Subject, severity: Severity, what: str, known: _Known, *, fails: bool = True) -> Finding:
    keys = ("ready_endpoints", "endpoints", "selected_pods", "unready_selected", "unready_why", "has_selector")
    follows = known.get("ready_endpoints") == 0 and known.get("unready_why") in FOLLOWS
    kind = SymptomKind.PODS_NOT_READY if follows else SymptomKind.SERVICE_UNREACHABLE
    return Finding(
        probe=NAME,
        subject=service,
        severity=Severity.WARN if follows and severity is Severity.FAIL else severity,
        sentence=f"Service {service.name} {what}.",
        evidence={key: known[key] for key in keys if key in known},
        symptom=Symptom(kind=kind, subject=service, hop="application" if follows else "service") if fails else None,
    )


def _partly_ready(service: Subject, known: _Known, ready: int) -> Iterator[Finding]:
    total = known.get("endpoints")
    if isinstance(total, int) and total > ready:
        yield _tell(service, Severity.INFO, f"has {ready} of {total} endpoints ready", known, fails=False)


def _notes(service: Subject, known: _Known) -> Iterator[Finding]:
    if known.get("port_name_ok") is False and known.get("ready_endpoints") != 0:
        what = "has a targetPort by a name that no container behind it gives to a port"
        yield _tell(service, Severity.WARN, what, known, fails=False)
    if known.get("target_port_declared") is False:
        what = "has a targetPort that no container behind it declares (which Kubernetes permits)"
        yield _tell(service, Severity.INFO, what, known, fails=False)
    without = known.get("nodes_without_local")
    if isinstance(without, tuple) and without:
        nodes = f"{listed(without)} {'has' if len(without) == 1 else 'have'} none"
        what = f"serves each node only its own endpoints (internalTrafficPolicy Local), and {nodes}"
        yield _tell(service, Severity.WARN, what, known, fails=False)
    if known.get("hints_empty_zone") is True:
        what = "has zone hints on all endpoints, and none for a zone in which pods that may ask for it run"
        yield _tell(service, Severity.WARN, what, known, fails=False)


def _pass(good: Sequence[tuple[Subject, int]]) -> Iterator[Finding]:
    if not good:
        return
    first, ready = good[0]
    sentence = f"Service {first.name} has {plural(ready, 'ready endpoint')}."
    if len(good) > 1:
        every = names([service for service, _ in good])
        sentence = f"{len(good)} Services have ready endpoints ({sum(n for _, n in good)} in all): {every}."
    subject = first if len(good) == 1 else CLUSTER
    yield Finding(probe=NAME, subject=subject, severity=Severity.PASS, sentence=sentence)
