"""How dns tells what it saw."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more
from bot.probes.shared.reach import in_words
from bot.probes.shared.sentences import names, plural, sharing
from bot.probes.shared.values import strings

NAME = "dns"

_Known = Mapping[str, Value]
_BY_SERVICE = ("dns_service", "dns_service_tcp")
_ANSWERS = {
    "servfail": "was answered with SERVFAIL",
    "nxdomain": "was answered with NXDOMAIN (no such name)",
    "wrong-answer": "was answered wrongly",
}


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL once, at the widest subject of which every source fails: the cluster, else nodes, else pods."""
    cluster = table.of(CLUSTER)
    every = {pod: known for pod in table.subjects(SubjectKind.POD) if _words(known := table.of(pod))}
    denied = [pod for pod, known in every.items() if known.get("egress_dns_denied") is True and _failure(known)]
    asked_about = [pod for pod in denied if table.of(pod).get("in_scope") is not False]
    asked = {pod: known for pod, known in every.items() if pod not in denied}
    bad = {pod: word for pod, known in asked.items() if (word := _failure(known))}
    found = [*_failing(table, cluster, asked, bad), *_outside(table, cluster, asked, bad), *_api(cluster)]
    found += _denied(table, [pod for pod in asked_about if table.of(pod).get("needs_names") is not False])
    found += _meant(table, [pod for pod in asked_about if table.of(pod).get("needs_names") is False])
    found += _own_nameservers(table)
    if not found or all(each.severity is not Severity.FAIL for each in found):
        found += _pass(cluster, asked, bad)
    return (*found, *_unseen(table, cluster, every))


def _pods(table: FactTable) -> Iterator[Subject]:
    return table.subjects(SubjectKind.POD)


def _words(known: _Known) -> list[str]:
    return [word for key in _BY_SERVICE if isinstance(word := known.get(key), str)]


def _failure(known: _Known) -> str:
    """What is wrong with names of the cluster by the Service; "" when nothing is."""
    return next((word for word in _words(known) if word != "ok"), "")


def say(word: str) -> str:
    """An answer as the predicate of a sentence."""
    return _ANSWERS.get(word) or in_words(word)


def _failing(
    table: FactTable, cluster: _Known, asked: Mapping[Subject, _Known], bad: Mapping[Subject, str]
) -> Iterator[Finding]:
    state = cluster.get("dns_service_state")
    if not asked:
        if isinstance(state, str) and state != "ok" and not any(_words(table.of(p)) for p in _pods(table)):
            yield _fail(CLUSTER, f"A query to the cluster's DNS Service from nodes {say(state)}", cluster, ())
        return
    # What pods with their node's network get, and no others were asked for, is a matter of their nodes.
    is_by_nodes = all(known.get("host_network") is True for known in asked.values())
    if bad and len(bad) == len(asked) and not is_by_nodes:
        word = _common(bad.values(), state)
        who = "the one pod" if len(asked) == 1 else f"all {len(asked)} pods"
        over = " over TCP" if all(asked[pod].get("dns_service") == "ok" for pod in bad) else ""
        what = f"A query for a cluster name, sent to the DNS Service{over} by {who} that tried, {say(word)}"
        yield _fail(CLUSTER, what, cluster, _flows(table, bad))
        return
    states = {pod: bad.get(pod) for pod in asked}
    for who, word in sharing(table, states):
        way = " from a node's network (hostNetwork)" if is_by_nodes else ""
        contrast = "" if is_by_nodes else ", while other pods get answers"
        what = f"A query for a cluster name, sent to the DNS Service{way} by {who}, {say(word)}{contrast}"
        yield _fail(who.subject, what, cluster, _flows(table, who.pods))


def _common(words: Collection[str], state: Value | None) -> str:
    """One word for all: theirs where they agree, else the cluster's, which is of questions over UDP alone."""
    if len(set(words)) > 1 and isinstance(state, str) and state != "ok":
        return state
    return max(words, key=Counter(words).__getitem__)


