"""Does the cluster's DNS answer, by its Service and by each of its pods, over UDP and TCP, for names in and out?

The ladder tells the layers apart. Pods that answer directly while the Service does not: the Service's rules. Names of
the cluster that resolve while outside names do not: the resolvers that CoreDNS forwards to. NXDOMAIN or SERVFAIL for a
name that exists: CoreDNS itself, which cannot read the API. One pod or one node that fails alone: the way from there.

Source: https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/
Source: https://github.com/k3s-io/k3s/issues/24 (CoreDNS that cannot list the API)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.agent.report import Test
from bot.cluster.objects import Pod
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactBuilder, Subject, SubjectKind
from bot.probes.dns.facts import DIRECT, DNS_VALUES, OUTSIDE, OWN, SERVICE_TCP, SERVICE_UDP, WAYS, Way
from bot.probes.dns.host_pods import host_pods_asking
from bot.probes.dns.node_local import is_node_local, observe_node_local
from bot.probes.engine.evidence import Evidence, pod_subject
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import policy_index
from bot.probes.policy.selectors import address
from bot.probes.services.backends import backends, endpoint_key
from bot.probes.shared.dns_pods import dns_pods
from bot.probes.shared.dns_zone import is_inside
from bot.probes.shared.reach import reach_of
from bot.probes.shared.unread_resources import why_unread

_RCODES = {"SERVFAIL": "servfail", "NXDOMAIN": "nxdomain"}


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The DNS Service and its pods from the API, and what came of every question."""
    _observe_service(evidence, into)
    _observe_answers(evidence, into)
    _observe_nameservers(evidence, into)
    observe_node_local(evidence, into)


# The API


def _observe_service(evidence: Evidence, into: FactBuilder) -> None:
    services = [evidence.services[each] for each in evidence.dns_services]
    ip = next((each.spec.cluster_ip for each in services if each.spec.cluster_ip not in {"", "None"}), "")
    why = why_unread(evidence.snapshot, "services", namespace="kube-system")
    into.put(CLUSTER, "dns_service_exists", bool(ip) if ip or not why else None, why)
    into.put(CLUSTER, "dns_service_ip", ip or None, why or "there is no DNS Service with an address")
    _observe_pods(evidence, into)


def _observe_pods(evidence: Evidence, into: FactBuilder) -> None:
    """Count the DNS pods; where they were not read, the endpoints that stand for them."""
    pods = dns_pods(evidence)
    no_pods = why_unread(evidence.snapshot, "pods", namespace="kube-system")
    no_slices = why_unread(evidence.snapshot, "endpointslices", group="discovery.k8s.io", namespace="kube-system")
    servers = {pod_subject(pod) for pod in pods}
    for pod in evidence.pods:
        into.set(pod, "is_dns_server", pod in servers)
    why = "no DNS Service is known" if not evidence.dns_services else no_slices if no_pods and not pods else ""
    counts = (len(pods), sum(pod.is_ready for pod in pods))
    if no_pods and not pods:
        counts = (_listed(evidence), _listed(evidence, ready=True))
    found = any(each.metadata.name == "node-local-dns" for each in evidence.snapshot.daemon_sets)
    unread = why_unread(evidence.snapshot, "daemonsets", group="apps", namespace="kube-system")
    into.put(CLUSTER, "has_node_local_dns", found if found or not unread else None, unread)
    into.put(CLUSTER, "dns_pods", None if why else counts[0], why)
    into.put(CLUSTER, "dns_ready_pods", None if why else counts[1], why)
    is_known = bool(pods) or not (why or no_pods)
    crashing = any(_is_crashing(pod) for pod in pods)
    into.put(CLUSTER, "dns_crashing", crashing if is_known else None, why or no_pods)


def _listed(evidence: Evidence, *, ready: bool = False) -> int:
    """Endpoints of the DNS Services, where their pods are not known."""
    found = {
        endpoint_key(each, endpoint)
        for service in evidence.dns_services
        for each in evidence.slices.get(service, ())
        for endpoint in each.endpoints
        if endpoint.is_ready or not ready
    }
    return len(found)


def _is_crashing(pod: Pod) -> bool:
    for status in pod.status.container_statuses:
        waiting = status.state.waiting
        if waiting and waiting.reason in {"CrashLoopBackOff", "Error", "RunContainerError"}:
            return True
        if status.state.terminated and status.state.terminated.exit_code != 0:
            return True
    return False


# Answers


