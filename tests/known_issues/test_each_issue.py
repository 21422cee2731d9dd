"""Each of the seventy: evidence that brings it up, and evidence that takes it away again.

"Matches" where no probe's sight is lacking; "possible" where a person has to check something that no probe sees. What
rules it out is one change of the same evidence: its cause goes, or its surroundings are others.
"""

# ruff: noqa: E501
# Tables of whole facts.

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from bot.causes.differential import differentiate
from bot.domain.facts import FactTable
from bot.domain.finding import Symptom
from bot.domain.report import KnownIssueReport
from bot.known_issues.match import match
from tests.causes.world import changed, healthy, subject, symptom, table
from tests.known_issues.test_match import BY_NAME, causes, issues

Changes = Mapping[str, Mapping[str, object]]
UNEXPLAINED = "service-unreachable service shop/s: shop/a>shop/b"
ISOLATED = "pod-isolated pod shop/a"

FIXTURES: Mapping[str, tuple[str, Changes, Changes]] = {
    # Issue: the fixture of a cause, what is special about its surroundings, what takes the issue away ({}: the fixture's own).
    "aws-vpc-cni-2103": ("pod-gateway-mac-static", {"cluster": {"cni": "aws-vpc"}, "pod shop/a": {"gateway_neigh": "PERMANENT"}}, {"cluster": {"cni": "calico"}}),
    "calico-10648": ("pod-route-missing", {"cluster": {"cni_version": "3.30.2"}}, {"cluster": {"cni_version": "3.29.4"}}),
    "calico-12806": ("pod-default-route-other-device", {}, {}),
    "calico-1709": ("pmtu-black-hole", {}, {"pair node-1>node-2": {"mtu": "ok"}, "pair node-2>node-1": {"mtu": "ok"}}),
    "calico-2322": ("iptables-backends-mixed", {}, {}),
    "calico-3145": ("overlay-checksum-offload", {}, {}),
    "calico-3270": ("node-default-route-missing", {}, {"node node-1": {"gateway_silent": "some"}}),
    "calico-3541": ("wrong-node-address", {"cluster": {"cni": "calico"}}, {"cluster": {"cni": "flannel"}}),
    "calico-3543": ("two-cnis-at-work", {}, {}),
    "calico-3940": ("duplicate-pod-ip", {}, {}),
    "calico-4662": ("policy-rule-captures-pods", {}, {"node node-1": {"foreign_rule": False}}),
    "calico-4727": ("overlay-checksum-offload", {}, {}),
    "calico-4779": ("pod-route-missing", {}, {"pod shop/a": {"route_on_node": "own-link"}}),
    "calico-5100": ("foreign-firewall-drops", {"cluster": {"cni": "cilium"}, "node node-1": {"leftovers": ["cali-FORWARD"]}}, {"node node-1": {"leftovers": [], "drops_hit": []}}),
    "calico-683": ("pool-outside-cluster-cidr", {}, {"cluster": {"pool_outside_cluster_cidr": False}}),
    "calico-8025": ("kube-proxy-nftables-unsupported", {}, {"cluster": {"cni_version": "3.30.0"}}),
    "calico-8689": ("calico-gateway-late-after-start", {}, {"pod shop/a": {"is_young": False, "age_s": 600.0}}),
    "calico-8739": ("calico-bgp-not-established", {}, {"cluster": {"encapsulation": "vxlan"}}),
    "canal-30": ("pod-route-missing-strict-rp-filter", {"pod shop/a": {"host_proxy_arp": False}}, {"pod shop/a": {"host_proxy_arp": True}}),
    "cilium-10645": ("cilium-rp-filter-on-lxc", {}, {}),
    "cilium-18706": ("route-to-remote-block-missing", {}, {}),
    "cilium-20679": ("cni-cannot-reach-api", {"cluster": {"cni": "cilium", "proxy": "ebpf"}}, {"cluster": {"proxy": "iptables"}}),
    "cilium-31273": ("two-cnis-at-work", {"node node-1": {"conf_files": 2}}, {"node node-1": {"conf_files": 1}}),
    "cilium-37919": ("pmtu-black-hole", {"cluster": {"cni": "cilium", "cni_version": "1.19.2", "encapsulation": "wireguard"}}, {"cluster": {"encapsulation": "vxlan"}}),
    "cilium-44464": ("cni-agent-down", {"cluster": {"cni": "cilium", "cni_version": "1.19.4", "proxy": "ipvs"}}, {"cluster": {"proxy": "iptables"}}),
    "cilium-8990": ("cni-agent-down", {"cluster": {"cni": "cilium"}, "node node-1": {"leftovers": ["flannel.1"]}}, {"node node-1": {"leftovers": []}}),
    "cni-plugin-283": ("calico-forwarding-off", {}, {}),
    "coredns-2087": ("dns-loop", {}, {"cluster": {"dns_crashing": False}}),
    "felix-164": ("calico-proxy-delay", {}, {}),
    "felix-2082": ("cni-agent-down", {"cluster": {"cni_version": "3.8.0"}, "node node-1": {"all_rp_filter": 2}}, {"node node-1": {"all_rp_filter": 1}}),
    "felix-2421": ("pod-route-missing", {}, {"pod shop/a": {"route_on_node": "own-link"}}),
    "flannel-1155": ("vtep-mac-mismatch", {}, {}),
    "flannel-1502": ("cni-agent-down", {"node node-1": {"overlay_device": "missing"}}, {"node node-1": {"overlay_device": "up"}}),
    "flannel-2388": ("overlay-blocked-by-underlay", {f"node node-{n}": {"overlay_port": 8472} for n in (1, 2)}, {f"node node-{n}": {"overlay_port": 4789} for n in (1, 2)}),
    "flannel-872": ("forward-policy-drop", {}, {"node node-1": {"forward_policy": "accept"}}),
    "k3s-1131": ("wrong-node-address", {}, {}),
    "k3s-2935": ("host-firewall-rejects", {}, {"node node-1": {"host_firewall": "none"}}),
    "k3s-5885": ("ipam-leak", {}, {"cluster": {"cni": "calico"}}),
    "k3s-7244": ("foreign-firewall-drops", {"node node-1": {"leftovers": ["KUBE-ROUTER-FORWARD"]}}, {"cluster": {"cni": "kube-router"}}),
    "k8s-112477": ("iptables-backends-mixed", {}, {"node node-1": {"iptables_backends": "legacy"}}),
    "k8s-125467": ("dns-udp-lost", {}, {}),
    "k8s-136786": ("service-rules-missing", {"cluster": {"proxy": "nftables"}}, {"cluster": {"proxy": "ipvs"}}),
    "k8s-56903": ("conntrack-insert-race", {}, {}),
    "k8s-71261": ("conntrack-table-full", {}, {}),
    "kops-10019": ("fabric-drops-pod-addresses", {}, {"pair node-1>node-2": {"same_subnet": False}, "pair node-2>node-1": {"same_subnet": False}}),
    "kops-17832": ("fabric-drops-pod-addresses", {}, {}),
    "kops-2538": ("pod-route-missing", {"cluster": {"cni_version": "2.1.1"}}, {"cluster": {"cni_version": "2.1.4"}}),
    "kops-4533": ("neighbour-table-overflow", {}, {}),
    "kubespray-2877": ("fabric-drops-pod-addresses", {}, {"cluster": {"encapsulation": "vxlan"}}),
    "kubespray-7037": ("host-veth-down", {}, {"pod shop/a": {"host_link": "up", "route_on_node": "own-link"}}),
    "plugins-123": ("service-stale-backend", {}, {"service shop/s": {"stale_backends": []}}),
    "plugins-683": ("service-stale-backend", {}, {"service shop/s": {"stale_backends": []}}),
    "rke2-7438": ("service-rules-missing", {"node node-1": {"kernel": "5.15.0-127-generic", "kube_proxy": "missing"}, "node node-2": {"kernel": "5.15.0-127-generic"}}, {"node node-1": {"kernel": "5.15.0-130-generic"}, "node node-2": {"kernel": "5.15.0-130-generic"}}),
    "seldon-core-6434": ("network-policy-denies", {}, {}),
    "siderolabs-pkgs-951": ("service-rules-missing", {"cluster": {"proxy": "nftables"}}, {"cluster": {"proxy": "iptables"}}),
    "typhoon-11": ("overlay-blocked-by-underlay", {"pair node-1>node-2": {"tunnel": "ipip"}, "pair node-2>node-1": {"tunnel": "ipip"}}, {"pair node-1>node-2": {"tunnel": "vxlan"}, "pair node-2>node-1": {"tunnel": "vxlan"}}),
}  # fmt: skip

