"""How resolver tells what it saw."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.dns.findings import say
from bot.probes.shared.sentences import Who, names, sharing
from bot.probes.shared.values import listed, strings

NAME = "resolver"
MANY_DOMAINS = 8

_Known = Mapping[str, Value]
_State = tuple[str, ...]


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where names that exist do not resolve for a pod, WARN where each lookup waits, INFO for odd settings."""
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    # While the DNS Service answers only sometimes, a question that got no answer says nothing of a pod's resolver.
    is_steady = table.of(CLUSTER).get("dns_service_state") in {None, "ok"}
    found = [
        *(_slow(who, state) for who, state in _sharing(table, pods, _waits) if is_steady),
        *(_short(table, who, state) for who, state in _sharing(table, pods, _lacks_short_names)),
        *(_wrong(who, state) for who, state in _sharing(table, pods, _gets_wrong_addresses)),
        *(_missing(who, state) for who, state in _sharing(table, pods, _dials_missing_names)),
        *(_no_aaaa(who) for who, _ in _sharing(table, pods, _lacks_aaaa) if is_steady),
        *_node_resolvers(table, pods),
        *_other_resolvers(table, pods),
        *_dead_nameservers(table, pods),
        *_nodes(table),
    ]
    return (*found, *_pass(pods))


def _sharing(
    table: FactTable, pods: Mapping[Subject, _Known], state: Callable[[_Known], _State | None]
) -> Iterator[tuple[Who, _State]]:
    """Pods that share a state; what a policy keeps from DNS is no matter of its resolver."""
    states = {pod: None if known.get("egress_dns_denied") is True else state(known) for pod, known in pods.items()}
    return sharing(table, states)


def _waits(known: _Known) -> _State | None:
    delay, silent = known.get("lookup_delay_s"), strings(known.get("nameservers_silent"))
    return (f"{delay:g}", *silent) if isinstance(delay, float) and delay > 0 and silent else None


def _lacks_short_names(known: _Known) -> _State | None:
    """Its search domains, if these lead to some names that exist and not to others."""
    is_bad = known.get("short_name") == "nxdomain" or strings(known.get("names_not_found"))
    if not is_bad or known.get("full_name") != "ok" or known.get("nameserver_matches") is None:
        return None
    return strings(known.get("search_domains"))


def _gets_wrong_addresses(known: _Known) -> _State | None:
    return strings(known.get("wrong_names")) or None


def _dials_missing_names(known: _Known) -> _State | None:
    """What does not exist, unless nothing does for this resolver: then something else is wrong."""
    is_able = known.get("full_name") == "ok" and known.get("short_name") != "nxdomain"
    return strings(known.get("names_missing_why")) or None if is_able else None


def _lacks_aaaa(known: _Known) -> _State | None:
    return ("aaaa",) if known.get("aaaa") == "timeout" else None


def _slow(who: Who, state: _State) -> Finding:
    delay, *silent = state
    nameserver = "nameserver" if len(silent) == 1 else "nameservers"
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"{_capital(who)} {_asks(who)} the {nameserver} {listed(silent)} first, which {_answer(silent)} "
        f"nothing: each lookup waits {delay} s before the next nameserver is asked (by glibc's rules).",
        evidence={"nameservers_silent": tuple(silent), "lookup_delay_s": float(delay)},
        symptom=who.symptom(SymptomKind.DNS_FAILING, "dns"),
    )


def _answer(silent: Sequence[str]) -> str:
    return "answers" if len(silent) == 1 else "answer"


def _short(table: FactTable, who: Who, domains: _State) -> Finding:
    zone = table.of(CLUSTER).get("dns_zone")
    served = f"; the cluster's DNS serves {zone}" if zone else ""
    searched = f"search {listed(domains)}" if domains else "have no search domain"
    missed = sorted({name for pod in who.pods for name in strings(table.of(pod).get("names_not_found"))})
    dialled = f", among them what they are configured to dial ({listed(missed)})" if missed else ""
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"Short names of Services do not resolve in {who}{dialled}; full ones do. Their resolvers "
        f"{searched}{served}.",
        evidence={"search_domains": domains, "names_not_found": tuple(missed)},
        symptom=who.symptom(SymptomKind.DNS_FAILING, "dns"),
    )


def _wrong(who: Who, wrong: _State) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"In {who} a name resolves to the wrong address: {listed(wrong)}, which is not the Service's.",
        evidence={"wrong_names": wrong},
        symptom=who.symptom(SymptomKind.DNS_FAILING, "dns"),
    )


def _missing(who: Who, why: _State) -> Finding:
    is_one = len(why) == 1
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"In {who} {'a name' if is_one else 'names'} that {'it is' if len(who.pods) == 1 else 'they are'} "
        f"configured to dial {'does' if is_one else 'do'} not exist: {listed(why)}.",
        evidence={"names_missing_why": why},
        symptom=who.symptom(SymptomKind.DNS_FAILING, "dns"),
    )


def _no_aaaa(who: Who) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"{_capital(who)} {'gets' if len(who.pods) == 1 else 'get'} no answer for IPv6 addresses (AAAA) while "
        "the same name's IPv4 address is answered: programs that ask for both wait for the time-out.",
        symptom=who.symptom(SymptomKind.DNS_FAILING, "dns"),
    )


