"""The values that Cilium is installed with: a few that an operator decides, and all else as the way demands it.

The chart takes a mistyped value silently, so what counts is the ConfigMap that it renders: `expected_config`.

Source: https://docs.cilium.io/en/stable/network/concepts/ipam/cluster-pool/
Source: https://docs.cilium.io/en/stable/network/kubernetes/configuration/ (cni.customConf, cni.exclusive)
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bot.remediation.actions.draft import NotPlannedError

RELEASE, NAMESPACE, CONFIG = "cilium", "kube-system", "cilium-config"
AGENT, OPERATOR = "cilium", "cilium-operator"
AGENT_LABELS: Mapping[str, str] = {"k8s-app": "cilium"}
CONF_DIRECTORY, CONF_FILE = "/etc/cni/net.d", "05-cilium.conflist"
CONF_IN_AGENT = f"/host/etc/cni/net.d/{CONF_FILE}"
"""Where an agent sees the directory, wherever it is on the node."""
MINORS = ("1.18", "1.19", "1.20")
"""Of the chart. Others render other keys, or were not looked at."""
DEFAULT_PORT = 8472
BESIDE_PORT = 8473
"""Where another CNI has a tunnel of its own."""
BLOCK = 24
"""The prefix of each node's block."""
_MOST_PORT = 65535


class CiliumValues(Struct, frozen=True, kw_only=True):
    """What somebody decides who installs Cilium."""

    pod_range: str
    """From which each node gets a block of 256 addresses: "10.42.0.0/16"."""
    tunnel_port: int = DEFAULT_PORT
    api_server: str = ""
    """HOST:PORT by which agents reach the API server; "" by its Service."""

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The range."""
        return ipaddress.IPv4Network(self.pod_range)


def checked(values: CiliumValues) -> CiliumValues:
    """The values, where they can be meant. Errors: `NotPlannedError`."""
    try:
        network = values.network
    except ValueError as error:
        raise NotPlannedError(
            f"{values.pod_range!r} is no IPv4 range: {error}.", "Write it as 10.42.0.0/16."
        ) from error
    if not network.is_private or not 8 <= network.prefixlen <= BLOCK:
        raise NotPlannedError(f"{network} cannot be a range of pods.", f"Take a private one between /8 and /{BLOCK}.")
    if not 0 < values.tunnel_port <= _MOST_PORT:
        raise NotPlannedError(f"{values.tunnel_port} is no port.")
    if values.api_server and not re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]{1,5}", values.api_server):
        raise NotPlannedError(f"{values.api_server!r} is not HOST:PORT.")
    return values


def fresh_values(values: CiliumValues, nodes: int) -> dict[str, Any]:
    """For the chart, on a cluster that has no CNI: Cilium writes its configuration on each node as soon as it is up.

    kube-proxy stays. No certificates are made (Hubble is off), so every rendering is the same. The operator taints no
    node: whoever removed it while an agent is away would leave the taint for ever.
    """
    host, _, port = values.api_server.rpartition(":")
    return {
        "cni": {"customConf": False, "exclusive": True, "uninstall": False},
        "routingMode": "tunnel",
        "tunnelProtocol": "vxlan",
        "tunnelPort": values.tunnel_port,
        "ipam": {
            "mode": "cluster-pool",
            "operator": {"clusterPoolIPv4PodCIDRList": [values.pod_range], "clusterPoolIPv4MaskSize": BLOCK},
        },
        "policyEnforcementMode": "default",
        "kubeProxyReplacement": False,
        "hubble": {"enabled": False},
        "envoy": {"enabled": False},
        "operator": {"replicas": min(2, nodes), "setNodeTaints": False},
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": 1}},
    } | ({"k8sServiceHost": host, "k8sServicePort": int(port)} if host else {})


def beside_values(values: CiliumValues, nodes: int) -> dict[str, Any]:
    """For the chart, beside a CNI that is at work: agents take no node over, and nobody is dropped or moved.

    An agent then does on its node what a CiliumNodeConfig says that selects the node.
    """
    fresh = fresh_values(values, nodes)
    return fresh | {
        "cni": {"customConf": True, "uninstall": False},
        "policyEnforcementMode": "never",
        "bpf": {"hostLegacyRouting": True},
        "operator": {**fresh["operator"], "unmanagedPodWatcher": {"restart": False}},
    }


def beside_config(values: CiliumValues) -> Mapping[str, str | None]:
    """What the ConfigMap must say after `beside_values`."""
    return {
        **expected_config(values),
        "enable-policy": "never",
        "custom-cni-conf": "true",
        "write-cni-conf-when-ready": None,
        "cni-exclusive": None,
        "enable-host-legacy-routing": "true",
        "unmanaged-pod-watcher-interval": "0",
    }


TAKING_OVER: Mapping[str, str] = {
    "write-cni-conf-when-ready": CONF_IN_AGENT,
    "custom-cni-conf": "false",
    "cni-exclusive": "true",
}
"""With which an agent takes its node over."""


def expected_config(values: CiliumValues) -> Mapping[str, str | None]:
    """What the ConfigMap must say after `fresh_values`; None: the key must not be there."""
    return {
        "routing-mode": "tunnel",
        "tunnel-protocol": "vxlan",
        "tunnel-port": str(values.tunnel_port),
        "ipam": "cluster-pool",
        "cluster-pool-ipv4-cidr": values.pod_range,
        "cluster-pool-ipv4-mask-size": str(BLOCK),
        "enable-policy": "default",
        "kube-proxy-replacement": "false",
        "write-cni-conf-when-ready": CONF_IN_AGENT,
        "custom-cni-conf": "false",
        "cni-exclusive": "true",
        "cni-uninstall": None,
        "set-cilium-node-taints": None,
        "enable-ipv4": "true",
        "enable-ipv6": "false",
    }
