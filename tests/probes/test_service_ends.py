"""Endpoints by themselves: whose pods they are, how each fails, and what its sockets say."""

from dataclasses import replace
from typing import Any

import msgspec

from bot.cluster.objects import (
    Container,
    ContainerPort,
    Endpoint,
    EndpointPort,
    ObjectReference,
    OwnerReference,
    ServicePort,
)
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.finding import Severity, SymptomKind
from tests.probes.build import FakeCluster, sentences, two_nodes
from tests.probes.services import add_dns, add_service, ask, ask_directly, listening
from tests.probes.test_cluster_ip import Shop, judged


def owned(cluster: FakeCluster, pod: Subject, kind: str, name: str, ports: tuple[int, ...] = ()) -> None:
    """Give a pod an owner, and the ports that its container declares."""
    known = cluster.pods[pod]
    owner = OwnerReference(kind=kind, name=name, uid=f"uid-{name}", controller=True)
    container = Container(name="main", ports=tuple(ContainerPort(container_port=port) for port in ports))
    cluster.pods[pod] = msgspec.structs.replace(
        known,
        metadata=msgspec.structs.replace(known.metadata, owner_references=(owner,)),
        spec=msgspec.structs.replace(known.spec, containers=(container,)),
    )


def two_workloads(declared: tuple[int, ...]) -> Shop:
    """db-1 of StatefulSet db serves; db-2 of another workload refuses and listens on 8080 only."""
    shop = Shop()
    owned(shop.cluster, shop.ends[0], "StatefulSet", "db", (9004,))
    owned(shop.cluster, shop.ends[1], "StatefulSet", "worker", declared)
    for source in (shop.a, shop.b, shop.c, facts.node("node-2")):
        ask(shop.cluster, source, shop.db, "ECONNREFUSED", tries=4, ok=2, outcomes={"ok": 2, "ECONNREFUSED": 2})
        ask_directly(shop.cluster, source, shop.db, shop.ends[0])
        ask_directly(shop.cluster, source, shop.db, shop.ends[1], "ECONNREFUSED")
    listening(shop.cluster, shop.ends[0], ("0.0.0.0", 9004))
    listening(shop.cluster, shop.ends[1], ("0.0.0.0", 8080))
    return shop


def test_pods_of_a_second_workload_that_never_served_the_port_are_strangers():
    shop = two_workloads(declared=(8080,))
    labels = {"app": "db", "team": "data", "controller-revision-hash": "x"}
    known = shop.cluster.pods[shop.ends[0]]
    shop.cluster.pods[shop.ends[0]] = msgspec.structs.replace(
        known, metadata=msgspec.structs.replace(known.metadata, labels=labels)
    )

    service = judged(shop.cluster)[0].of(shop.db)

    assert service["workloads"] == ("StatefulSet db", "StatefulSet worker")
    assert (service["strangers"], service["stranger_ports"]) == (("StatefulSet worker",), ("8080",))
    assert service["narrower_labels"] == ("team=data",)
    assert (service["dead_endpoints"], service["dead_own"]) == (("shop/db-2",), ())
    assert service["dead_told"] == ("shop/db-2 at 9004/TCP was refused (it listens on 8080)",)


def test_a_second_version_that_declares_the_port_is_no_stranger():
    """A canary that lost its port is broken itself: the selector means it."""
    service = judged(two_workloads(declared=(9004,)).cluster)[0].of(shop_db := facts.service("shop", "db"))

    assert shop_db.name == "shop/db"
    assert service["strangers"] == ()
    assert service["dead_own"] == ("shop/db-2",)
    assert (service["dead_reach"], service["dead_listens"], service["dead_are_alive"]) == (
        "refused",
        "other-port",
        True,
    )


def test_where_nobody_serves_the_port_nobody_is_a_stranger():
    shop = two_workloads(declared=(8080,))
    for node, tests in shop.cluster.tests.items():
        shop.cluster.tests[node] = [
            replace(one, outcome="ECONNREFUSED", ok=0) if one.purpose == "endpoint" else one for one in tests
        ]

    assert judged(shop.cluster)[0].of(shop.db)["strangers"] == ()


def test_an_endpoint_that_accepts_and_resets_is_told_apart_from_one_that_refuses():
    shop = Shop(3)
    for source in (shop.a, shop.b, shop.c):
        ask(shop.cluster, source, shop.db, "reset", tries=4, ok=3, outcomes={"ok": 3, "reset": 1})
        for end in shop.ends:
            ask_directly(shop.cluster, source, shop.db, end, "reset" if end == shop.ends[1] else "ok")

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["dead_reach"] == "reset"
    assert "A direct connection to endpoint shop/db-2 on node-2 at 9004/TCP was accepted and reset at once" in " ".join(
        sentences(findings, Severity.FAIL)
    )


def test_a_pod_that_nothing_reaches_is_not_alive():
    shop = Shop()
    shop.healthy()
    for node, tests in shop.cluster.tests.items():
        ip = shop.cluster.pods[shop.ends[1]].status.pod_ip
        shop.cluster.tests[node] = [replace(one, outcome="timeout", ok=0) if one.ip == ip else one for one in tests]
    shop.cluster.test(shop.ends[1], "node", to=facts.node("node-1"), outcome="timeout")

    assert judged(shop.cluster)[0].of(shop.db)["dead_are_alive"] is False

    shop.cluster.test(facts.node("node-2"), "local-pod", to=shop.ends[1])
    assert judged(shop.cluster)[0].of(shop.db)["dead_are_alive"] is True


