"""ClusterIPs against the endpoints behind them: who fails, how, and what that says."""

from typing import Any

import pytest
from msgspec import structs

from bot.agent.report import Conntrack, Firewall, FirewallChain, FirewallMatch, FirewallRule, FirewallStep, TrackedFlow
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import (
    Container,
    EndpointPort,
    EnvVar,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes import cluster_ip, network_policies, service_endpoints
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import add_service, ask, ask_directly, listening, rules


def judged(
    cluster: FakeCluster, *, cni: CniInventory | None = None, **snapshot: Any
) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    evidence = cluster.evidence()
    if cni:
        vars(evidence)["cni"] = cni
    known = facts_of(evidence, service_endpoints.PROBE, cluster_ip.PROBE, network_policies.PROBE)
    return known, list(cluster_ip.PROBE.judge(known))


class Shop:
    """shop/a and shop/b on node-1, shop/c on node-2; db-1 on node-1 and db-2 on node-2 behind shop/db."""

    def __init__(self, ends: int = 2) -> None:
        self.cluster, self.a, self.b, self.c = two_nodes()
        self.ends = [
            self.cluster.pod(f"shop/db-{n + 1}", f"node-{n % 2 + 1}", labels={"app": "db"}, ports=(9004,))
            for n in range(ends)
        ]
        self.db = add_service(self.cluster, "shop/db", self.ends)

    def healthy(self, *sources: Subject) -> None:
        for source in sources or (self.a, self.b, self.c):
            ask(self.cluster, source, self.db)
            for end in self.ends:
                ask_directly(self.cluster, source, self.db, end)


def test_a_service_that_answers_everybody_passes():
    shop = Shop()
    shop.healthy()

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["reach"] == "ok"
    assert known.of(shop.db)["fails_from"] == "none"
    assert known.of(shop.db)["dead_endpoints"] == ()
    assert known.of(facts.node("node-1"))["pods_reach_services"] == "ok"
    assert sentences(findings, Severity.PASS) == [
        "The ClusterIP of Service shop/db answered for each of the 3 sources that tried."
    ]
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


def test_a_rule_that_takes_the_data_of_a_connection_that_opens():
    shop = Shop(ends=1)
    shop.healthy()
    container = Container(env=(EnvVar(name="DB", value="db:9004"),))
    spec = structs.replace(shop.cluster.pods[shop.c].spec, containers=(container,))
    shop.cluster.pods[shop.c] = structs.replace(shop.cluster.pods[shop.c], spec=spec)
    place: dict[str, Any] = {"backend": "nft", "family": "ip", "table": "guard", "chain": "out"}
    hook = FirewallChain(**place, hook="output", policy="accept", rules=1)
    matches = (FirewallMatch(fields=("dport",), values=("9004",)), FirewallMatch(fields=("length",), values=("900-",)))
    step = FirewallStep(**place, matches=matches, verdict="drop", text="length > 900 drop")
    rule = FirewallRule(**place, verdict="drop", text=step.text)
    shop.cluster.inside(shop.c, firewall=Firewall(chains=(hook,), drops=(rule,), drops_total=1, steps=(step,)))

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["data_lost_flows"] == ("shop/c>shop/db-1",)
    assert sentences(findings, Severity.FAIL) == [
        (
            "Connections to Service shop/db open, but rules on the way take what its clients need: full-size packets "
            "of shop/c (pod shop/c: ip/guard/out (hook output, priority 0, of unknown origin): length > 900 drop)."
        )
    ]
    symptoms = [one.symptom for one in findings if one.symptom]
    assert [(one.kind, one.flows[0].source, one.flows[0].target) for one in symptoms] == [
        (SymptomKind.LARGE_PACKETS_LOST, shop.c, shop.ends[0])
    ]


def test_rules_missing_on_one_node():
    """kube-proxy dead on node-1: its pods fail by ClusterIP, the endpoints answer directly, node-2 works."""
    shop = Shop()
    shop.healthy(shop.c)
    for source in (shop.a, shop.b):
        ask(shop.cluster, source, shop.db, "timeout", latency_ms=1300.0)
        for end in shop.ends:
            ask_directly(shop.cluster, source, shop.db, end)
    backends = tuple(f"{shop.cluster.pods[end].status.pod_ip}:9004" for end in shop.ends)
    rules(shop.cluster, "node-1", (shop.db, 0, ()))
    rules(shop.cluster, "node-2", (shop.db, 3, backends))

    known, findings = judged(shop.cluster)
    service = known.of(shop.db)

    assert (service["reach"], service["endpoint_reach"], service["fails_from"]) == ("mixed", "ok", "some-nodes")
    assert service["failing_source_nodes"] == ("node-1",)
    assert (service["rules"], service["rules_missing_nodes"]) == ("partial", ("node-1",))
    assert known.of(facts.node("node-1"))["service_rules"] == "missing"
    assert known.of(facts.node("node-1"))["pods_reach_services"] == "timeout"
    assert known.of(facts.node("node-2"))["pods_reach_services"] == "ok"
    failure = next(each for each in findings if each.severity is Severity.FAIL)
    assert failure.sentence == (
        "A connection to the ClusterIP of Service shop/db succeeded only sometimes for 2 of 3 sources, "
        "all of them on node-1 "
        "(known after 1300 ms). Tried directly, every endpoint answers. node-1 has no rules for it."
    )
    assert failure.symptom
    assert failure.symptom.kind is SymptomKind.SERVICE_UNREACHABLE
    assert {flow.source for flow in failure.symptom.flows} == {shop.a, shop.b}
    assert {flow.target for flow in failure.symptom.flows} == set(shop.ends)
    assert {flow.target_node for flow in failure.symptom.flows} == {facts.node("node-1"), facts.node("node-2")}


def test_one_dead_endpoint_of_two():
    shop = Shop()
    for source in (shop.a, shop.b, shop.c):
        ask(shop.cluster, source, shop.db, "timeout", tries=4, ok=2, outcomes={"ok": 2, "timeout": 2})
        ask_directly(shop.cluster, source, shop.db, shop.ends[0])
        ask_directly(shop.cluster, source, shop.db, shop.ends[1], "timeout", latency_ms=1300.0)
    listening(shop.cluster, shop.ends[1], ("0.0.0.0", 9004))

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["dead_endpoints"] == ("shop/db-2",)
    assert known.of(shop.ends[1])["endpoint_reach"] == "timeout"
    assert "pods_reach_services" not in known.of(facts.node("node-1"))
    assert sentences(findings, Severity.FAIL) == [
        (
            "A connection to the ClusterIP of Service shop/db succeeded only sometimes for all "
            "3 sources that tried (at once). "
            "No source reaches its endpoint shop/db-2 directly either."
        ),
        (
            "A direct connection to endpoint shop/db-2 on node-2 at 9004/TCP got no answer for all "
            "3 sources that tried, "
            "though it listens there."
        ),
    ]
    symptom = findings[1].symptom
    assert symptom
    assert (symptom.kind, symptom.subject) == (SymptomKind.ENDPOINT_UNREACHABLE, shop.ends[1])


@pytest.mark.parametrize(
    ("sockets", "listens", "words"),
    [
        ((("0.0.0.0", 8080),), "other-port", "; it listens on other ports only"),
        ((("127.0.0.1", 9004),), "loopback-only", "; it listens there on its loopback address only"),
        ((("::ffff:127.0.0.1", 9004),), "loopback-only", "; it listens there on its loopback address only"),
        ((), "nothing", "; it listens on no port at all"),
        ((("::", 9004),), "target-port", ", though it listens there"),
    ],
)
def test_what_a_refusing_endpoint_listens_on(sockets: tuple[tuple[str, int], ...], listens: str, words: str):
    shop = Shop(ends=1)
    ask(shop.cluster, shop.a, shop.db, "ECONNREFUSED")
    ask_directly(shop.cluster, shop.a, shop.db, shop.ends[0], "ECONNREFUSED")
    listening(shop.cluster, shop.ends[0], *sockets)

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["listens"] == listens
    assert known.of(shop.ends[0])["listens"] == listens
    assert sentences(findings, Severity.FAIL)[1] == (
        "A direct connection to endpoint shop/db-1 on node-1 at 9004/TCP was refused for "
        f"the one source that tried{words}."
    )


def test_listening_ports_are_named_as_seen():
    shop = Shop(ends=1)
    shop.healthy(shop.a)
    listening(shop.cluster, shop.ends[0], ("0.0.0.0", 9004), ("127.0.0.1", 9000))

    known, _ = judged(shop.cluster)

    assert known.of(shop.db)["listening_ports"] == ("127.0.0.1:9000", "9004")


def test_stale_backends_are_those_that_no_slice_lists():
    shop = Shop(ends=1)
    shop.healthy()
    rules(
        shop.cluster,
        "node-1",
        (shop.db, 2, (f"{shop.cluster.pods[shop.ends[0]].status.pod_ip}:9004", "10.42.1.99:9004")),
    )

    known, findings = judged(shop.cluster)

    assert (known.of(shop.db)["rules"], known.of(shop.db)["stale_backends"]) == ("stale", ("10.42.1.99:9004",))
    assert sentences(findings, Severity.WARN) == [
        "Rules still send traffic to 10.42.1.99:9004, which no EndpointSlice lists, for Service shop/db."
    ]


def test_ebpf_leaves_no_rules_and_that_is_no_fault():
    shop = Shop()
    shop.healthy()
    rules(shop.cluster, "node-1", (shop.db, 0, ()))

    known, findings = judged(shop.cluster, cni=CniInventory(name="cilium", kube_proxy_mode="ebpf"))

    assert "rules" not in known.of(shop.db)
    assert "eBPF" in known.why_unobserved(shop.db, "rules")
    assert known.of(facts.node("node-1"))["kube_proxy"] == "replaced"
    assert sentences(findings, Severity.WARN, Severity.FAIL) == []


def test_a_pod_that_cannot_reach_itself_by_its_own_service():
    shop = Shop(ends=1)
    shop.healthy()
    ask(shop.cluster, shop.ends[0], shop.db, "timeout")

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["hairpin_fails"] is True
    assert known.of(shop.db)["fails_from"] == "some-pods"
    assert "Only pods behind the Service fail, and those only to reach themselves through it." in findings[0].sentence


def test_one_of_several_pods_that_cannot_reach_itself_is_enough():
    """Hairpin is a setting of each port; that it hits another endpoint now and then hides nothing."""
    shop = Shop(ends=2)
    shop.healthy()
    ask(shop.cluster, shop.ends[0], shop.db, "timeout")
    ask(shop.cluster, shop.ends[1], shop.db)

    known, _ = judged(shop.cluster)

    assert known.of(shop.db)["hairpin_fails"] is True


def test_a_pod_that_reaches_no_other_endpoint_either_has_another_trouble():
    shop = Shop(ends=2)
    shop.healthy()
    ask(shop.cluster, shop.ends[0], shop.db, "timeout")
    ask_directly(shop.cluster, shop.ends[0], shop.db, shop.ends[1], "timeout")

    known, _ = judged(shop.cluster)

    assert known.of(shop.db)["hairpin_fails"] is False


@pytest.mark.parametrize(("flag", "known_off"), [(False, True), (True, False), (None, None)])
def test_whether_the_port_of_a_pod_that_does_not_reach_itself_has_hairpin_off(
    flag: bool | None,  # noqa: FBT001 a parameter of the test
    known_off: bool | None,  # noqa: FBT001
):
    """Without a bridge the same pattern has another reason: then nothing is known of hairpin."""
    shop = Shop(ends=1)
    shop.healthy()
    (end,) = shop.ends
    ask(shop.cluster, end, shop.db, "timeout")
    shop.cluster.host_link(end, is_hairpin=flag)

    known, _ = judged(shop.cluster)

    assert known.of(shop.db).get("hairpin_off") is known_off


def test_without_contrast_hairpin_is_unknown():
    shop = Shop(ends=1)
    ask(shop.cluster, shop.ends[0], shop.db, "timeout")

    known, _ = judged(shop.cluster)

    assert "hairpin_fails" not in known.of(shop.db)
    assert known.why_unobserved(shop.db, "hairpin_fails") == (
        "only pods behind the Service tried its ClusterIP: nothing to compare them with"
    )


def test_failing_exactly_where_an_endpoint_is():
    """bridge-nf-call-iptables=0: replies on the same bridge skip the NAT."""
    shop = Shop(ends=1)
    for source in (shop.a, shop.b):
        ask(shop.cluster, source, shop.db, "timeout")
        ask_directly(shop.cluster, source, shop.db, shop.ends[0])
    shop.healthy(shop.c)

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["same_node_only_fails"] is True
    assert "It fails exactly from the nodes that run an endpoint." in findings[0].sentence


def test_working_everywhere_is_no_same_node_fault():
    shop = Shop(ends=1)
    shop.healthy()

    known, _ = judged(shop.cluster)

    assert known.of(shop.db)["same_node_only_fails"] is False


def deny_all() -> NetworkPolicy:
    spec = NetworkPolicySpec(policy_types=("Ingress",))
    return NetworkPolicy(metadata=ObjectMeta(name="deny-all", namespace="shop"), spec=spec)


def test_a_denied_flow_is_no_broken_network():
    shop = Shop()
    for source in (shop.a, shop.c):
        ask(shop.cluster, source, shop.db, "timeout")
        for end in shop.ends:
            ask_directly(shop.cluster, source, shop.db, end, "timeout")

    known, findings = judged(shop.cluster, network_policies=(deny_all(),))

    assert known.of(shop.db)["reach"] == "timeout"
    assert "reach_permitted" not in known.of(shop.db)
    assert known.of(shop.db)["denied_by"] == "ingress"
    assert known.of(shop.db)["dead_endpoints"] == ()
    assert "pods_reach_services" not in known.of(facts.node("node-1"))
    assert sentences(findings, Severity.FAIL) == []
    assert findings[0].severity is Severity.INFO
    assert findings[0].sentence.endswith("none of them is known to need it, so this is probably intended.")
    assert findings[0].symptom is None


def test_a_pod_that_policies_keep_from_itself_through_its_service_is_no_broken_network():
    """Its packets leave it and pass its node, where policies bear: "a pod cannot block itself" holds inside alone."""
    shop = Shop(ends=1)
    spec = NetworkPolicySpec(
        pod_selector=LabelSelector(match_labels={"app": "db"}),
        policy_types=("Ingress", "Egress"),
        ingress=(
            NetworkPolicyIngressRule(from_=(NetworkPolicyPeer(pod_selector=LabelSelector(match_labels={"app": "a"})),)),
        ),
    )
    shop.cluster.pod("shop/asker", "node-2", labels={"app": "a"})
    ask(shop.cluster, Subject(SubjectKind.POD, "shop/asker"), shop.db)
    ask(shop.cluster, shop.ends[0], shop.db, "timeout")

    known, findings = judged(
        shop.cluster, network_policies=(NetworkPolicy(metadata=ObjectMeta(name="db", namespace="shop"), spec=spec),)
    )

    assert known.of(shop.db)["reach_permitted"] == "ok"
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


def test_failures_from_nodes_count_only_where_policies_do_not_bear():
    """What node-2 sends to a pod of node-1 that a policy selects is left to each CNI."""
    shop = Shop(ends=1)
    ask(shop.cluster, facts.node("node-2"), shop.db, "timeout")

    known, _ = judged(shop.cluster, network_policies=(deny_all(),))

    assert "reach_from_nodes" not in known.of(shop.db)


def test_nodes_without_a_route_to_services():
    shop = Shop()
    shop.healthy()
    ask(shop.cluster, facts.node("node-1"), shop.db, "ENETUNREACH")

    known, findings = judged(shop.cluster)

    assert known.of(facts.node("node-1"))["reach_services"] == "net-unreachable"
    assert sentences(findings, Severity.WARN) == [
        (
            "From the root namespaces of nodes, a connection to the ClusterIP of Service shop/db got ENETUNREACH (no "
            "route), while pods reach it: processes with hostNetwork, kubelet included, do not reach it."
        )
    ]


def test_no_endpoints_are_told_elsewhere():
    cluster, a, *_ = two_nodes()
    web = add_service(cluster, "shop/web")
    ask(cluster, a, web, "ECONNREFUSED")

    known, findings = judged(cluster)

    assert known.of(web)["reach"] == "refused"
    assert findings == []


def test_silence_of_udp_proves_nothing():
    cluster, a, *_ = two_nodes()
    pod = cluster.pod("shop/syslog-1", "node-2", labels={"app": "syslog"})
    syslog = add_service(cluster, "shop/syslog", (pod,), port=514, protocol="UDP")
    ask(cluster, a, syslog, "timeout")

    known, findings = judged(cluster)

    assert "reach" not in known.of(syslog)
    assert known.why_unobserved(syslog, "reach") == "it is served over UDP only, where silence proves nothing"
    assert findings == []


def test_a_refusal_over_udp_does():
    cluster, a, *_ = two_nodes()
    pod = cluster.pod("shop/syslog-1", "node-2", labels={"app": "syslog"})
    syslog = add_service(cluster, "shop/syslog", (pod,), port=514, protocol="UDP")
    ask(cluster, a, syslog, "ECONNREFUSED")

    known, findings = judged(cluster)

    assert known.of(syslog)["reach"] == "refused"
    assert len(sentences(findings, Severity.FAIL)) == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_udp_port_beside_the_tcp_port_that_serves_may_be_spare(*, is_sent: bool):
    cluster, a, *_ = two_nodes()
    pod = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    listening(cluster, pod, ("0.0.0.0", 5432))
    db = add_service(cluster, "shop/db", (pod,), port=5432)
    twin = structs.replace(cluster.services[-1].spec.ports[0], name="udp", protocol="UDP")
    spec = cluster.services[-1].spec
    cluster.services[-1] = structs.replace(cluster.services[-1], spec=structs.replace(spec, ports=(*spec.ports, twin)))
    behind = EndpointPort(name="udp", protocol="UDP", port=5432)
    cluster.slices[-1] = structs.replace(cluster.slices[-1], ports=(*cluster.slices[-1].ports, behind))
    ask(cluster, a, db)
    ask(cluster, a, db, "ECONNREFUSED", protocol="udp")
    if is_sent:
        ip = cluster.pods[a].status.pod_ip
        sent = TrackedFlow(
            protocol="udp", src=ip, dst="10.43.51.131", port=5432, to=cluster.pods[pod].status.pod_ip, is_sent=True
        )
        cluster.node_report("node-1", conntrack=Conntrack(flows=(sent,)))

    known, _ = judged(cluster)

    assert known.of(db)["failing_ports"] == (("5432/UDP",) if is_sent else ())
    assert known.of(db)["listens"] == ("other-protocol" if is_sent else "target-port")


def test_on_the_api_rung_nothing_is_claimed():
    shop = Shop()
    shop.cluster.roots.clear()

    known, findings = judged(shop.cluster)

    assert "reach" not in known.of(shop.db)
    assert {each.severity for each in findings} == {Severity.INCONCLUSIVE}


def kube_proxy(cluster: FakeCluster, node: str, *, is_ready: bool = True) -> None:
    labels = {"k8s-app": "kube-proxy"}
    cluster.pod(f"kube-system/kube-proxy-{node}", node, labels=labels, host_network=True, is_ready=is_ready)


def test_kube_proxy_on_every_node():
    cluster, *_ = two_nodes()
    kube_proxy(cluster, "node-1", is_ready=False)

    known, findings = judged(cluster)

    assert known.of(facts.node("node-1"))["kube_proxy"] == "not-ready"
    assert known.of(facts.node("node-2"))["kube_proxy"] == "missing"
    assert sentences(findings, Severity.WARN) == [
        "kube-proxy is not ready on node-1: Service changes may not have been applied there.",
        "kube-proxy does not run on node-2, as it does on other nodes.",
    ]


def test_k3s_runs_kube_proxy_in_its_own_process():
    cluster, *_ = two_nodes("flannel")

    known, _ = judged(cluster, cni=CniInventory(name="flannel", distribution="k3s"))

    assert known.of(facts.node("node-1"))["kube_proxy"] == "in-process"


def test_an_unknown_cluster_without_kube_proxy_pods_is_not_called_broken():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster)

    assert "kube_proxy" not in known.of(facts.node("node-1"))
    assert sentences(findings, Severity.WARN) == []


