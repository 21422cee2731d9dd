"""A small healthy cluster as facts, and faults as changes to it.

Three nodes; pods shop/a and shop/c on node-1, shop/b on node-2; Service shop/s in front of b and c; DNS pods on node-1
and node-3. Every fact of every subject has the value that a healthy cluster shows, so that a fixture states only what
its fault changes.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml

from bot.domain import facts as subjects
from bot.domain.facts import CLUSTER, FactTable, Flow, Relations, Subject, SubjectKind, Value
from bot.domain.finding import Symptom, SymptomKind

FIXTURES = Path(__file__).parent / "fixtures"
NODES = ("node-1", "node-2", "node-3")
PODS = {
    "shop/a": "node-1",
    "shop/b": "node-2",
    "shop/c": "node-1",
    "kube-system/dns-1": "node-1",
    "kube-system/dns-3": "node-3",
}
SERVICES = {"shop/s": ("shop/b", "shop/c"), "kube-system/kube-dns": ("kube-system/dns-1", "kube-system/dns-3")}

POD: dict[str, Value] = {
    "phase": "Running", "is_ready": True, "has_been_ready": True, "has_answered_probe": True,
    "age_s": 4000.0, "is_young": False, "has_ip": True,
    "in_scope": True, "is_terminating": False, "host_network": False, "restarts": 0, "waiting": "",
    "unscheduled": "no", "unscheduled_message": "", "untolerated_taints": (), "untolerated_kind": "none",
    "image_error": "none", "image_message": "",
    "sandbox_error": "none", "sandbox_message": "", "sandbox_plugin": "", "sandbox_plugin_owner": "unknown",
    "sandbox_conf": "/etc/cni/net.d", "sandbox_kubeconfig": "/etc/cni/net.d/calico-kubeconfig",
    "duplicate_ip": False, "ip_in_pool": True, "extra_networks": False,
    "has_sidecar": False, "bandwidth_limited": False, "netns_found": True, "eth0": "up", "address_matches": True,
    "eth0_routes": True,
    "mtu_bytes": 1450, "host_link": "up", "host_link_kind": "calico", "host_mac_is_ee": True, "host_has_arp": True,
    "has_arp": True,
    "addresses_failing": (), "addresses_denied": (), "addresses_denying": (), "addresses_dead": (),
    "addresses_lost_here": (), "addresses_lost_flows": (),
    "host_ports_unserved": (), "host_ports_served_at": (), "node_ports_unknown": (),
    "address_is_missed": False,
    "ports_missing": (), "ports_missing_services": (), "ports_missing_sure": False,
    "ip": "10.42.1.7", "recreate": "kubectl -n shop delete pod a", "ebpf_known": True, "ebpf_lost_from": (),
    "host_master": "", "bridge_port": "none", "bridge_isolated": False, "bridge_hairpin": False, "bridge_muted": False,
    "static_entries_wrong": (),
    "host_otherhost_delta": 0, "host_rx_delta": 40, "host_tx_delta": 40, "firewall_drops": 0,
    "firewall_rules_match": (), "redirects_unserved": (), "arp_filters": (), "firewall_rules_perhaps": (),
    "firewall_present": False, "ipv6_dad_failed": False, "gateway_ip": "169.254.1.1", "gateway_kind": "link-local",
    "gateway_neigh": "REACHABLE", "gateway_mac_matches": True, "gateway_macs": 1, "gateway_arp": "answered",
    "gateway_requests": 6, "gateway_answers": 6, "gateway_arp_max_ms": 0.2, "gateway_arp_spread_ms": 0.1,
    "gateway_oracle": "ok", "gateway_oracle_dev": "eth0", "own_dev": "cali0", "host_proxy_arp": True,
    "host_forwarding": True, "host_rp_filter": 0, "host_proxy_delay": 0, "host_arp_ignore": 0, "reach_own_node": "ok",
    "node_reaches_pod": "ok", "default_route": "gateway", "route_on_node": "own-link", "refusing_route": "",
    "refusing_route_deletion": "",
    "route_dev": "cali0",
    "reach_local_pods": "ok", "reach_remote_pods": "ok", "dns_service": "ok", "dns_service_tcp": "ok",
    "dns_pods": "ok", "dns_outside": "ok", "nameserver_matches": True,
    "node_local_dns": "not-asked", "node_local_dns_why": "",
    "nameservers": ("10.43.0.10",), "search_domains": ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"),
    "ndots": 5,
    "diverted_fails": False, "stray_routes_fail": False,
    "is_dns_server": False, "dns_pods_keep_it_out": False,
    "names_not_found": (), "names_missing": (), "flows_to_former_endpoints": (),
    "former_endpoints_are_sent_to": False, "kept_flow_deletions": (), "names_missing_why": (),
    "first_nameserver": "ok", "nameservers_silent": (), "nameservers_dead": (), "names_needed": (),
    "lookup_delay_s": 0.0,
    "full_name": "ok", "short_name": "ok", "wrong_names": (), "aaaa": "ok", "uses_node_resolver": False,
    "skips_cluster_dns": False,
    "cluster_names_needed": (),
    "policies_ingress": 0, "policies_egress": 0,
    "policy_names": (), "egress_dns_denied": False, "ingress_denied_from_scope": False, "policy_blocks_local": False,
    "policy_blocks_remote": False, "reach_outside": "ok", "endpoint_reach": "ok", "endpoint_dead_ports": (),
    "listens": "target-port",
    "diverted": False, "diverting_rules": (), "has_stray_route": False, "stray_routes": (),
    "taken_away": False, "taken_away_by": (), "taken_wholly": False,
    "queue": "none", "queues": (), "filter": "none", "filters": (),
    "host_queue": "none", "host_queues": (), "host_filter": "none", "host_filters": (),
    "denied_nameservers": (), "denied_nameserver_rules": (), "needs_names": True,
    "hidden_policies": (), "hidden_denies": "no", "hidden_denying": (), "kubelet_denied_by": (),
    "lo": "up", "lo_lacks": (), "self_unreached": (), "self_reached": ("127.0.0.1:8080",), "self_broken": (),
    "lo_rules": (), "localhost_missing": "", "ttl": 64, "hop_limit": 64, "ttl_exceeded": (),
    "claims": (), "claims_programmed": (), "claimant_namespace": "", "claimant_name": "", "claimed_by": "",
    "hosts_lines_wrong": (), "hosts_lines_silent": (), "local_ports": "free", "local_port_range": "32768 to 60999",
}  # fmt: skip
NODE: dict[str, Value] = {
    "agent_errors": (), "agent_log": (), "sources_rewritten": (), "traced_dns": "not-followed",
    "traced_programs": (), "traced_changers": (),
    "pods_without_network": 0, "pods_running": 12, "gateway_silent_pods": 0, "gateway_checked_pods": 2,
    "gateway_silent": "none", "ip_forward": True, "all_proxy_arp": False, "all_rp_filter": 0, "arp_filtered": False,
    "arp_filters": (),
    "gateway_address_local": False, "inaddrerrors_delta": 0, "rpfilter_delta": 0, "forwarding_off_links": 0,
    "proxy_arp_off_links": 0, "pod_links": 2, "default_route": "present", "zeroconf_route": False,
    "foreign_rule": False, "foreign_rules": (), "outside_rules": (), "pod_routes_missing": 0, "inno_routes_delta": 0,
    "service_route": True, "overlapping_route": False, "uplink_rp_filter": 0, "bridge_nf_call": True,
    "sysctl_outliers": (), "sysctl_files": (), "uplink": "up", "uplink_neigh_failed": False,
    "link_without_arp": "", "uplink_ignores_arp": False, "bridge_ignores_arp": "", "arp_answering": (),
    "gateways_absent": (), "gateway_restoring": (),
    "reach_nodes": "ok", "reached_from_nodes": "ok", "is_ready": True, "kubelet_reports": True,
    "devices_not_forwarding": (), "device_forwarding_on": (), "device_forwarding_off": (), "strict_devices": (),
    "not_ready_reason": "", "unschedulable": False, "cidr_overlap": False, "local_pods_dead": False,
    "remote_dead_to": "none", "remote_dead_from": "none", "overlay_device": "up", "overlay_name": "vxlan.calico",
    "overlay_port": 4789, "overlay_vni": 4096, "overlay_mac_matches": True, "overlay_mtu_bytes": 1450,
    "overlay_is_external": False, "ebpf_maps": True,
    "ebpf_drops": (), "ebpf_detached": (), "ebpf_overlay_detached": False,
    "ebpf_socket_lb_detached": False, "cni_agent_silent": False, "ebpf_strange_tunnel_ends": (),
    "declared_ip_matches": True, "noports_delta": 0, "dest_unreach_delta": 0, "udp_in_csum_delta": 0,
    "service_rules": "present", "kube_proxy": "running", "reach_services": "ok", "pods_reach_services": "ok",
    "conntrack_ratio": 0.1, "resolver": "ok",
    "conntrack_drop_delta": 0, "conntrack_insert_failed_delta": 0, "dns_state": "ok",
    "uplink_mtu_bytes": 1500, "pod_mtu_bytes": 1450, "bridge_mtu_bytes": 1450, "bridge_name": "cni0",
    "bridge_is_narrow": False,
    "fragfails_delta": 0, "node_mtu": "ok", "neighbour_ratio": 0.05, "neighbour_refusals": 0,
    "forward_policy": "accept", "host_firewall": "none", "iptables_backends": "nft", "drop_rules": 3, "drops_hit": (),
    "rejects_hit": (), "sends_prohibited": False, "policy_drops_hit": False, "policy_drops_allowed": (),
    "policy_drops_ports": (), "policy_ranges_cut": (),
    "foreign_drops_hit": False, "foreign_rules_match": (), "foreign_rules_named": (), "foreign_rules_perhaps": (),
    "tunnel_rules_match": (), "forward_policy_takes": False, "raw_rpfilter_hit": False,
    "rewriting_rules": (), "rewriting_rules_perhaps": (), "routing_rules_lost": (),
    "uplink_name": "eth0", "kubelet_unit": "kubelet", "gateway_address_dev": "lo",
    "cni_agent_log": "kubectl -n kube-system logs cni-1",
    "cni_agent_restart": "kubectl -n kube-system delete pod cni-1",
    "kube_proxy_restart": "kubectl -n kube-system delete pod kube-proxy-1",
    "uptime_s": 90000.0, "rebooted_recently": False, "cni_agent": "ready", "cni_agent_restarts": 0, "conf_files": 1,
    "cni_conf": "present", "conf_broken": (),
    "conf_cnis": ("calico",), "leftovers": (), "kernel": "6.8.0-40-generic", "cni0": "none", "has_pod_cidr": True,
    "reach_outside": "ok", "pods_reach_outside": "ok", "pods_reach_beyond": "ok", "egress_nat": "present",
    "ipsec_policies": (), "ipsec_refused": 0,
    "queue": "none", "queues": (), "filter": "none", "filters": (),
    "foreign_addresses_claimed": (), "foreign_addresses_removal": (),
    "holds_foreign_address": False, "foreign_addresses": (), "has_shared_mac": False, "shared_macs": (),
    "route_legs_dead": (), "route_leg_repairs": (), "route_legs_idle": (),
    "router_entries_wrong": (), "foreign_rule_deletions": (), "rewriting_rule_deletions": (),
    "arp_filter_deletions": (), "ttl": 64, "ttl_exceeded": (),
    "router_entry_deletions": (), "network_unavailable": False, "bad_conditions": (), "ebpf_host_detached": False,
}  # fmt: skip
PAIR: dict[str, Value] = {
    "node_ping": "ok", "static_neighbours_wrong": (),
    "same_subnet": True, "pod_ping": "ok", "pod_ping_tcp": "ok", "node_to_pod": "ok",
    "reverse_pod_ping": "ok", "route_to_block": "present", "return_route": "present",
    "fdb": "ok", "fdb_entry": "66:02 dst 172.30.0.12", "fdb_entry_deletions": (),
    "vtep_neigh": "ok",
    "vni_matches": True, "port_matches": True, "dst_otherhost_delta": 0, "dst_overlay_rx_delta": 20,
    "src_overlay_tx_delta": 20, "dst_noports_delta": 0, "tunnel": "vxlan", "overlay_reach": "ok", "mtu": "ok",
    "largest_ok_bytes": 1450, "node_mtu": "ok", "mtu_differs": False, "mtu_uneven": False, "address_held": False,
    "diverted": False, "diverting_rules": (), "traced_loss": "not-followed", "traced_share": "", "node_loss": "",
}  # fmt: skip
SERVICE: dict[str, Value] = {
    "claims": (), "claims_programmed": (), "claimant_namespace": "", "claimant_name": "", "claimed_by": "",
    "in_scope": True, "is_dns": False, "dns_ingress_opening": "", "policies_ingress": 0, "external_local": False,
    "outside_failing": (), "outside_flows": (), "outside_nodes_without": (),
    "slices_astray": (), "scaled_deployment": "",
    "ports_misnamed": (), "outside_left_out": (), "awaits_itself": (), "host_clients_left_out": (),
    "host_clients_policies": (),
    "host_clients_flows": (), "is_used": True, "host_clients_reach": "ok", "host_clients_failing": (),
    "host_clients_failing_flows": (),
    "has_selector": True, "selector": "app=s",
    "is_headless": False, "selected_pods": 2,
    "unready_selected": 0, "terminating_selected": 0, "family_served": True, "publishes_unready": (),
    "similar_pods": 0, "endpoints": 2, "ready_endpoints": 2, "scaled_to_zero": False,
    "ports_unserved": (), "endpoints_outdated": (),
    "port_name_ok": True, "target_port_declared": True, "local_policy": False, "nodes_without_local": (),
    "hints_empty_zone": False, "reach": "ok", "reach_permitted": "ok", "reach_from_nodes": "ok",
    "endpoint_reach": "ok", "endpoint_reach_from_own_node": "ok", "dead_endpoints": (), "dead_own": (),
    "dead_addresses": (), "dead_told": (), "failing_ports": (), "workloads": ("Deployment s",), "strangers": (),
    "stranger_ports": (), "narrower_labels": (), "failing_source_nodes": (),
    "fails_from": "none", "rules": "present", "rules_missing_nodes": (), "stale_backends": (), "has_reject": False,
    "listens": "target-port", "sockets_decide": False, "listening_ports": ("9004",),
    "backlog_overflow": False, "hairpin_fails": False, "hairpin_off": False, "crowd_limits": (),
    "same_node_only_fails": False, "denied_by": "none", "denied_sources": (), "denying_policies": (),
    "denied_clients": (), "denied_clients_by": "none", "denied_clients_why": (), "denied_clients_rules": (),
    "denied_clients_flows": (), "denied_clients_hidden": (), "ports_opened_in_vain": (), "rules_that_miss": (),
}  # fmt: skip
CLUSTER_FACTS: dict[str, Value] = {
    "address_claims": (), "claims": (), "claims_programmed": (), "claimant_namespace": "", "claimant_name": "",
    "claimed_by": "",
    "dns_zone": "cluster.local", "searched_zones": ("cluster.local",),
    "dns_ready_pods": 2, "dns_pods": 2, "dns_service_ip": "10.43.0.10", "dns_service_exists": True,
    "dns_service_state": "ok", "dns_pods_state": "ok", "dns_outside_state": "ok", "dns_crashing": False,
    "dns_unscheduled": "no", "dns_unscheduled_message": "", "dns_untolerated_kind": "none", "dns_waiting": "",
    "dns_image_error": "none", "dns_image_message": "",
    "dns_denied_to": "none", "dns_denied_pods": (), "dns_denied_ends": (), "dns_denied_rules": (),
    "dns_egress_opening": "", "has_node_local_dns": False, "masquerades_all": False,
    "enforces_policy": True, "denied_but_passed": (), "hidden_policies": (), "policies_selecting_nothing": (),
    "cni": "calico", "cni_version": "3.28.2", "distribution": "kubeadm", "installed_by": "manifest",
    "encapsulation": "vxlan",
    "kubernetes_version": "v1.33.1", "pod_ranges": ("10.42.0.0/16",), "proxy": "iptables",
    "pool_outside_cluster_cidr": False, "pools_enabled": 1,
    "pods_two_cidrs": False, "is_without_cni": False, "pools_without_nat": (), "only_nodes_reach_outside": False,
}  # fmt: skip
BRIDGE_POD: dict[str, Value] = {
    "gateway_ip": "10.42.0.1", "gateway_kind": "bridge", "host_link_kind": "bridge-port", "host_master": "cni0",
    "host_mac_is_ee": False, "bridge_port": "forwarding", "own_dev": "veth0", "route_on_node": "bridge",
    "route_dev": "cni0", "host_proxy_arp": False,
}  # fmt: skip
BRIDGE_NODE: dict[str, Value] = {
    "cni0": "up", "cni0_address_matches": True, "overlay_name": "flannel.1", "overlay_port": 8472, "overlay_vni": 1,
    "proxy_arp_off_links": 2, "conf_cnis": ("flannel",), "cni_agent": "none", "kube_proxy": "in-process",
}  # fmt: skip
FLAVOURS: Mapping[str, tuple[dict[str, Value], dict[str, Value], dict[str, Value]]] = {
    "calico": ({}, {}, {}),
    "flannel": (BRIDGE_POD, BRIDGE_NODE, {"cni": "flannel", "cni_version": "", "distribution": "k3s"}),
    "cilium": (
        {"gateway_kind": "node", "gateway_ip": "10.42.0.200", "host_link_kind": "lxc", "own_dev": "lxc0",
         "host_mac_is_ee": False, "host_proxy_arp": False, "route_dev": "lxc0"},
        {"overlay_name": "cilium_vxlan", "overlay_port": 8472, "proxy_arp_off_links": 2, "kube_proxy": "replaced"},
        {"cni": "cilium", "cni_version": "1.18.2", "proxy": "ebpf"},
    ),
}  # fmt: skip

Facts = dict[Subject, dict[str, Value]]


def subject(text: str) -> Subject:
    """The subject that a fixture names: "pod shop/a", "pair node-1>node-2", "cluster"."""
    kind, _, name = text.partition(" ")
    return Subject(SubjectKind(kind), name)


def relations() -> Relations:
    return Relations(
        node_of_pod={subject(f"pod {pod}"): subjects.node(node) for pod, node in PODS.items()},
        pods_of_service={
            subject(f"service {name}"): tuple(subject(f"pod {pod}") for pod in pods) for name, pods in SERVICES.items()
        },
    )


def healthy(flavour: str = "calico") -> Facts:
    """Every fact of a healthy cluster."""
    pod, node, cluster = FLAVOURS[flavour]
    found: Facts = {CLUSTER: CLUSTER_FACTS | cluster}
    found.update({subject(f"pod {name}"): POD | pod for name in PODS})
    found.update({subjects.node(name): NODE | node for name in NODES})
    found.update({subjects.pair(a, b): dict(PAIR) for a in NODES for b in NODES if a != b})
    found.update({subject(f"service {name}"): SERVICE | {"is_dns": "dns" in name} for name in SERVICES})
    return found


def changed(base: Facts, changes: Mapping[str, Mapping[str, Any]]) -> Facts:
    """The facts with some changed; null takes an observation away."""
    found = {one: dict(values) for one, values in base.items()}
    for name, values in changes.items():
        of = found.setdefault(subject(name), {})
        for key, value in values.items():
            if value is None:
                of.pop(key, None)
            else:
                of[key] = _value(value)
    return found


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(str(item) for item in cast("list[Any]", value))
    return value


def table(values: Facts) -> FactTable:
    return FactTable(
        values=MappingProxyType({one: MappingProxyType(of) for one, of in values.items()}), relations=relations()
    )


def symptom(text: str) -> Symptom:
    """A symptom from a line: "service-unreachable service shop/s: shop/a>shop/b, node-1>shop/c"."""
    head, _, flows = text.partition(": ")
    kind, _, about = head.partition(" ")
    return Symptom(
        kind=SymptomKind(kind),
        subject=subject(about),
        hop="node",
        flows=tuple(_flow(one.strip()) for one in flows.split(",") if one.strip()),
    )


def _flow(text: str) -> Flow:
    source, _, target = text.partition(">")
    return Flow(
        source=_end(source),
        target=_end(target) if target else None,
        source_node=_host(source),
        target_node=_host(target) if target else None,
    )


def _end(name: str) -> Subject:
    return subjects.node(name) if name in NODES else subject(f"pod {name}")


def _host(name: str) -> Subject:
    return subjects.node(PODS.get(name, name))


class Fixture:
    """One fault: what it changes, the symptoms it shows, and a change that clears the cause."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self.name = name
        self.cause = str(data["cause"])
        self.symptoms = tuple(symptom(text) for text in data["symptoms"])
        self.flavour = str(data.get("cni", "calico"))
        self.values = changed(healthy(self.flavour), data["facts"])
        self.facts = table(self.values)
        self.also: tuple[str, ...] = tuple(data.get("also", ()))
        self.confidence = str(data.get("confidence", "confirmed"))
        self.cleared = table(changed(self.values, data["ruled_out_by"]))

    def __repr__(self) -> str:
        return self.name


@cache
def fixtures() -> tuple[Fixture, ...]:
    """Every fixture of every file, in order of name."""
    files = [yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in sorted(FIXTURES.glob("*.yaml"))]
    return tuple(
        Fixture(name, data)
        for file in files
        for name, data in file.items()
        if not name.startswith("_")  # those hold what others share
    )
