"""Services that claim what is somebody else's: named where it fails and the nodes lead it away, let be elsewhere."""

from datetime import timedelta
from typing import Any

import pytest

from bot.agent.report import ServiceRules
from bot.cluster.objects import (
    ConfigMap,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    LoadBalancerIngress,
    LoadBalancerStatus,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from bot.domain.facts import CLUSTER, FactTable
from bot.probes import address_claims
from bot.probes.services.claims import claim_questions
from tests.probes.build import NOW, FakeCluster, facts_of, two_nodes

RESOLVER = "198.51.100.10"


def service(name: str, *ips: str, cluster_ip: str = "10.43.0.99", port: int = 53, **spec: Any) -> Service:
    namespace, _, short = name.partition("/")
    made = ServiceSpec(
        cluster_ip=cluster_ip, external_ips=ips, ports=(ServicePort(port=port, protocol=spec.pop("protocol", "UDP")),)
    )
    status = ServiceStatus(
        load_balancer=LoadBalancerStatus(ingress=tuple(LoadBalancerIngress(ip=ip) for ip in spec.pop("balancer", ())))
    )
    age = timedelta(days=spec.pop("days", 1))
    return Service(
        metadata=ObjectMeta(name=short, namespace=namespace, creation_timestamp=NOW - age), spec=made, status=status
    )


def claimed(*services: Service, to: str = "10.42.1.9:53", mentions: int = 1) -> FakeCluster:
    """A cluster with these Services in other namespaces, whose rules lead what they claim to `to`."""
    cluster, _, _, _ = two_nodes()
    corefile = ConfigMap(
        metadata=ObjectMeta(name="coredns", namespace="kube-system"),
        data={"Corefile": f".:53 {{\n  forward . {RESOLVER}\n}}\n"},
    )
    cluster.snapshot_fields |= {"claiming_services": services, "config_maps": (corefile,)}
    questions = list(claim_questions(cluster.evidence()))
    rules = tuple(
        ServiceRules(name=one.name, ip=one.ip, port=one.port, protocol=one.protocol, mentions=mentions, backends=(to,))
        for one in questions
    )
    cluster.node_report("node-1", service_rules=rules)
    return cluster


def known(cluster: FakeCluster) -> FactTable:
    return facts_of(cluster.evidence(), address_claims.PROBE)


def test_a_resolver_that_a_service_claims_and_that_does_not_answer():
    cluster = claimed(service("evil/dns", RESOLVER))
    a = next(one for one in cluster.pods if one.name == "shop/a")
    cluster.test(a, "dns-service", protocol="dns-udp", ip="10.43.0.10", name="example.com", outcome="timeout")
    found = known(cluster).of(CLUSTER)

    says = "Service evil/dns claims 198.51.100.10:53/UDP by externalIPs, which is a resolver"
    assert found["claims"] == (
        f"{says} that the cluster's DNS or its nodes ask; names outside the cluster do not resolve",
    )
    assert found["claims_programmed"] == ("node-1 leads 198.51.100.10:53/UDP to 10.42.1.9:53",)
    assert (found["claimant_namespace"], found["claimant_name"], found["claimed_by"]) == ("evil", "dns", "externalIPs")


def test_a_claim_under_which_all_goes_well_is_a_note():
    cluster = claimed(service("evil/dns", RESOLVER))
    a = next(one for one in cluster.pods if one.name == "shop/a")
    cluster.test(
        a,
        "dns-service",
        protocol="dns-udp",
        ip="10.43.0.10",
        name="example.com",
        rcode="NOERROR",
        answers=("192.0.2.1",),
    )
    table = known(cluster)

    assert table.of(CLUSTER)["claims"] == ()
    assert len(address_claims.PROBE.judge(table)) == 1


@pytest.mark.parametrize(
    "made",
    [
        service("web/front", "203.0.113.9"),
        service("web/front", "172.30.0.11", port=80, protocol="TCP"),
        service("kube-system/traefik", balancer=("172.30.0.11", "172.30.0.12"), port=443, protocol="TCP"),
    ],
    ids=["an address of nobody's", "a node's, on purpose", "K3s's balancer"],
)
def test_addresses_that_services_rightly_have(made: Service):
    cluster = claimed(made)
    table = known(cluster)

    assert table.of(CLUSTER)["address_claims"] == ()
    assert list(address_claims.PROBE.judge(table)) == []


@pytest.mark.parametrize(
    ("port", "protocol", "outcome", "fails"),
    [(80, "TCP", "timeout", True), (80, "TCP", "ok", False), (81, "TCP", "timeout", False)],
    ids=["fails there", "works there", "another port"],
)
def test_a_pods_address_on_the_port_that_is_claimed(port: int, protocol: str, outcome: Any, *, fails: bool):
    cluster = claimed(service("evil/x", "10.42.2.10", port=port, protocol=protocol), to="10.42.1.9:8080")
    a, c = (next(one for one in cluster.pods if one.name == name) for name in ("shop/a", "shop/c"))
    cluster.test(a, "endpoint", to=c, protocol="tcp", port=80, outcome=outcome)

    assert cluster.pods[c].status.pod_ip == "10.42.2.10"
    assert bool(known(cluster).of(c)["claims"]) is fails


@pytest.mark.parametrize(("to", "led"), [("10.42.9.9:8080", True), ("10.42.2.10:8080", False)])
def test_two_services_with_one_cluster_ip_fail_by_rules_that_lead_elsewhere(to: str, *, led: bool):
    own = service("shop/s", cluster_ip="10.43.0.7", port=80, protocol="TCP", days=30)
    cluster = claimed(own, service("argo/t", cluster_ip="10.43.0.7", port=80, protocol="TCP"), to=to)
    cluster.services.append(own)
    cluster.slices.append(endpoints())
    a = next(one for one in cluster.pods if one.name == "shop/a")
    cluster.test(a, "cluster-ip", protocol="tcp", ip="10.43.0.7", port=80, name="shop/s:80", outcome="ECONNREFUSED")
    table = known(cluster)
    found = table.of(next(one for one in cluster.evidence().services))

    assert found["claimed_by"] == "its ClusterIP"
    assert found["claims_programmed"] == (("node-1 leads 10.43.0.7:80/TCP to 10.42.9.9:8080",) if led else ())


def endpoints() -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="s-1", namespace="shop", labels={"kubernetes.io/service-name": "s"}),
        address_type="IPv4",
        ports=(EndpointPort(port=8080, protocol="TCP"),),
        endpoints=(Endpoint(addresses=("10.42.2.10",), conditions=EndpointConditions(ready=True)),),
    )


def test_claims_are_unknown_where_services_were_not_read():
    cluster = claimed()
    cluster.snapshot_fields |= {"claiming_services": None}
    table = known(cluster)

    assert "address_claims" not in table.of(CLUSTER)
    assert "claims" not in table.of(CLUSTER)
    assert table.why_unobserved(CLUSTER, "claims") == "Services of all namespaces were not read"