def answer_of(evidence: Evidence, test: Test) -> str | None:
    """What came of one question: how the server was reached, or what was wrong with its answer."""
    reach = reach_of(test)
    if reach != "ok":
        return reach
    if test.rcode not in {"", "NOERROR"}:
        return _RCODES.get(test.rcode, "error")
    if not test.answers:
        return "wrong-answer" if test.rcode else "ok"
    expected = _expected(evidence, test.name)
    return "ok" if not expected or expected & set(test.answers) else "wrong-answer"


def _expected(evidence: Evidence, name: str) -> set[str]:
    """The addresses that a Service's name must give; empty when that is not known."""
    labels = name.rstrip(".").split(".")
    if not is_inside(name):
        return set()
    service = evidence.services.get(facts.service(labels[1], labels[0]))
    if service is None:
        return set()
    return {ip for ip in (service.spec.cluster_ip, *service.spec.cluster_ips) if address(ip)}


def together(answers: Iterable[str | None]) -> str | None:
    """One word for many answers: "ok" only when all are, "mixed" when some are, else the most frequent failure."""
    counts = Counter(each for each in answers if each is not None)
    if len(counts) <= 1:
        return next(iter(counts), None)
    if counts.keys() & {"ok", "mixed"}:
        return "mixed"
    return max(counts, key=lambda word: (counts[word], -DNS_VALUES.index(word)))


def _way(test: Test) -> Way | None:
    match test.purpose, test.protocol:
        case "dns-service", "dns-udp":
            return SERVICE_UDP if is_inside(test.name) else OUTSIDE
        case "dns-service", "dns-tcp":
            return SERVICE_TCP if is_inside(test.name) else OUTSIDE
        case "dns-pod", "dns-udp" | "dns-tcp":
            return DIRECT if is_inside(test.name) else None
        case "dns-own", "dns-udp" if not test.asked and test.record == "A" and is_inside(test.name):
            return OWN
        case _:
            return None


_Answers = Mapping[Subject, Mapping[Way, Sequence[str | None]]]


