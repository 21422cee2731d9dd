"""Every probe, in the order in which a reader would look: from the pod outwards.

A new probe is one module, one import and one line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bot.domain.facts import FactSpec
from bot.probes import (
    address_claims,
    agent_logs,
    application_answers,
    cluster_ip,
    cni_inventory,
    dialled_addresses,
    dialled_ports,
    dns,
    ebpf,
    gateway_reachability,
    hosts_file,
    ipsec,
    local_ports,
    loopback,
    network_policies,
    node_conditions,
    node_identity,
    node_kernel,
    node_sysctls,
    node_to_node,
    outside,
    overlay,
    packet_trace,
    path_mtu,
    pod_arp_table,
    pod_link,
    pod_matrix,
    pod_routes,
    pod_sandbox,
    pod_start,
    resolver,
    router_entries,
    service_endpoints,
    time_to_live,
    traffic_control,
)
from bot.probes.engine.probe import Probe

PROBES: tuple[Probe, ...] = (
    pod_start.PROBE,
    pod_sandbox.PROBE,
    pod_link.PROBE,
    pod_arp_table.PROBE,
    gateway_reachability.PROBE,
    traffic_control.PROBE,
    pod_routes.PROBE,
    local_ports.PROBE,
    loopback.PROBE,
    time_to_live.PROBE,
    node_sysctls.PROBE,
    node_conditions.PROBE,
    node_identity.PROBE,
    router_entries.PROBE,
    node_to_node.PROBE,
    pod_matrix.PROBE,
    overlay.PROBE,
    path_mtu.PROBE,
    service_endpoints.PROBE,
    cluster_ip.PROBE,
    address_claims.PROBE,
    application_answers.PROBE,
    dialled_addresses.PROBE,
    dialled_ports.PROBE,
    dns.PROBE,
    resolver.PROBE,
    hosts_file.PROBE,
    network_policies.PROBE,
    outside.PROBE,
    node_kernel.PROBE,
    ebpf.PROBE,
    ipsec.PROBE,
    cni_inventory.PROBE,
    agent_logs.PROBE,
    packet_trace.PROBE,
)

FACTS: Mapping[str, FactSpec] = MappingProxyType({spec.name: spec for probe in PROBES for spec in probe.facts})
"""Every fact that some probe declares, by its full name."""