def test_the_connection_table():
    cluster, *_ = two_nodes()
    cluster.node_report("node-1", conntrack=Conntrack(count=95, max=100, drop_delta=7, insert_failed_delta=0))

    known, findings = judged(cluster)

    assert known.of(facts.node("node-1"))["conntrack_ratio"] == 0.95
    assert sentences(findings, Severity.WARN) == [
        "The connection table of node-1 is 95% full; a full one drops new connections.",
        "7 packets that could not be tracked were dropped on node-1 during the tests.",
    ]


GREW = {"TcpExt.ListenOverflows": 4}


def overflowed(shop: Shop, **when: dict[str, int]) -> None:
    """The accept queue of the first endpoint overflowed, then or then."""
    shop.cluster.inside(shop.ends[0], counters={"TcpExt.ListenOverflows": 9}, counters_delta=GREW, **when)


def test_an_accept_queue_that_overflowed_under_our_own_tests_only_proves_nothing():
    """What timed out beside the others is left out, too, unless it was tried again by itself."""
    shop = Shop(ends=1)
    shop.healthy(shop.a, shop.b)
    ask(shop.cluster, shop.c, shop.db, "timeout", tries=4, ok=3, outcomes={"ok": 3, "timeout": 1})
    overflowed(shop)

    known, findings = judged(shop.cluster)

    assert "backlog_overflow" not in known.of(shop.db)
    assert known.of(shop.db)["reach"] == "ok"
    assert sentences(findings, Severity.WARN, Severity.FAIL) == []

    ask(shop.cluster, shop.c, shop.db, "timeout", tries=4, ok=3, outcomes={"ok": 3, "timeout": 1}, alone="timeout")
    assert judged(shop.cluster)[0].of(shop.db)["reach"] == "mixed"


def test_when_nothing_was_served_the_timeouts_stay():
    shop = Shop(ends=1)
    for source in (shop.a, shop.b, shop.c):
        ask(shop.cluster, source, shop.db, "timeout")
    overflowed(shop)

    assert judged(shop.cluster)[0].of(shop.db)["reach"] == "timeout"


@pytest.mark.parametrize("when", ["counters_quiet", "counters_alone"])
def test_an_accept_queue_that_overflows_by_itself(when: str):
    shop = Shop(ends=1)
    shop.healthy()
    overflowed(shop, **{when: GREW})

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["backlog_overflow"] is True
    assert sentences(findings, Severity.WARN) == [
        "Connections were dropped because an accept queue was full in a pod behind Service shop/db."
    ]


def test_the_endpoints_own_node_is_the_nearest_witness():
    shop = Shop(ends=1)
    ask_directly(shop.cluster, facts.node("node-1"), shop.db, shop.ends[0], "timeout")
    ask_directly(shop.cluster, facts.node("node-2"), shop.db, shop.ends[0])

    known, _ = judged(shop.cluster)

    assert known.of(shop.db)["endpoint_reach_from_own_node"] == "timeout"