CLAIMS: Mapping[str, tuple[str, Changes, Changes]] = {
    # Issue without a cause: a symptom that nothing explains, what is seen, what takes the issue away.
    "calico-11099": (ISOLATED, {"cluster": {"cni_version": "3.30.1"}, "pod shop/a": {"node_reaches_pod": "timeout"}}, {"cluster": {"cni_version": "3.30.4"}}),
    "calico-12920": (UNEXPLAINED, {"node node-1": {"leftovers": ["FLANNEL-POSTRTG"]}}, {"node node-1": {"leftovers": []}}),
    "calico-4186": ("gateway-silent pod shop/a", {"pod shop/a": {"gateway_arp": "silent"}, "node node-1": {"gateway_silent": "some"}}, {"node node-1": {"gateway_silent": "all"}}),
    "calico-4679": (UNEXPLAINED, {"service shop/s": {"reach": "timeout"}}, {"service shop/s": {"rules": "partial"}}),
    "calico-4915": (ISOLATED, {"pod shop/a": {"reach_own_node": "timeout"}}, {"pod shop/a": {"gateway_arp": "silent"}}),
    "calico-9706": (ISOLATED, {"pod shop/a": {"reach_own_node": "timeout", "is_young": True, "age_s": 9.0}}, {"pod shop/a": {"is_young": False, "age_s": 300.0}}),
    "cilium-13040": ("dns-failing cluster", {"cluster": {"cni": "cilium", "proxy": "ebpf", "dns_service_state": "timeout"}}, {"cluster": {"proxy": "iptables"}}),
    "cilium-33144": ("dns-failing cluster", {"cluster": {"cni": "cilium", "hidden_policies": ["CiliumNetworkPolicy shop/fqdn"]}}, {"cluster": {"hidden_policies": []}}),
    "cilium-43080": ("dns-failing cluster", {"cluster": {"cni": "cilium", "cni_version": "1.18.1"}}, {"cluster": {"cni_version": "1.18.5"}}),
    "k3s-6047": (UNEXPLAINED, {"cluster": {"cni": "flannel", "cni_version": "", "distribution": "k3s"}, "node node-1": {"pods_reach_services": "timeout"}}, {"cluster": {"distribution": "kubeadm"}}),
    "k8s-81775": (UNEXPLAINED, {"cluster": {"proxy": "ipvs"}, "service shop/s": {"reach": "mixed"}}, {"cluster": {"proxy": "iptables"}}),
    "multus-972": ("pod-without-network pod shop/a", {"cluster": {"cni": "cilium"}, "pod shop/a": {"extra_networks": True}}, {"pod shop/a": {"extra_networks": False}}),
    "plugins-858": (ISOLATED, {"cluster": {"cni": "flannel"}, "pod shop/a": {"is_young": True, "age_s": 30.0, "gateway_kind": "bridge", "node_reaches_pod": "timeout"}}, {"pod shop/a": {"is_young": False, "age_s": 300.0}}),
    "seldon-core-4699": (UNEXPLAINED, {"service shop/s": {"reach": "mixed"}}, {"service shop/s": {"reach": "timeout"}}),
}  # fmt: skip


