"""Policies of the DNS pods: what they keep them from, whom they keep out, and what opens no more than is needed."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bot.cluster.objects import (
    ConfigMap,
    CustomObject,
    Endpoint,
    EndpointPort,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ObjectMeta,
)
from bot.domain import facts
from bot.domain.facts import CLUSTER, Subject, Value
from bot.probes import network_policies
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_dns, resolve

RESOLVER = "192.0.2.53"
COREFILE = ".:53 {\n    kubernetes cluster.local\n    forward . /etc/resolv.conf\n}\n"
DNS = facts.service("kube-system", "kube-dns")


def cluster(corefile: str = COREFILE) -> tuple[FakeCluster, Subject, Subject]:
    """shop/a asks kube-dns, whose one pod forwards to a resolver outside; the API server is at 172.30.0.11:6443."""
    fake, a, *_ = two_nodes()
    service, server = add_dns(fake)
    fake.pod_reports["node-1"][f"uid-{server.name.partition('/')[2]}"] = replace(
        fake.pod_reports["node-1"][f"uid-{server.name.partition('/')[2]}"], nameservers=(RESOLVER,)
    )
    api = next(each for each in fake.slices if each.metadata.namespace == "default")
    behind = msgspec.structs.replace(
        api,
        endpoints=(Endpoint(addresses=("172.30.0.11",)),),
        ports=(EndpointPort(name="main", protocol="TCP", port=6443),),
    )
    fake.slices[fake.slices.index(api)] = behind
    fake.snapshot_fields["config_maps"] = (
        ConfigMap(metadata=ObjectMeta(namespace="kube-system", name="coredns"), data={"Corefile": corefile}),
    )
    resolve(fake, a)
    assert service == DNS
    return fake, a, server


def egress(*rules: NetworkPolicyEgressRule, labels: dict[str, str] | None = None) -> NetworkPolicy:
    selector = LabelSelector(match_labels={"k8s-app": "kube-dns"} if labels is None else labels)
    spec = NetworkPolicySpec(pod_selector=selector, policy_types=("Egress",), egress=rules)
    return NetworkPolicy(metadata=ObjectMeta(name="out", namespace="kube-system"), spec=spec)


def ingress(*ports: tuple[str, int]) -> NetworkPolicy:
    rule = NetworkPolicyIngressRule(ports=tuple(NetworkPolicyPort(protocol=of, port=port) for of, port in ports))
    spec = NetworkPolicySpec(
        pod_selector=LabelSelector(match_labels={"k8s-app": "kube-dns"}),
        policy_types=("Ingress",),
        ingress=(rule,) if ports else (),
    )
    return NetworkPolicy(metadata=ObjectMeta(name="in", namespace="kube-system"), spec=spec)


def to(*ports: tuple[str, int], block: str = "") -> NetworkPolicyEgressRule:
    peers = (NetworkPolicyPeer(ip_block=IPBlock(cidr=block)),) if block else ()
    return NetworkPolicyEgressRule(
        to=peers, ports=tuple(NetworkPolicyPort(protocol=of, port=port) for of, port in ports)
    )


def known(fake: FakeCluster, *policies: NetworkPolicy, about: Subject = CLUSTER, **snapshot: Any) -> dict[str, Value]:
    fake.snapshot_fields |= {"network_policies": policies, **snapshot}
    return dict(facts_of(fake.evidence(), network_policies.PROBE).of(about))


@pytest.mark.parametrize(
    ("policy", "denied"),
    [
        pytest.param(egress(), "both", id="nothing-is-allowed"),
        pytest.param(egress(labels={}), "both", id="nothing-is-allowed-in-the-namespace"),
        pytest.param(egress(to(("TCP", 6443))), "resolvers", id="only-the-api"),
        pytest.param(egress(to(("TCP", 443), ("TCP", 53))), "both", id="the-services-port-and-tcp-alone"),
        pytest.param(egress(to(("UDP", 53))), "api", id="only-names"),
        pytest.param(egress(to(block="172.30.0.0/24")), "resolvers", id="only-the-nodes"),
        pytest.param(egress(to(("UDP", 53), ("TCP", 6443))), "none", id="both"),
        pytest.param(egress(labels={"app": "other"}), "none", id="of-other-pods"),
    ],
)
def test_what_a_policy_keeps_the_dns_pods_from(policy: NetworkPolicy, denied: str):
    fake, *_ = cluster()

    assert known(fake, policy)["dns_denied_to"] == denied


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("forward . 198.51.100.1 198.51.100.2:5353", ("198.51.100.1:53/UDP", "198.51.100.2:5353/UDP")),
        ("forward . tls://198.51.100.1 {", ("198.51.100.1:853/TCP",)),
        ("forward . /etc/resolv.conf {", (f"{RESOLVER}:53/UDP",)),
    ],
)
def test_the_resolvers_are_those_that_the_corefile_names(line: str, end: tuple[str, ...]):
    fake, *_ = cluster(COREFILE.replace("forward . /etc/resolv.conf", line))

    assert known(fake, egress(to(("TCP", 6443))))["dns_denied_ends"] == end


def test_resolvers_that_were_not_read_are_not_known_to_be_open():
    fake, *_ = cluster(corefile="")

    assert known(fake, egress(to(("TCP", 6443))))["dns_denied_to"] == "unknown"


def test_the_nodes_answers_are_the_contrast():
    fake, *_ = cluster()
    asked: dict[str, Any] = {"ip": RESOLVER, "port": 53, "protocol": "dns-udp", "name": "example.com"}
    fake.test(facts.node("node-1"), "dns-own", **asked, rcode="NOERROR", answers=("198.51.100.10",))

    assert known(fake, egress())["dns_resolvers_from_nodes"] == "ok"


def test_what_opens_it_opens_no_more():
    fake, *_ = cluster()

    manifest = json.loads(str(known(fake, egress())["dns_egress_opening"]))

    assert manifest["metadata"] == {"name": "allow-dns-servers-out", "namespace": "kube-system"}
    assert manifest["spec"] == {
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        "policyTypes": ["Egress"],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "172.30.0.11/32"}}], "ports": [{"protocol": "TCP", "port": 6443}]},
            {
                "to": [{"ipBlock": {"cidr": f"{RESOLVER}/32"}}],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            },
        ],
    }


def test_what_opens_it_is_enough():
    fake, *_ = cluster()
    added = NetworkPolicy(
        metadata=ObjectMeta(name="added", namespace="kube-system"),
        spec=msgspec.convert(json.loads(str(known(fake, egress())["dns_egress_opening"]))["spec"], NetworkPolicySpec),
    )

    assert known(fake, egress(), added)["dns_denied_to"] == "none"


def test_a_calico_policy_that_denies_is_not_opened_by_a_network_policy():
    fake, *_ = cluster()
    spec = {"selector": "k8s-app == 'kube-dns'", "types": ["Egress"], "egress": [{"action": "Deny"}]}
    made = CustomObject(metadata=ObjectMeta(name="lock"), kind="GlobalNetworkPolicy", spec=spec)

    found = known(fake, custom_objects={"globalnetworkpolicies": (made,)})

    assert (found["dns_denied_to"], found["dns_egress_opening"]) == ("both", "")
    assert found["dns_denied_rules"] == ("GlobalNetworkPolicy lock denies it",)


def test_clients_are_kept_out_where_only_tcp_is_let_in():
    fake, a, _ = cluster()

    found = known(fake, ingress(("TCP", 53)), about=a)
    opening = json.loads(str(known(fake, ingress(("TCP", 53)), about=DNS)["dns_ingress_opening"]))

    assert found["dns_pods_keep_it_out"] is True
    assert opening["spec"]["ingress"] == [
        {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}
    ]


def test_clients_that_may_ask_over_udp_alone_are_not_kept_out():
    """Few resolvers ever ask over TCP."""
    fake, a, _ = cluster()

    assert known(fake, ingress(("UDP", 53)), about=a)["dns_pods_keep_it_out"] is False
    assert known(fake, ingress(("UDP", 53)), about=DNS)["denied_clients"] == ()
    assert known(fake, ingress(("UDP", 53)), about=DNS)["dns_ingress_opening"] == ""
