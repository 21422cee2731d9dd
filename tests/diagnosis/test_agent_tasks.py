import dataclasses

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.agent.report import Task
from bot.cluster.objects import (
    ConfigMap,
    Container,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    ObjectMeta,
    ObjectReference,
    OwnerReference,
    ProbeSpec,
    Service,
    ServicePort,
    ServiceSpec,
    TcpSocketAction,
)
from bot.diagnosis import agent_tasks
from bot.diagnosis.agent_tasks import nodes_in_scope, plan_tasks
from bot.domain import facts
from bot.domain.facts import Subject
from bot.playbooks.applications import ApplicationDial
from bot.probes.engine.evidence import Evidence
from tests.probes.build import FakeCluster


def with_service(
    cluster: FakeCluster, name: str, pods: list[Subject], *, cluster_ip: str, port: int, protocol: str = "TCP"
) -> None:
    namespace, _, short = name.partition("/")
    cluster.services.append(
        Service(
            metadata=ObjectMeta(namespace=namespace, name=short, labels={"k8s-app": short}),
            spec=ServiceSpec(cluster_ip=cluster_ip, ports=(ServicePort(name="p", port=port, protocol=protocol),)),
        )
    )
    endpoints = tuple(
        Endpoint(
            addresses=(cluster.pods[pod].status.pod_ip,),
            node_name=cluster.pods[pod].spec.node_name,
            target_ref=ObjectReference(kind="Pod", namespace=pod.name.split("/")[0], name=pod.name.split("/")[1]),
        )
        for pod in pods
    )
    cluster.slices.append(
        EndpointSlice(
            metadata=ObjectMeta(namespace=namespace, name=f"{short}-x", labels={"kubernetes.io/service-name": short}),
            endpoints=endpoints,
            ports=(EndpointPort(name="p", port=port + 1000, protocol=protocol),),
        )
    )


def shop_with_dns() -> FakeCluster:
    cluster = FakeCluster()
    for name in ("node-1", "node-2", "node-3"):
        cluster.node(name)
    web, db = cluster.pod("shop/web", "node-1"), cluster.pod("shop/db", "node-2")
    dns = cluster.pod("kube-system/coredns", "node-3")
    cluster.pod("other/idle", "node-1")
    with_service(cluster, "shop/db", [db], cluster_ip="10.43.0.20", port=5432)
    with_service(cluster, "kube-system/kube-dns", [dns], cluster_ip="10.43.0.10", port=53, protocol="UDP")
    assert web != db
    return cluster


def planned(evidence: Evidence, *dials: ApplicationDial) -> dict[str, Task]:
    nodes = nodes_in_scope(evidence, limit=100)
    return plan_tasks(dataclasses.replace(evidence, nodes_in_scope=nodes), dials, deadline_s=8)


def test_nodes_of_the_pods_asked_about_and_of_dns_are_in_scope_others_not():
    cluster = shop_with_dns()
    cluster.node("node-4")
    cluster.pod("other/far", "node-4")

    assert nodes_in_scope(cluster.evidence(), limit=100) == ("node-1", "node-2", "node-3")


def test_pods_asked_about_come_first_when_there_are_too_many_nodes():
    assert nodes_in_scope(shop_with_dns().evidence(), limit=2) == ("node-1", "node-2")


def test_every_pod_of_a_node_is_looked_at_but_only_some_run_the_matrix():
    task = planned(shop_with_dns().evidence())["node-1"]

    assert {(pod.namespace, pod.name, pod.is_source) for pod in task.pods} == {
        ("shop", "web", True),
        ("other", "idle", True),  # for contrast
    }


def test_a_service_is_tested_by_its_address_and_by_each_endpoint_behind_it():
    task = planned(shop_with_dns().evidence())["node-1"]

    of_db = [target for target in task.targets if target.service == "shop/db:5432"]
    assert [(target.purpose, target.ip, target.port, target.name) for target in of_db] == [
        ("cluster-ip", "10.43.0.20", 5432, "shop/db:5432"),
        ("endpoint", "10.42.2.10", 6432, "shop/db"),
    ]
    assert [rule.name for rule in task.services] == ["shop/db:5432"]


def test_services_of_other_namespaces_are_tested_when_a_playbook_names_them():
    cluster = shop_with_dns()
    idle = facts.pod("other", "idle")
    with_service(cluster, "other/registry", [idle], cluster_ip="10.43.0.99", port=5000)
    evidence = cluster.evidence()

    assert not [t for t in planned(evidence)["node-1"].targets if t.ip == "10.43.0.99"]
    dial = ApplicationDial(
        application="registry",
        service=facts.service("other", "registry"),
        port=5000,
        protocol="tcp",
        why="",
        sources=(),
    )
    assert [t for t in planned(evidence, dial)["node-1"].targets if t.ip == "10.43.0.99"]