def _denied(table: FactTable, denied: Sequence[Subject]) -> Iterator[Finding]:
    states = {pod: ("denied" if pod in denied else None) for pod in _pods(table) if _words(table.of(pod))}
    for who, _ in sharing(table, states):
        it = "it" if len(who.pods) == 1 else "them"
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN,
            sentence=f"The cluster's DNS does not answer {who}: NetworkPolicies deny {it} the DNS pods, "
            "which may be intended.",
            symptom=who.symptom(SymptomKind.DNS_FAILING, "policy"),
        )


def _meant(table: FactTable, denied: Sequence[Subject]) -> Iterator[Finding]:
    states = {pod: ("denied" if pod in denied else None) for pod in _pods(table) if _words(table.of(pod))}
    for who, _ in sharing(table, states):
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.INFO,
            sentence=f"NetworkPolicies allow {who} to send nothing at all, DNS included, and nothing shows that "
            "they need names.",
        )


def _flows(
    table: FactTable, pods: Mapping[Subject, str] | Sequence[Subject], only: Collection[str] = ()
) -> tuple[Flow, ...]:
    """Each pod with the DNS pods (`only`, else those silent for it); without any, with each: whichever it meets."""
    hosts = table.relations.node_of_pod
    every = sorted(
        {
            pod
            for service, behind in table.relations.pods_of_service.items()
            if table.of(service).get("is_dns") is True
            for pod in behind
        }
    )
    flows: list[Flow] = []
    for pod in sorted(pods)[:32]:
        silent = only or strings(table.of(pod).get("dns_pods_silent"))
        servers = [each for each in every if each.name in silent] or _met(table, pod, every) or [None]
        flows += (
            Flow(source=pod, target=each, source_node=hosts.get(pod), target_node=hosts.get(each) if each else None)
            for each in servers[:4]
        )
    return tuple(flows)


def _met(table: FactTable, pod: Subject, every: Sequence[Subject]) -> list[Subject]:
    """Where the failing server could not be pinned down: if all answer directly, those to which the way is long."""
    others = [each for each in every if each != pod]
    if table.of(pod).get("dns_pods") != "ok":
        return others
    hosts = table.relations.node_of_pod
    return [each for each in others if hosts.get(each) != hosts.get(pod)] or others


def _fail(subject: Subject, what: str, cluster: _Known, flows: tuple[Flow, ...]) -> Finding:
    keys = ("dns_service_state", "dns_pods_state", "dns_outside_state", "dns_ready_pods", "dns_pods", "dns_service_ip")
    return Finding(
        probe=NAME,
        subject=subject,
        severity=Severity.FAIL,
        sentence=f"{what}. {_contrast(cluster)}".strip(),
        evidence={key: cluster[key] for key in keys if key in cluster},
        symptom=Symptom(kind=SymptomKind.DNS_FAILING, subject=subject, hop="dns", flows=flows),
    )


def _contrast(cluster: _Known) -> str:
    direct, ready, total = (cluster.get(key) for key in ("dns_pods_state", "dns_ready_pods", "dns_pods"))
    parts: list[str] = []
    if direct == "ok":
        parts.append("Queried directly, the DNS pods answer")
    elif isinstance(direct, str):
        parts.append(f"The same query, sent to DNS pods directly, {say(direct)}")
    if isinstance(ready, int) and isinstance(total, int) and ready < total:
        parts.append(f"{ready} of {plural(total, 'DNS pod')} {'is' if ready == 1 else 'are'} ready")
    return ". ".join(parts) + "." if parts else ""


def _outside(
    table: FactTable, cluster: _Known, asked: Mapping[Subject, _Known], bad: Mapping[Subject, str]
) -> Iterator[Finding]:
    """Outside names that fail where names of the cluster resolve: a cluster without a way out may be meant so."""
    state = cluster.get("dns_outside_state")
    if not isinstance(state, str) or state == "ok" or bad or cluster.get("dns_service_state") not in {"ok", "mixed"}:
        return
    failing = [pod for pod, known in asked.items() if known.get("dns_outside") not in {None, "ok"}]
    if asked and not failing:
        return  # only pods to which policies deny the DNS pods failed
    yield Finding(
        probe=NAME,
        subject=CLUSTER,
        severity=Severity.WARN,
        sentence=f"A query for an outside name, sent to the cluster's DNS, {say(state)}, while names of the cluster "
        "resolve.",
        evidence={"dns_outside_state": state},
        symptom=Symptom(
            kind=SymptomKind.DNS_FAILING,
            subject=CLUSTER,
            hop="dns",
            flows=_flows(table, failing, strings(cluster.get("dns_pods_without_outside"))),
        ),
    )


