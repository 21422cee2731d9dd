"""Every probe, in the order in which a reader would look: from the pod outwards.

A new probe is one module, one import and one line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bot.domain.facts import FactSpec
from bot.probes import (
    cluster_ip,
    cni_inventory,
    dns,
    gateway_reachability,
    network_policies,
    node_kernel,
    node_sysctls,
    node_to_node,
    outside,
    overlay,
    path_mtu,
    pod_arp_table,
    pod_link,
    pod_matrix,
    pod_routes,
    pod_sandbox,
    service_endpoints,
)
from bot.probes.probe import Probe

PROBES: tuple[Probe, ...] = (
    pod_sandbox.PROBE,
    pod_link.PROBE,
    pod_arp_table.PROBE,
    gateway_reachability.PROBE,
    pod_routes.PROBE,
    node_sysctls.PROBE,
    node_to_node.PROBE,
    pod_matrix.PROBE,
    overlay.PROBE,
    path_mtu.PROBE,
    service_endpoints.PROBE,
    cluster_ip.PROBE,
    dns.PROBE,
    network_policies.PROBE,
    outside.PROBE,
    node_kernel.PROBE,
    cni_inventory.PROBE,
)

FACTS: Mapping[str, FactSpec] = MappingProxyType({spec.name: spec for probe in PROBES for spec in probe.facts})
"""Every fact that some probe declares, by its full name."""
