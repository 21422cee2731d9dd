"""Policies judged against what is dialled: clients that need a flow are told from pods that we sent."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from bot.cluster.objects import (
    Container,
    ContainerPort,
    Endpoint,
    EnvVar,
    IPBlock,
    LabelSelector,
    Namespace,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import cluster_ip, network_policies, pod_sandbox, service_endpoints
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import API_IP, DNS_IP, add_dns, add_service, ask


@dataclass
class Shop:
    """shop/a and shop/c beside Service shop/db:80, whose pod takes 5432."""

    cluster: FakeCluster
    client: Subject
    other: Subject
    server: Subject
    service: Subject


def shop(**env: str) -> Shop:
    cluster, a, _, c = two_nodes()
    server = cluster.pod("shop/db-1", "node-2", labels={"app": "db"})
    named = Container(name="db", ports=(ContainerPort(container_port=5432, name="sql"),))
    configured = Container(name="main", env=tuple(EnvVar(name=name, value=value) for name, value in env.items()))
    for pod, container in ((server, named), (a, configured)):
        spec = msgspec.structs.replace(cluster.pods[pod].spec, containers=(container,))
        cluster.pods[pod] = msgspec.structs.replace(cluster.pods[pod], spec=spec)
    service = add_service(cluster, "shop/db", (server,), port=80, target=5432)
    return Shop(cluster, a, c, server, service)


def judged(cluster: FakeCluster, *policies: NetworkPolicy, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= {"network_policies": policies, **snapshot}
    probes = (pod_sandbox.PROBE, service_endpoints.PROBE, cluster_ip.PROBE, network_policies.PROBE)
    known = facts_of(cluster.evidence(), *probes)
    return known, list(cluster_ip.PROBE.judge(known))


def ingress(*ports: int | str, end: int | None = None, **peer: Any) -> NetworkPolicy:
    rule = NetworkPolicyIngressRule(
        from_=(NetworkPolicyPeer(**peer),) if peer else (),
        ports=tuple(NetworkPolicyPort(port=port, end_port=end) for port in ports),
    )
    spec = NetworkPolicySpec(
        pod_selector=LabelSelector(match_labels={"app": "db"}), policy_types=("Ingress",), ingress=(rule,)
    )
    return NetworkPolicy(metadata=ObjectMeta(name="db", namespace="shop"), spec=spec)


def labels(**wanted: str) -> LabelSelector:
    return LabelSelector(match_labels=wanted)


def test_pods_that_we_sent_are_kept_out_as_intended():
    made = shop()
    ask(made.cluster, made.client, made.service, "timeout")
    ask(made.cluster, made.other, made.service, "timeout")

    known, findings = judged(made.cluster, ingress(5432, pod_selector=labels(app="api")))

    assert known.of(made.service)["denied_clients"] == ()
    assert all(each.symptom is None for each in findings)
    assert sentences(findings, Severity.FAIL, Severity.WARN) == []


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (ingress(pod_selector=labels(app="api")), "takes pods with app=api; shop/a is none"),
        (ingress(namespace_selector=labels(team="web")), "takes namespaces with team=web; shop is none"),
        (ingress(80), "allows TCP 80, not TCP 5432 (80 is the Service's port"),
        (ingress("postgres"), "allows TCP postgres, not TCP 5432 (no container there names a port postgres)"),
        (ingress(5000, end=5400), "allows TCP 5000-5400, not TCP 5432"),
        (
            ingress(ip_block=IPBlock(cidr="10.42.0.0/16", except_=("10.42.1.0/24",))),
            "excepts 10.42.1.0/24, in which 10.42.1.10 lies",
        ),
        (ingress(ip_block=IPBlock(cidr="10.42.2.0/24")), "takes addresses of 10.42.2.0/24 only, not 10.42.1.10"),
    ],
)
def test_a_client_that_is_told_to_dial_the_service_is_told_with_the_rule_that_misses_it(
    policy: NetworkPolicy, says: str
):
    made = shop(DATABASE="postgres://app@db:80/x")
    ask(made.cluster, made.client, made.service, "timeout")

    known, findings = judged(made.cluster, policy, namespaces=(Namespace(metadata=ObjectMeta(name="shop")),))

    assert known.of(made.service)["denied_clients"] == ("shop/a",)
    assert known.of(made.service)["denied_clients_reach"] == "timeout"
    failed = [each for each in findings if each.severity is Severity.FAIL]
    assert len(failed) == 1
    assert says in failed[0].sentence
    assert failed[0].symptom
    assert [flow.source for flow in failed[0].symptom.flows] == [made.client]


@pytest.mark.parametrize(
    "policies",
    [
        (ingress(80), ingress(5432)),  # two policies are a union
        (ingress(5400, end=5500),),
        (ingress("sql"),),
    ],
)
def test_a_client_that_any_policy_allows_is_not_denied(policies: tuple[NetworkPolicy, ...]):
    made = shop(DATABASE="postgres://app@db:80/x")
    ask(made.cluster, made.client, made.service)

    known, findings = judged(made.cluster, *policies)

    assert known.of(made.service)["denied_clients"] == ()
    assert sentences(findings, Severity.FAIL) == []


def test_a_denied_client_that_gets_through_is_no_fault():
    made = shop(DATABASE="postgres://app@db:80/x")
    ask(made.cluster, made.client, made.service)

    _, findings = judged(made.cluster, ingress(80))

    assert sentences(findings, Severity.FAIL) == []


def test_a_service_whose_own_port_is_opened_in_vain_is_closed_to_all():
    made = shop()
    ask(made.cluster, made.other, made.service, "timeout")

    known, findings = judged(made.cluster, ingress(80, namespace_selector=LabelSelector()))

    assert known.of(made.service)["ports_opened_in_vain"] == (
        (
            "shop/db, ingress rule 1, opens TCP 80, the Service's port; policies see the pods' own, 5432, and that one "
            "is open to nobody"
        ),
    )
    assert [each.symptom.flows for each in findings if each.symptom] == [()]


def test_without_anybody_to_enforce_them_policies_deny_nothing():
    made = shop(DATABASE="postgres://app@db:80/x")
    made.cluster.enforces_policy = False
    ask(made.cluster, made.client, made.service, "timeout")

    known, _ = judged(made.cluster, ingress(80))

    assert known.of(made.service)["denied_clients"] == ()
    assert known.of(made.service)["reach_permitted"] == "timeout"


def test_a_denied_client_that_nobody_tried_is_no_proof_and_no_silence():
    made = shop(DATABASE="postgres://app@db:80/x")

    known, findings = judged(made.cluster, ingress(80))

    assert "denied_clients_reach" not in known.of(made.service)
    assert [each.severity for each in findings if each.symptom] == [Severity.WARN]


def test_clients_of_other_namespaces_are_told_of_ones_own_services_only():
    """Whose pods nobody asked about may have their trouble elsewhere."""
    made = shop()
    spec = msgspec.structs.replace(
        made.cluster.pods[made.client].spec,
        containers=(Container(name="m", args=("--db=db.shop:80", "--cache=cache.argo:80")),),
    )
    outsider = made.cluster.pod("argo/argo", "node-1")
    made.cluster.pods[outsider] = msgspec.structs.replace(made.cluster.pods[outsider], spec=spec)
    cache = made.cluster.pod("argo/cache", "node-2", labels={"app": "db"})
    other = add_service(made.cluster, "argo/cache", (cache,), ip="10.43.9.9", port=80)
    closed = NetworkPolicy(metadata=ObjectMeta(name="closed", namespace="argo"), spec=NetworkPolicySpec())

    known, _ = judged(made.cluster, ingress(80), closed)

    assert known.of(made.service)["denied_clients"] == ("argo/argo",)
    assert known.of(other)["denied_clients"] == ()


def test_dns_pods_that_let_nobody_in():
    cluster, a, *_ = two_nodes()
    dns, _ = add_dns(cluster)
    cluster.seen(a, nameservers=(DNS_IP,))
    cluster.test(a, "dns-service", protocol="dns-udp", ip=DNS_IP, port=53, service=dns.name, outcome="timeout")
    closed = NetworkPolicySpec(pod_selector=LabelSelector(), policy_types=("Ingress",))

    known, _ = judged(cluster, NetworkPolicy(metadata=ObjectMeta(name="closed", namespace="kube-system"), spec=closed))

    assert known.of(dns)["denied_clients"] == ("shop/a", "shop/b", "shop/c")
    assert known.of(dns)["denied_clients_by"] == "ingress"
    assert known.of(dns)["denied_clients_reach"] == "timeout"


def egress(*ports: int, **peer: Any) -> NetworkPolicy:
    """What shop/a may dial; names as well."""
    rules = (
        NetworkPolicyEgressRule(
            to=(NetworkPolicyPeer(**peer),) if peer else (),
            ports=tuple(NetworkPolicyPort(port=port) for port in ports),
        ),
        NetworkPolicyEgressRule(ports=(NetworkPolicyPort(port=53, protocol="UDP"),)),
    )
    spec = NetworkPolicySpec(
        pod_selector=LabelSelector(match_labels={"app": "a"}), policy_types=("Egress",), egress=rules
    )
    return NetworkPolicy(metadata=ObjectMeta(name="out", namespace="shop"), spec=spec)


@pytest.mark.parametrize("ip", ["172.30.0.12", "192.0.2.5"])
@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (
            egress(443),
            "allows TCP 443, not TCP 6443 (443 is the Service's port; policies see the endpoints' own, 6443)",
        ),
        (egress(6443, namespace_selector=LabelSelector()), "takes pods only, not "),
        (egress(6443, ip_block=IPBlock(cidr="10.43.0.0/16")), "takes addresses of 10.43.0.0/16 only, not "),
        (egress(443, 6443), ""),
    ],
)
def test_policies_are_held_against_an_endpoint_that_is_no_pod(policy: NetworkPolicy, says: str, ip: str):
    made = shop(API="https://kubernetes.default:443")
    api = add_service(made.cluster, "default/kubernetes", (made.server,), ip=API_IP, port=443, target=6443, selector={})
    behind = made.cluster.slices[-1]
    made.cluster.slices[-1] = msgspec.structs.replace(behind, endpoints=(Endpoint(addresses=(ip,)),))
    pod = made.cluster.pods[made.client]
    made.cluster.pods[made.client] = msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, labels={"app": "a"})
    )
    ask(made.cluster, made.client, api, "timeout" if says else "ok")

    known, _ = judged(made.cluster, policy, namespaces=(Namespace(metadata=ObjectMeta(name="shop")),))

    assert known.of(api)["denied_clients"] == (("shop/a",) if says else ())
    assert says in str(known.of(api)["rules_that_miss"])


@pytest.mark.parametrize(("cni", "denied"), [("calico", ("shop/a",)), ("cilium", ("shop/a",)), ("antrea", ())])
def test_labels_of_a_server_with_its_nodes_network_are_known_to_no_policy(cni: Any, denied: tuple[str, ...]):
    made = shop(DATABASE="postgres://app@db:80/x")
    made.cluster.cni = cni
    pod = made.cluster.pods[made.server]
    made.cluster.pods[made.server] = msgspec.structs.replace(
        pod, spec=msgspec.structs.replace(pod.spec, host_network=True)
    )
    pod = made.cluster.pods[made.client]
    made.cluster.pods[made.client] = msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, labels={"app": "a"})
    )
    ask(made.cluster, made.client, made.service, "timeout")

    known, _ = judged(
        made.cluster,
        egress(5432, pod_selector=labels(app="db")),
        namespaces=(Namespace(metadata=ObjectMeta(name="shop")),),
    )

    assert known.of(made.service)["denied_clients"] == denied
