"""Does each pod resolve names as its own resolver is set: its nameservers in order, its search list?

The DNS Service may answer everybody and a pod still not find a name: its first nameserver is dead (each lookup then
waits five seconds before the next is asked), its search domains are not those that the cluster's DNS serves (full
names resolve, short ones do not), or it has its node's network and with dnsPolicy ClusterFirst its node's resolver.

Source: https://man7.org/linux/man-pages/man5/resolv.conf.5.html
Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy
Source: https://github.com/coredns/deployment/issues/111 (a zone that is not served)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bot.agent.report import PodReport, Test
from bot.cluster.objects import Pod
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactBuilder, Subject
from bot.domain.flows import NeededFlow
from bot.probes.dns.observe import answer_of, together
from bot.probes.engine.evidence import Evidence
from bot.probes.services.dialled_names import LOCALHOST, missing_names
from bot.probes.services.needed import needed_flows
from bot.probes.shared.dns_zone import SHORT_NAME, dns_zone, is_inside, served_zone

API_SERVICE = facts.service("default", "kubernetes")
TIMEOUT_S = 5.0
"""How long a resolver waits for one nameserver, unless options say otherwise."""
_ANSWERED = frozenset({"ok", "servfail", "nxdomain", "wrong-answer"})
_SILENT = frozenset({"timeout", "host-unreachable-late"})
"""A refusal costs no time: the next nameserver is asked at once."""
_TIMEOUT = re.compile(r"timeout:(\d{1,3})")
_NAMED = re.compile(
    r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.svc\b(?!\.(?!\w))|[:/ ]|$)"
)
"""Not "db.shop.svc.", which is absolute and not the full name."""
_MAX_NAMED = 8
_TEST_KEYS = (
    *("first_nameserver", "nameservers_silent", "lookup_delay_s", "full_name", "short_name", "wrong_names", "aaaa"),
    *("names_missing", "names_missing_why", "nameservers_dead", "names_needed"),
)
_CONF_KEYS = ("nameservers", "search_domains", "ndots", "names_not_found")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Each pod's resolver as it is set, and what came of its questions."""
    zone = dns_zone(evidence)
    into.put(CLUSTER, "dns_zone", served_zone(evidence) or None, "CoreDNS's configuration was not read")
    into.put(CLUSTER, "searched_zones", _searched(evidence) or None, "no pod's search list has Services' names")
    asked: dict[Subject, list[Test]] = defaultdict(list)
    for source, _, test in evidence.tests:
        if test.purpose == "dns-own":
            asked[source].append(test)
    dialled: dict[Subject, list[NeededFlow]] = defaultdict(list)
    for flow in needed_flows(evidence):
        if flow.name:
            dialled[flow.source].append(flow)
    for subject, pod in evidence.pods.items():
        into.set(subject, "uses_node_resolver", pod.spec.host_network and pod.spec.dns_policy in {"ClusterFirst", ""})
        into.set(subject, "skips_cluster_dns", pod.spec.dns_policy in {"Default", "None"})
        into.set(subject, "cluster_names_needed", tuple(_needed(evidence, pod)))
        report = evidence.resolvers.get(subject)
        if report is None:
            into.miss_all(subject, (*_CONF_KEYS, *_TEST_KEYS), "its resolv.conf was not read")
            continue
        _observe_conf(subject, report, into)
        into.set(subject, "names_not_found", tuple(_not_found(pod, report, dialled.get(subject, ()), zone)))
        _observe_answers(evidence, subject, report, asked.get(subject, ()), into)
    for name in evidence.nodes:
        tests = asked.get(facts.node(name), ())
        outside = (answer_of(evidence, each) for each in tests if not is_inside(each.name) and not each.asked)
        into.put(facts.node(name), "resolver", _first_answer(outside), "the node's own nameservers were not asked")


def _observe_conf(pod: Subject, report: PodReport, into: FactBuilder) -> None:
    into.set(pod, "nameservers", report.nameservers or ())
    into.set(pod, "search_domains", _domains(report))
    into.set(pod, "ndots", report.ndots)


def _domains(report: PodReport) -> tuple[str, ...]:
    return tuple(each.strip(".").lower() for each in report.search)


def _searched(evidence: Evidence) -> tuple[str, ...]:
    """The zones in which pods look for Services, as kubelet writes them: what follows "svc."."""
    domains = {domain for report in evidence.resolvers.values() for domain in _domains(report)}
    return tuple(sorted(each.removeprefix("svc.") for each in domains if each.startswith("svc.")))


def _not_found(pod: Pod, report: PodReport, dialled: Sequence[NeededFlow], zone: str) -> Iterator[str]:
    """The names that the pod needs and its search domains miss. What its /etc/hosts holds is never asked."""
    aliases = {name.lower() for each in pod.spec.host_aliases for name in each.hostnames}
    for name in sorted({flow.name.lower() for flow in dialled}):
        if name.rstrip(".") in aliases:
            continue
        candidates = {name.rstrip("."), *(f"{name}.{domain}" for domain in _domains(report))}
        wanted = (flow.target.name.split("/") for flow in dialled if flow.target and flow.name.lower() == name)
        if not any(f"{service}.{namespace}.svc.{zone}" in candidates for namespace, service in wanted):
            yield name