def test_a_udp_port_of_an_application_that_listens_by_tcp():
    cluster, a, _, c = two_nodes()
    end = cluster.pod("shop/db-1", "node-2", labels={"app": "db"}, ports=(9004,))
    db = add_service(cluster, "shop/db", (end,), protocol="UDP")
    for source in (a, c):
        ask(cluster, source, db, "ECONNREFUSED")
        ask_directly(cluster, source, db, end, "ECONNREFUSED", protocol="udp")
    listening(cluster, end, ("0.0.0.0", 9004))

    service = judged(cluster)[0].of(db)

    assert service["listens"] == "other-protocol"
    assert service["failing_ports"] == ("9004/UDP",)


def test_of_two_ports_the_broken_one_decides_what_is_said_of_listening():
    shop = Shop()
    made = shop.cluster.services[0]
    ports = (*made.spec.ports, ServicePort(name="metrics", port=9090, target_port=9090))
    shop.cluster.services[0] = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, ports=ports))
    behind = shop.cluster.slices[0]
    shop.cluster.slices[0] = msgspec.structs.replace(
        behind, ports=(*behind.ports, EndpointPort(name="metrics", protocol="TCP", port=9090))
    )
    for end in shop.ends:
        listening(shop.cluster, end, ("0.0.0.0", 9004))
    for source in (shop.a, shop.c):
        ask(shop.cluster, source, shop.db)
        ask(shop.cluster, source, shop.db, "ECONNREFUSED", port=9090, name="shop/db:9090")
        for end in shop.ends:
            ask_directly(shop.cluster, source, shop.db, end)
            about: dict[str, Any] = {"port": 9090, "service": "shop/db:9090", "protocol": "tcp"}
            shop.cluster.test(source, "endpoint", to=end, outcome="ECONNREFUSED", **about)

    known, findings = judged(shop.cluster)

    assert known.of(shop.db)["failing_ports"] == ("9090/TCP",)
    assert known.of(shop.db)["listens"] == "other-port"
    assert known.of(shop.ends[0])["endpoint_dead_ports"] == ("9090/TCP",)
    assert any("at 9090/TCP" in each and "9004" not in each for each in sentences(findings, Severity.FAIL))


def test_endpoints_of_a_headless_service_are_judged_though_it_has_no_address():
    cluster, a, _, c = two_nodes()
    end = cluster.pod("shop/db-0", "node-2", labels={"app": "db"}, ports=(9004,))
    db = add_service(cluster, "shop/db", (end,), ip="None")
    for source in (a, c):
        ask_directly(cluster, source, db, end, "ECONNREFUSED")
    listening(cluster, end, ("127.0.0.1", 9004))

    known, findings = judged(cluster)

    assert known.of(db)["listens"] == "loopback-only"
    assert known.of(db)["dead_listens"] == "loopback-only"
    failed = [each for each in findings if each.severity is Severity.FAIL]
    assert [each.symptom.kind for each in failed if each.symptom] == [SymptomKind.ENDPOINT_UNREACHABLE]
    assert sentences(findings, Severity.INCONCLUSIVE) == []


def test_an_address_by_hand_that_is_no_pod_and_does_not_answer():
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", selector={})
    endpoint = Endpoint(addresses=("192.0.2.9",))
    cluster.slices[0] = msgspec.structs.replace(cluster.slices[0], endpoints=(endpoint,))
    for source in (a, c, facts.node("node-1")):
        ask(cluster, source, db, "timeout")
        cluster.test(
            source, "endpoint", outcome="timeout", ip="192.0.2.9", port=9004, service="shop/db:9004", protocol="tcp"
        )

    known, findings = judged(cluster)

    assert known.of(db)["dead_addresses"] == ("192.0.2.9:9004",)
    assert any("192.0.2.9:9004 of Service shop/db, which is not a pod" in each for each in sentences(findings))


def test_pods_of_another_workload_behind_the_dns_service_are_strangers():
    cluster, a, *_ = two_nodes()
    dns, server = add_dns(cluster)
    other = cluster.pod("kube-system/autoscaler-1", "node-2", labels={"k8s-app": "kube-dns"})
    at = next(i for i, one in enumerate(cluster.slices) if one.metadata.name == "kube-dns-x")
    reference = ObjectReference(kind="Pod", namespace="kube-system", name="autoscaler-1")
    end = Endpoint(addresses=(cluster.pods[other].status.pod_ip,), target_ref=reference)
    listed = (*cluster.slices[at].endpoints, end)
    cluster.slices[at] = msgspec.structs.replace(cluster.slices[at], endpoints=listed)
    owned(cluster, server, "StatefulSet", "coredns", (53,))
    owned(cluster, other, "StatefulSet", "autoscaler", (8080,))
    listening(cluster, other, ("0.0.0.0", 8080))
    for pod, is_answered in ((server, True), (other, False)):
        ip, outcome = cluster.pods[pod].status.pod_ip, "ok" if is_answered else "ECONNREFUSED"
        cluster.test(a, "dns-pod", protocol="dns-udp", outcome=outcome, ip=ip, port=53, service=pod.name)

    service = judged(cluster)[0].of(dns)

    assert (service["strangers"], service["endpoint_reach"]) == (("StatefulSet autoscaler",), "mixed")


def test_dns_pods_that_answer_where_the_service_does_not_lead_are_no_live_endpoints():
    cluster, a, *_ = two_nodes()
    dns, server = add_dns(cluster)
    at = next(i for i, one in enumerate(cluster.slices) if one.metadata.name == "kube-dns-x")
    port = EndpointPort(name="main", protocol="UDP", port=5353)
    cluster.slices[at] = msgspec.structs.replace(cluster.slices[at], ports=(port,))
    ip = cluster.pods[server].status.pod_ip
    cluster.test(a, "dns-pod", protocol="dns-udp", ip=ip, port=53, service=server.name)

    known = judged(cluster)[0].of(dns)

    assert (known["endpoint_reach"], known["listens"]) == ("refused", "nothing")