def _asked(evidence: Evidence) -> tuple[_Answers, Mapping[Subject, str]]:
    """All answers by source and way, and each source's node."""
    found: dict[Subject, dict[Way, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    node: dict[Subject, str] = {}
    addresses = {evidence.services[each].spec.cluster_ip for each in evidence.dns_services}
    servers = {pod for service in evidence.dns_services for pod in evidence.relations.pods_of_service.get(service, ())}
    for source, where, test in evidence.tests:
        way = _way(test)
        if test.protocol == "dns-tcp" and _is_tcp_denied(evidence, source):
            continue  # Resolvers ask over UDP; a policy that allows no more is the usual one.
        if way is OWN and (test.ip in addresses or source.kind is not SubjectKind.POD or _is_host(evidence, source)):
            continue  # The Service is asked by ways of its own; the node's resolver need not know the cluster's names.
        if source in servers and test.purpose == "dns-service":
            continue  # By its own Service a DNS pod may meet itself, which some CNIs cannot do; and it needs not.
        if way is not None:
            found[source][way].append(answer_of(evidence, test))
            node[source] = where
    for pod, ways in _of_host_pods(evidence, found).items():
        node[pod] = evidence.node_of(pod)
        for way, words in ways.items():
            found[pod][way] = list(words)
    return found, node


def _of_host_pods(evidence: Evidence, asked: _Answers) -> _Answers:
    """What pods asked about get that share their node's network and ask the DNS Service: what their node gets.

    Beside it stands what was asked as their own resolver asks.
    """
    own: dict[tuple[Subject, str], dict[Way, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    for source, _, test in evidence.tests:
        is_plain = test.purpose == "dns-own" and not test.asked and test.record == "A" and is_inside(test.name)
        if is_plain:
            way = SERVICE_TCP if test.protocol == "dns-tcp" else SERVICE_UDP
            own[source, test.ip][way].append(answer_of(evidence, test))
    found: dict[Subject, dict[Way, list[str | None]]] = {}
    for pod, service in host_pods_asking(evidence):
        ip = evidence.services[service].spec.cluster_ip
        of_node = asked.get(facts.node(evidence.node_of(pod)), {})
        ways = {way: [*of_node.get(way, ()), *own[pod, ip][way]] for way in WAYS if way is not OWN}
        found[pod] = {way: words for way, words in ways.items() if words}
    return found


def _is_tcp_denied(evidence: Evidence, source: Subject) -> bool:
    """Whether policies let a pod ask all DNS pods over UDP only, or not at all."""
    if source.kind is not SubjectKind.POD or policy_index(evidence).is_empty:
        return False
    ends = {
        (each.pod, each.port)
        for service in evidence.dns_services
        for each in backends(evidence, service)
        if each.service_port == 53 and each.pod in evidence.pods and each.pod
    }
    return bool(ends) and all(allowed(evidence, source, pod, port, "TCP").is_denied for pod, port in ends)


def _is_host(evidence: Evidence, source: Subject) -> bool:
    known = evidence.pods.get(source)
    return known is not None and (known.spec.host_network or known.spec.dns_policy not in {"ClusterFirst", ""})


def _observe_answers(evidence: Evidence, into: FactBuilder) -> None:
    answers, node = _asked(evidence)
    _observe_servers(evidence, into)
    by_way: dict[Way, list[str | None]] = defaultdict(list)
    by_node: dict[str, list[str | None]] = defaultdict(list)
    asking = set(_asking(answers, node))
    for source, ways in answers.items():
        words = {way: together(found) for way, found in ways.items()}
        if source.kind is SubjectKind.POD:
            _observe_pod(source, words, into)
        if source not in asking:
            continue
        for way, word in words.items():
            by_way[way].append(word)
            if way not in {OUTSIDE, OWN}:
                by_node[node[source]].append(word)
    why = "no pod queried the cluster's DNS" if evidence.reports else "no node was inspected from inside"
    for way in WAYS:
        if way.of_cluster:
            into.put(CLUSTER, way.of_cluster, together(by_way[way]), why)
    for name in evidence.nodes:
        reason = why if name in evidence.reports else evidence.why_no_report(name)
        into.put(facts.node(name), "dns_state", together(by_node[name]), reason)


def _observe_servers(evidence: Evidence, into: FactBuilder) -> None:
    """Which DNS pods are silent for whom, and which of them find no outside name."""
    inside: dict[Subject, dict[str, bool]] = defaultdict(dict)
    asked_outside: list[tuple[Subject, str, bool]] = []
    for source, _, test in evidence.tests:
        answer = answer_of(evidence, test) if test.purpose == "dns-pod" else None
        if answer is None:
            continue
        if is_inside(test.name):
            inside[source][test.service] = answer == "ok"
        else:
            asked_outside.append((source, test.service, answer == "ok"))
    outside: dict[str, list[bool]] = defaultdict(list)
    for source, server, is_ok in asked_outside:
        if inside[source].get(server):
            outside[server].append(is_ok)
    for source, servers in inside.items():
        if source.kind is SubjectKind.POD:
            silent = sorted(name for name, is_ok in servers.items() if not is_ok)
            into.set(source, "dns_pods_silent", tuple(silent) if len(silent) < len(servers) else ())
    reached = [name for name, found in outside.items() if any(found)]
    dead = sorted(name for name, found in outside.items() if not any(found))
    into.put(CLUSTER, "dns_pods_without_outside", tuple(dead) if reached else None, "no DNS pod finds outside names")


def _asking(answers: _Answers, node: Mapping[Subject, str]) -> Iterator[Subject]:
    """Pods; and nodes from which no pod asked: their root namespace need not use the cluster's DNS."""
    with_pods = {node[source] for source in answers if source.kind is SubjectKind.POD}
    return (s for s in answers if s.kind is SubjectKind.POD or node[s] not in with_pods)


def _observe_pod(pod: Subject, words: Mapping[Way, str | None], into: FactBuilder) -> None:
    for way in WAYS:
        into.put(pod, way.of_pod, words.get(way), "the pod sent no such query")


def _observe_nameservers(evidence: Evidence, into: FactBuilder) -> None:
    addresses = {evidence.services[each].spec.cluster_ip for each in evidence.dns_services}
    for pod, report in evidence.pod_reports.items():
        known = evidence.pods.get(pod)
        if known is None:
            continue
        why = ""
        wanted = {"ClusterFirstWithHostNet"} if known.spec.host_network else {"ClusterFirst", ""}
        if known.spec.dns_policy not in {*wanted, "ClusterFirstWithHostNet"}:
            why = f"the pod does not use the cluster's DNS (dnsPolicy {known.spec.dns_policy[:20]})"
        elif report.nameservers is None:
            why = "its resolv.conf was not read"
        elif not addresses:
            why = "no DNS Service is known"
        first = (report.nameservers or ("",))[0]
        chosen = known.spec.dns_config.nameservers if known.spec.dns_config else ()
        matches = first in addresses or is_node_local(first) or first in chosen
        into.put(pod, "nameserver_matches", None if why else matches, why)