def test_dns_is_asked_by_service_over_udp_and_tcp_and_at_each_dns_pod():
    questions = planned(shop_with_dns().evidence())["node-2"].questions

    assert [(q.server, q.protocol, q.name) for q in questions] == [
        ("10.43.0.10", "udp", "kubernetes.default.svc.cluster.local"),
        ("10.43.0.10", "tcp", "kubernetes.default.svc.cluster.local"),
        ("10.43.0.10", "udp", "example.com"),
        ("10.42.3.10", "udp", "kubernetes.default.svc.cluster.local"),
        ("10.42.3.10", "udp", "example.com"),
    ]


def test_the_cluster_domain_and_the_upstream_resolver_come_from_the_corefile():
    cluster = shop_with_dns()
    corefile = ".:53 {\n    kubernetes corp.example in-addr.arpa {\n    }\n    forward . 192.0.2.53 {\n    }\n}\n"
    cluster.snapshot_fields["config_maps"] = (
        ConfigMap(metadata=ObjectMeta(name="coredns"), data={"Corefile": corefile}),
    )
    task = planned(cluster.evidence())["node-1"]

    assert task.questions[0].name == "kubernetes.default.svc.corp.example"
    assert [(t.ip, t.port) for t in task.targets if t.purpose == "outside"] == [("192.0.2.53", 53)]


def test_without_a_resolver_in_the_corefile_no_outside_address_is_invented():
    assert not [t for t in planned(shop_with_dns().evidence())["node-1"].targets if t.purpose == "outside"]


@given(pods=st.integers(1, 60), nodes=st.integers(1, 6))
def test_the_matrix_grows_with_nodes_not_with_pods(pods: int, nodes: int):
    cluster = FakeCluster()
    for number in range(1, nodes + 1):
        cluster.node(f"node-{number}")
    for number in range(pods):
        cluster.pod(f"shop/p{number:03}", f"node-{number % nodes + 1}")
    tasks = planned(cluster.evidence())

    for task in tasks.values():
        assert sum(pod.is_source for pod in task.pods) <= agent_tasks.MAX_SOURCES + 1
        assert len(task.targets) <= 1 + agent_tasks.MAX_LOCAL_TARGETS + (nodes - 1) * (
            1 + agent_tasks.MAX_REMOTE_PODS_PER_NODE
        )
    assert {pod.name for task in tasks.values() for pod in task.pods} == {f"p{number:03}" for number in range(pods)}


def test_different_workloads_become_sources_before_a_second_pod_of_one():
    cluster = FakeCluster()
    cluster.node("node-1")
    for number in range(12):
        cluster.pod(f"shop/many-{number:02}", "node-1")
    cluster.pod("shop/single", "node-1")
    for pod in list(cluster.pods):
        if "many" in pod.name:
            known = cluster.pods[pod]
            owned = msgspec.structs.replace(
                known.metadata, owner_references=(OwnerReference(kind="ReplicaSet", uid="rs"),)
            )
            cluster.pods[pod] = msgspec.structs.replace(known, metadata=owned)
    task = planned(cluster.evidence())["node-1"]

    assert "single" in {pod.name for pod in task.pods if pod.is_source}


def test_endpoints_of_a_headless_service_are_dialled_unless_another_service_has_them_dialled():
    cluster = shop_with_dns()
    db, web = facts.pod("shop", "db"), facts.pod("shop", "web")
    with_service(cluster, "shop/db-headless", [db], cluster_ip="None", port=5432)
    with_service(cluster, "shop/peers", [web], cluster_ip="None", port=7000)
    task = planned(cluster.evidence())["node-1"]

    assert [(t.purpose, t.service) for t in task.targets if t.port == 6432] == [("endpoint", "shop/db:5432")]
    assert [(t.purpose, t.service, t.port) for t in task.targets if t.service == "shop/peers:7000"] == [
        ("endpoint", "shop/peers:7000", 8000)
    ]
    assert "shop/peers:7000" not in {rule.name for rule in task.services}


def test_pods_that_are_listed_though_they_are_not_ready_are_not_dialled():
    cluster = shop_with_dns()
    late = cluster.pod("shop/late", "node-2", is_ready=False)
    with_service(cluster, "shop/peers", [late], cluster_ip="None", port=7000)

    assert not [t for t in planned(cluster.evidence())["node-1"].targets if t.service == "shop/peers:7000"]


def test_a_port_where_kubelet_asks_in_vain_is_tried_from_its_node():
    cluster = shop_with_dns()
    late, well = cluster.pod("shop/late", "node-2", is_ready=False), cluster.pod("shop/well", "node-2")
    for one in (late, well):
        pod = cluster.pods[one]
        container = Container(name="main", readiness_probe=ProbeSpec(tcp_socket=TcpSocketAction(port=7000)))
        cluster.pods[one] = replace(pod, spec=replace(pod.spec, containers=(container,)))

    tasks = planned(cluster.evidence())

    asked = [target for target in tasks["node-2"].targets if target.port == 7000]
    assert [(one.purpose, one.name, one.protocol, one.from_node_too) for one in asked] == [
        ("local-pod", "shop/late", "tcp", True)
    ]
    assert asked[0].tries > 1, "a network that loses half of them would else answer every other diagnosis"
    assert not [target for target in tasks["node-1"].targets if target.port == 7000]