def _api(cluster: _Known) -> Iterator[Finding]:
    ready, total = cluster.get("dns_ready_pods"), cluster.get("dns_pods")
    if cluster.get("dns_service_exists") is False:
        yield _note("The cluster has no DNS Service with an address")
    if isinstance(ready, int) and isinstance(total, int) and ready < total:
        yield _note(f"{ready} of {plural(total, 'DNS pod')} {'is' if ready == 1 else 'are'} ready")
    elif total == 0:
        yield _note("The DNS Service selects no pod")
    if cluster.get("dns_crashing") is True:
        yield _note("A DNS pod crashes again and again")


def _note(what: str) -> Finding:
    return Finding(probe=NAME, subject=CLUSTER, severity=Severity.WARN, sentence=f"{what}.")


def _own_nameservers(table: FactTable) -> Iterator[Finding]:
    """Pods that ask somebody else than the DNS Service; whether they get an answer there decides."""
    states = {
        pod: (known.get("nameserver_matches") is False, str(known.get("dns_own", "")))
        for pod in table.subjects(SubjectKind.POD)
        if _is_odd(known := table.of(pod))
    }
    everyone = {
        pod: states.get(pod) for pod in table.subjects(SubjectKind.POD) if "nameserver_matches" in table.of(pod)
    }
    for who, (is_wrong, answer) in sharing(table, everyone):
        one = len(who.pods) == 1
        what = "a nameserver that is not the cluster's DNS Service, though dnsPolicy says so"
        own = what if is_wrong else "a nameserver of the node's own in front of the cluster's DNS"
        said = {"": ".", "ok": ", and gets the cluster's names there."}.get(
            answer, f": a name of the cluster {say(answer)}.{_forbidden(table.of(who.pods[0]))}"
        )
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity={"": Severity.WARN, "ok": Severity.INFO}.get(answer, Severity.FAIL),
            sentence=f"{'Pod' if one else 'Pods:'} {who} {'asks' if one else 'ask'} {own}{said}",
            evidence={"dns_own": answer} if answer else {},
            symptom=who.symptom(SymptomKind.DNS_FAILING, "dns") if answer != "ok" else None,
        )


def _forbidden(known: _Known) -> str:
    servers, rules = strings(known.get("denied_nameservers")), strings(known.get("denied_nameserver_rules"))
    by = f" ({and_more(rules, 2, by='; ')})" if rules else ""
    return f" Egress policies do not allow {', '.join(servers)}{by}." if servers else ""


def _is_odd(known: _Known) -> bool:
    if known.get("full_name") == "ok" and known.get("dns_own") not in {None, "ok"}:
        return False  # Another of its nameservers answers: the probe of resolvers tells what that costs.
    return known.get("nameserver_matches") is False or known.get("dns_own") not in {None, "ok"}


def _pass(cluster: _Known, asked: Mapping[Subject, _Known], bad: Mapping[Subject, str]) -> Iterator[Finding]:
    good = [pod for pod in asked if pod not in bad]
    if good:
        outside = " Outside names resolve too." if cluster.get("dns_outside_state") == "ok" else ""
        who = f"the pod {good[0].name}" if len(good) == 1 else f"all {len(good)} pods that tried ({names(good)})"
        sentence = f"The cluster's DNS Service answered {who} for names of the cluster.{outside}"
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.PASS, sentence=sentence)


def _unseen(table: FactTable, cluster: _Known, asked: Mapping[Subject, _Known]) -> Iterator[Finding]:
    why = table.why_unobserved(CLUSTER, "dns_service_state")
    if why and "dns_service_state" not in cluster and not asked:
        sentence = f"Whether the cluster's DNS answers could not be observed: {why.rstrip('.')}."
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.INCONCLUSIVE, sentence=sentence)