def _node_resolvers(table: FactTable, pods: Mapping[Subject, _Known]) -> Iterator[Finding]:
    """Pods with their node's network and dnsPolicy ClusterFirst: a fault where they need a cluster name."""
    here = [pod for pod, known in pods.items() if known.get("uses_node_resolver") is True and known.get("in_scope")]
    needing = [pod for pod in here if strings(pods[pod].get("cluster_names_needed")) and _lacks_cluster(pods[pod])]
    for pod in needing:
        yield Finding(
            probe=NAME,
            subject=pod,
            severity=Severity.FAIL,
            sentence=f"Pod {pod.name} has hostNetwork and dnsPolicy ClusterFirst, so it asks its node's resolver, "
            f"which does not know the names that it needs ({listed(strings(pods[pod].get('cluster_names_needed')))}).",
            symptom=Who(pods=(pod,), node=table.relations.node_of_pod.get(pod)).symptom(SymptomKind.DNS_FAILING, "dns"),
        )
    others = [pod for pod in here if pod not in needing]
    if others:
        one = len(others) == 1
        yield Finding(
            probe=NAME,
            subject=others[0] if one else CLUSTER,
            severity=Severity.INFO,
            sentence=f"{'Pod' if one else 'Pods'} {names(others)} {'has' if one else 'have'} hostNetwork and dnsPolicy "
            f"ClusterFirst: {'it asks its' if one else 'they ask their'} node's resolver, which knows no name of the "
            "cluster (ClusterFirstWithHostNet would ask the cluster's DNS).",
        )


def _other_resolvers(table: FactTable, pods: Mapping[Subject, _Known]) -> Iterator[Finding]:
    """Pods that ask others than the cluster's DNS by their dnsPolicy: a fault where these lack a name they need."""
    for pod, known in pods.items():
        needed = strings(known.get("cluster_names_needed"))
        is_lacking = known.get("full_name") not in {None, "ok"}
        if known.get("skips_cluster_dns") is True and known.get("in_scope") and needed and is_lacking:
            yield Finding(
                probe=NAME,
                subject=pod,
                severity=Severity.FAIL,
                sentence=f"By its dnsPolicy pod {pod.name} does not ask the cluster's DNS, and its own nameservers do "
                f"not know the names that it needs ({listed(needed)}).",
                symptom=Who(pods=(pod,), node=table.relations.node_of_pod.get(pod)).symptom(
                    SymptomKind.DNS_FAILING, "dns"
                ),
            )


def _dead_nameservers(table: FactTable, pods: Mapping[Subject, _Known]) -> Iterator[Finding]:
    """Pods asked about that ask others than the cluster's DNS, and get no answer from any: they find no name.

    Whose nameserver is the cluster's DNS is a matter of dns.
    """
    asking = {
        pod: known
        for pod, known in pods.items()
        if known.get("in_scope") and (known.get("uses_node_resolver") is True or known.get("skips_cluster_dns") is True)
    }
    ip = table.of(CLUSTER).get("dns_service_ip")
    for is_needed in (True, False):
        states = {
            pod: dead if (dead := strings(known.get("nameservers_dead"))) and ip not in dead else None
            for pod, known in asking.items()
            if bool(known.get("names_needed")) is is_needed
        }
        for who, dead in sharing(table, states):
            yield _dead(who, dead, str(pods[who.pods[0]].get("first_nameserver")), is_needed=is_needed)


def _dead(who: Who, dead: Sequence[str], word: str, *, is_needed: bool) -> Finding:
    """A fault where one of them is known to look a name up, else a note: many a cluster has no names outside."""
    one, only = len(who.pods) == 1, len(dead) == 1
    flows = tuple(Flow(source=pod, target=None, source_node=who.node) for pod in who.pods)
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL if is_needed else Severity.WARN,
        sentence=f"{_capital(who)} {'does' if one else 'do'} not ask the cluster's DNS, and {listed(dead)}, "
        f"{'the only nameserver' if only else 'the nameservers'} of {'its' if one else 'their'} resolv.conf, "
        f"{'gives' if only else 'give'} no answer: a query {say(word)}."
        f"{'' if is_needed else ' No name is known that would be looked up there.'}",
        evidence={"nameservers_dead": tuple(dead)},
        symptom=Symptom(kind=SymptomKind.DNS_FAILING, subject=who.subject, hop="dns", flows=flows)
        if is_needed
        else None,
    )


def _lacks_cluster(known: _Known) -> bool:
    """The spec alone shows it; a node's resolver that does answer cluster names is the exception."""
    return known.get("full_name") != "ok"


def _nodes(table: FactTable) -> Iterator[Finding]:
    for node in table.subjects(SubjectKind.NODE):
        word = table.of(node).get("resolver")
        if isinstance(word, str) and word not in {"ok", "nxdomain"}:
            yield Finding(
                probe=NAME,
                subject=node,
                severity=Severity.INFO,
                sentence=f"A query for an outside name, sent to {node.name}'s own resolver, {say(word)}: kubelet and "
                "the runtime resolve registries by it.",
            )


def _pass(pods: Mapping[Subject, _Known]) -> Iterator[Finding]:
    good = [pod for pod, known in pods.items() if known.get("short_name") == "ok" and known.get("full_name") == "ok"]
    good = [pod for pod in good if not _waits(pods[pod]) and not _lacks_short_names(pods[pod])]
    if good:
        who = f"the pod {good[0].name}" if len(good) == 1 else f"{len(good)} pods ({names(good)})"
        sentence = f"Short and full names of Services resolve in {who}, by its own nameservers and search list."
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.PASS, sentence=sentence)


def _capital(who: Who) -> str:
    return f"Pod {who}" if len(who.pods) == 1 else who.opening


def _asks(who: Who) -> str:
    return "asks" if len(who.pods) == 1 else "ask"