def _observe_answers(
    evidence: Evidence, pod: Subject, report: PodReport, tests: Sequence[Test], into: FactBuilder
) -> None:
    """From the answers of each nameserver to what the pod's resolver makes of them."""
    why = "names were not asked as this pod asks them"
    full = [each for each in tests if not each.asked and is_inside(each.name) and each.record == "A"]
    by_udp = {each.ip: answer_of(evidence, each) for each in full if each.protocol == "dns-udp"}
    order = [each for each in report.nameservers or () if each in by_udp]
    if not order or all(each is None for each in by_udp.values()):
        into.miss_all(pod, _TEST_KEYS, why)
        return
    words = [by_udp[each] or "error" for each in order]
    answering = [ip for ip, word in zip(order, words, strict=True) if word in _ANSWERED]
    server = answering[0] if answering else ""
    into.set(pod, "first_nameserver", words[0])
    silent = tuple(ip for ip, word in zip(order, words, strict=True) if word not in _ANSWERED) if answering else ()
    into.set(pod, "nameservers_silent", silent)
    said = {answer_of(evidence, each) for each in tests if each.ip in by_udp} - {None}
    into.set(pod, "nameservers_dead", tuple(order) if said.isdisjoint(_ANSWERED) else ())
    named = dict.fromkeys(each.asked for each in tests if each.asked not in {"", SHORT_NAME, LOCALHOST})
    into.set(pod, "names_needed", tuple(named))
    before = words[: order.index(server)] if server else []
    into.set(pod, "lookup_delay_s", sum(word in _SILENT for word in before) * _timeout_s(report))
    into.set(pod, "full_name", words[order.index(server)] if server else words[0])
    short = [each for each in tests if each.asked == SHORT_NAME and each.ip == server]
    answers = [answer for each in short if (answer := _completed(evidence, each)) is not None]
    into.put(pod, "short_name", _through_search_list(answers), "no search domain was tried")
    missing = [each for each in missing_names(evidence).get(pod, ()) if each.name != LOCALHOST]
    into.set(pod, "names_missing", tuple(each.name for each in missing))
    into.set(pod, "names_missing_why", tuple(each.why for each in missing))
    first = next((each for each in short if _completed(evidence, each) != "nxdomain"), None)
    wrong = (each for each in full if each.ip == server and answer_of(evidence, each) == "wrong-answer")
    wrong = (*wrong, *([first] if first and _completed(evidence, first) == "wrong-answer" else []))
    given = (f"{each.name} is {', '.join(each.answers[:2]) or 'empty'}" for each in wrong)
    must_know = _must_know_the_cluster(evidence, evidence.pods[pod])
    into.set(pod, "wrong_names", tuple(dict.fromkeys(given)) if must_know else ())
    aaaa = [_aaaa_of(evidence, each) for each in tests if each.record == "AAAA" and each.ip == server]
    into.put(pod, "aaaa", together(aaaa) if by_udp.get(server) == "ok" else None, why)


def _must_know_the_cluster(evidence: Evidence, pod: Pod) -> bool:
    """Whether its nameservers ought to know the cluster's names: a wildcard of any other resolver is no fault."""
    policies = {"ClusterFirstWithHostNet"} if pod.spec.host_network else {"ClusterFirstWithHostNet", "ClusterFirst", ""}
    return pod.spec.dns_policy in policies or any(_needed(evidence, pod))


def _timeout_s(report: PodReport) -> float:
    found = (_TIMEOUT.fullmatch(each) for each in report.resolver_options)
    return next((min(float(each[1]), 30.0) for each in found if each), TIMEOUT_S)


def _completed(evidence: Evidence, test: Test) -> str | None:
    """What came of the short name as one search domain completes it: whoever answers must give the API's address."""
    word = answer_of(evidence, test)
    api = evidence.services.get(API_SERVICE)
    own = {api.spec.cluster_ip, *api.spec.cluster_ips} if api else set[str]()
    return "wrong-answer" if word == "ok" and own and test.answers and own.isdisjoint(test.answers) else word


def _through_search_list(answers: Sequence[str]) -> str | None:
    """What a resolver makes of the answers to its candidates, in their order: the first that exists counts."""
    existing = (each for each in answers if each != "nxdomain")
    return next(existing, "nxdomain" if answers else None)


def _aaaa_of(evidence: Evidence, test: Test) -> str | None:
    """No address is a good answer here: most clusters have no IPv6."""
    word = answer_of(evidence, test)
    return "ok" if word == "wrong-answer" and test.rcode == "NOERROR" else word


def _first_answer(words: Iterable[str | None]) -> str | None:
    known = [each for each in words if each is not None]
    return next((each for each in known if each in _ANSWERED), known[0] if known else None)


# What the spec says


def _needed(evidence: Evidence, pod: Pod) -> Iterator[str]:
    """Services that a container's command line names as "service.namespace", which only the cluster's DNS knows."""
    found: dict[str, None] = {}
    for text in _texts(pod):
        for name, namespace in _NAMED.findall(text[:2000]):
            if facts.service(namespace, name) in evidence.services or _is_dns_name(text, name, namespace):
                found[f"{name}.{namespace}"] = None
    yield from list(found)[:_MAX_NAMED]


def _is_dns_name(text: str, name: str, namespace: str) -> bool:
    return f"{name}.{namespace}.svc" in text


def _texts(pod: Pod) -> Iterator[str]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        yield from container.command
        yield from container.args