@cache
def known() -> Mapping[str, Any]:
    return {issue.id: issue for issue in issues()}


def found(issue: str, facts: FactTable, symptoms: tuple[Symptom, ...]) -> KnownIssueReport | None:
    every = match(issues(), facts, differentiate(causes(), facts, symptoms))
    return next((one for one in every if one.id == issue), None)


def evidence(issue: str) -> tuple[FactTable, FactTable, tuple[Symptom, ...]]:
    """The facts that bring an issue up, those that take it away, and the symptoms of both."""
    if issue in CLAIMS:
        claim, special, away = CLAIMS[issue]
        values, symptoms = changed(healthy(), special), (symptom(claim),)
        return table(values), table(changed(values, away)), symptoms
    name, special, away = FIXTURES[issue]
    fixture = BY_NAME[name]
    values = changed(fixture.values, special)
    return table(values), table(changed(values, away)) if away else fixture.cleared, fixture.symptoms


def test_the_tables_cover_every_issue_once() -> None:
    assert sorted([*FIXTURES, *CLAIMS]) == sorted(known())


@pytest.mark.parametrize("issue", sorted(known()))
def test_its_evidence_brings_it_up(issue: str) -> None:
    facts, _, symptoms = evidence(issue)

    one = found(issue, facts, symptoms)

    assert one is not None, "it does not come up"
    assert one.match == ("possible" if known()[issue].check else "matches"), one.why
    assert one.why


@pytest.mark.parametrize("issue", sorted(known()))
def test_other_evidence_takes_it_away(issue: str) -> None:
    _, away, symptoms = evidence(issue)

    one = found(issue, away, symptoms)

    assert one is None or one.match == "ruled_out", one.why


@pytest.mark.parametrize("issue", sorted(known()))
def test_a_healthy_cluster_that_shows_the_same_symptoms_does_not_match(issue: str) -> None:
    """The title of an issue and its symptoms are not enough: without its evidence nothing matches."""
    _, _, symptoms = evidence(issue)
    one = found(issue, table(healthy()), symptoms)

    assert one is None or one.match != "matches", one.why


def test_the_founding_fault_brings_up_no_network_manager() -> None:
    """kubespray#7037 is about interfaces that are reset, not about a sysctl that is off."""
    for name in ("calico-proxy-arp-off", "calico-proxy-arp-off-everywhere"):
        fixture = BY_NAME[name]
        assert found("kubespray-7037", fixture.facts, fixture.symptoms) is None


def test_every_subject_of_the_tables_exists() -> None:
    """A misspelt subject would change nothing, and a test would prove nothing."""
    there = set(healthy())
    for _, special, away in (*FIXTURES.values(), *CLAIMS.values()):
        assert {subject(name) for name in (*special, *away)} <= there
