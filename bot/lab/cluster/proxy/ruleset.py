"""Services and EndpointSlices in, kube-proxy's nftables table out. A pure function.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables and
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/nftables/proxier.go (names, hooks, priorities).
Left out: health check node ports, load balancer source ranges, topology hints; session affinity starts anew with
each change of the table, because the whole table is replaced in one transaction.

What comes from outside (externalIPs, a balancer's addresses, node ports) goes by externalTrafficPolicy; pods and the
node itself are short-circuited to all endpoints, as with `detectLocalMode: ClusterCIDR`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.lab.cluster.names import POD_CIDR, SERVICE_CIDR

TABLE = "kube-proxy"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One ready backend of a Service port."""

    ip: str
    port: int
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service with its backends: those that its internal traffic policy allows on this node."""

    name: str
    cluster_ip: str
    protocol: str
    port: int
    node_port: int
    endpoints: tuple[Endpoint, ...]
    has_remote: bool
    """There are ready endpoints, but the Local policy leaves none of them here: drop, not reject."""
    affinity_s: int
    external_ips: tuple[str, ...] = ()
    """Its externalIPs and the addresses of its load balancer, but for those that the balancer keeps to itself."""
    all_endpoints: tuple[Endpoint, ...] = ()
    local_endpoints: tuple[Endpoint, ...] | None = None
    """Those of this node, where externalTrafficPolicy is Local; None where it is not."""

    @property
    def is_external(self) -> bool:
        """Can it be reached from outside?"""
        return bool(self.external_ips or self.node_port)

    @property
    def drops_outside(self) -> bool:
        """Does the Local policy leave nothing here for what comes from outside?"""
        return self.local_endpoints == () and bool(self.all_endpoints)


def service_ports(
    services: Iterable[Mapping[str, Any]], slices: Iterable[Mapping[str, Any]], node: str
) -> list[ServicePort]:
    """Every port of every Service with a cluster IP, sorted by name."""
    by_service: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in slices:
        labels: Mapping[str, str] = one["metadata"].get("labels") or {}
        owner = labels.get("kubernetes.io/service-name", "")
        by_service.setdefault((one["metadata"]["namespace"], owner), []).append(one)
    made: list[ServicePort] = []
    for service in services:
        spec = service["spec"]
        if spec.get("clusterIP", "None") in {"None", ""} or spec.get("type") == "ExternalName":
            continue
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        addresses = (*(spec.get("externalIPs") or ()), *_balancer_ips(service))
        made += [_port(key, spec, port, by_service.get(key, []), node, addresses) for port in spec.get("ports") or ()]
    return sorted(made, key=lambda port: port.name)


def _balancer_ips(service: Mapping[str, Any]) -> list[str]:
    """Addresses of the load balancer that nodes take for their own; with ipMode Proxy they do not."""
    status: Mapping[str, Any] = service.get("status") or {}
    balancer: Mapping[str, Any] = status.get("loadBalancer") or {}
    ingress: Sequence[Mapping[str, Any]] = balancer.get("ingress") or ()
    return [one["ip"] for one in ingress if one.get("ip") and one.get("ipMode") != "Proxy"]


def _port(
    key: tuple[str, str],
    spec: Mapping[str, Any],
    port: Mapping[str, Any],
    slices: Sequence[Mapping[str, Any]],
    node: str,
    addresses: Sequence[str],
) -> ServicePort:
    protocol = str(port.get("protocol", "TCP")).lower()
    ready = sorted(set(_ready(slices, port)))
    kept = [one for one in ready if one.node == node] if spec.get("internalTrafficPolicy") == "Local" else ready
    here = tuple(one for one in ready if one.node == node)
    config: Mapping[str, Any] = spec.get("sessionAffinityConfig") or {}
    affinity: Mapping[str, Any] = config.get("clientIP") or {}
    return ServicePort(
        name=f"{key[0]}/{key[1]}/{protocol}/{port.get('name', '')}",
        cluster_ip=spec["clusterIP"],
        protocol=protocol,
        port=port["port"],
        node_port=int(port.get("nodePort") or 0),
        endpoints=tuple(kept),
        has_remote=len(kept) < len(ready),
        external_ips=tuple(dict.fromkeys(addresses)),
        all_endpoints=tuple(ready),
        local_endpoints=here if spec.get("externalTrafficPolicy") == "Local" else None,
        affinity_s=int(affinity.get("timeoutSeconds") or 10800) if spec.get("sessionAffinity") == "ClientIP" else 0,
    )


def _ready(slices: Sequence[Mapping[str, Any]], port: Mapping[str, Any]) -> Iterable[Endpoint]:
    for one in slices:
        for slice_port in one.get("ports") or ():
            if (slice_port.get("name") or "") != (port.get("name") or "") or not slice_port.get("port"):
                continue
            for endpoint in one.get("endpoints") or ():
                conditions: Mapping[str, Any] = endpoint.get("conditions") or {}
                if conditions.get("ready", True) is not False:
                    yield Endpoint(endpoint["addresses"][0], slice_port["port"], endpoint.get("nodeName", ""))


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:8]


def _service_chain(port: ServicePort) -> str:
    return f"service-{_hash(port.name)}-{port.name}"


def _cluster_chain(port: ServicePort) -> str:
    return f"cluster-{_hash(port.name)}-{port.name}"


def _external_chain(port: ServicePort) -> str:
    return f"external-{_hash(port.name)}-{port.name}"


def _endpoint_chain(port: ServicePort, endpoint: Endpoint) -> str:
    where = f"{endpoint.ip}/{endpoint.port}"
    return f"endpoint-{_hash(port.name + where)}-{port.name}__{where}"


def render(ports: Sequence[ServicePort]) -> str:
    """The script that replaces the table atomically."""
    sets = _Sets()
    chains: list[str] = []
    for port in ports:
        sets.add(port)
        if port.endpoints:
            chains.append(_render_service(port))
        if port.all_endpoints and port.is_external:
            chains += [_render_cluster(port), *_render_external(port)]
        reached = port.all_endpoints if port.is_external else port.endpoints
        chains += [_render_endpoint(port, one) for one in reached]
    return "\n".join(
        [f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", sets.text(), *chains, _FRAME]
    )


class _Sets:
    def __init__(self) -> None:
        self.cluster_ips: dict[str, None] = {}
        self.service_ips: list[str] = []
        self.no_endpoints: list[str] = []
        self.node_ports: list[str] = []
        self.no_node_ports: list[str] = []

    def add(self, port: ServicePort) -> None:
        key = f"{port.cluster_ip} . {port.protocol} . {port.port}"
        self.cluster_ips[port.cluster_ip] = None
        if port.endpoints:
            self.service_ips.append(f"{key} : goto {_service_chain(port)}")
        else:
            self.no_endpoints.append(f"{key} : {'drop' if port.has_remote else 'goto reject-chain'}")
        self._add_outside(port)

    def _add_outside(self, port: ServicePort) -> None:
        """What is dialled from outside; dropped, not refused, where only other nodes have endpoints for it."""
        keys = [f"{ip} . {port.protocol} . {port.port}" for ip in port.external_ips]
        node_key = f"{port.protocol} . {port.node_port}"
        if port.all_endpoints:
            self.service_ips += [f"{key} : goto {_external_chain(port)}" for key in keys]
            self.node_ports += [f"{node_key} : goto {_external_chain(port)}"] if port.node_port else []
        if port.drops_outside or not port.all_endpoints:
            verdict = "drop" if port.drops_outside else "goto reject-chain"
            self.no_endpoints += [f"{key} : {verdict}" for key in keys]
            self.no_node_ports += [f"{node_key} : {verdict}"] if port.node_port else []

    def text(self) -> str:
        triple, pair = "ipv4_addr . inet_proto . inet_service : verdict", "inet_proto . inet_service : verdict"
        return "\n".join(
            (
                _collection("set cluster-ips", "ipv4_addr", "Active ClusterIPs", list(self.cluster_ips)),
                _collection("map service-ips", triple, "ClusterIP traffic", self.service_ips),
                _collection("map service-nodeports", pair, "NodePort traffic", self.node_ports),
                _collection(
                    "map no-endpoint-services",
                    triple,
                    "vmap to drop or reject packets to services with no endpoints",
                    self.no_endpoints,
                ),
                _collection(
                    "map no-endpoint-nodeports",
                    pair,
                    "vmap to drop or reject packets to service nodeports with no endpoints",
                    self.no_node_ports,
                ),
            )
        )


def _collection(what: str, kind: str, comment: str, elements: Sequence[str]) -> str:
    filled = f"\n    elements = {{ {', '.join(elements)} }}" if elements else ""
    return f'  {what} {{\n    type {kind}\n    comment "{comment}"{filled}\n  }}'


def _render_service(port: ServicePort) -> str:
    masquerade = (
        f"    ip daddr {port.cluster_ip} {port.protocol} dport {port.port} "
        f"ip saddr != {POD_CIDR} jump mark-for-masquerade"
    )
    return _chain(_service_chain(port), [masquerade, *_spread(port, port.endpoints)])


def _render_cluster(port: ServicePort) -> str:
    """To any endpoint, whatever the policies: for what is short-circuited."""
    return _chain(_cluster_chain(port), _spread(port, port.all_endpoints))


def _render_external(port: ServicePort) -> list[str]:
    """For what is dialled at a node port or another address than the ClusterIP."""
    if port.local_endpoints is None:
        return [_chain(_external_chain(port), ["    jump mark-for-masquerade", f"    goto {_cluster_chain(port)}"])]
    lines = [
        f'    ip saddr {POD_CIDR} goto {_cluster_chain(port)} comment "short-circuit pod traffic"',
        '    fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"',
        f'    fib saddr type local goto {_cluster_chain(port)} comment "short-circuit local traffic"',
    ]
    return [_chain(_external_chain(port), [*lines, *_spread(port, port.local_endpoints)])]


def _spread(port: ServicePort, endpoints: Sequence[Endpoint]) -> list[str]:
    """The rules that choose an endpoint; none where there is none."""
    targets = [_endpoint_chain(port, one) for one in endpoints]
    lines = [f"    ip saddr @{_affinity(target)} goto {target}" for target in targets] if port.affinity_s else []
    chosen = ", ".join(f"{number} : goto {target}" for number, target in enumerate(targets))
    return [*lines, f"    numgen random mod {len(targets)} vmap {{ {chosen} }}"] if targets else lines


def _affinity(endpoint_chain: str) -> str:
    return "affinity-" + endpoint_chain.removeprefix("endpoint-")


def _render_endpoint(port: ServicePort, endpoint: Endpoint) -> str:
    name = _endpoint_chain(port, endpoint)
    lines = [f"    ip saddr {endpoint.ip} jump mark-for-masquerade"]
    before = ""
    if port.affinity_s:
        before = (
            f"  set {_affinity(name)} {{\n    type ipv4_addr\n    flags dynamic,timeout\n"
            f"    timeout {port.affinity_s}s\n  }}\n"
        )
        lines.append(f"    update @{_affinity(name)} {{ ip saddr }}")
    lines.append(f"    meta l4proto {port.protocol} dnat to {endpoint.ip}:{endpoint.port}")
    return before + _chain(name, lines)


def _chain(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"  chain {name} {{", *lines, "  }"])


_FRAME = f"""\
  chain reject-chain {{
    reject
  }}
  chain mark-for-masquerade {{
    meta mark set meta mark | 0x4000
  }}
  chain masquerading {{
    meta mark & 0x4000 == 0 return
    meta mark set meta mark ^ 0x4000
    masquerade fully-random
  }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service-ips
    fib daddr type local meta l4proto . th dport vmap @service-nodeports
  }}
  chain service-endpoints-check {{
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }}
  chain nodeport-endpoints-check {{
    fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
  }}
  chain cluster-ips-check {{
    ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
    ip daddr {SERVICE_CIDR} drop comment "Drop traffic to unallocated ClusterIPs"
  }}
  chain filter-input {{
    type filter hook input priority -110; policy accept;
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }}
  chain filter-forward {{
    type filter hook forward priority -110; policy accept;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }}
  chain filter-output {{
    type filter hook output priority -110; policy accept;
    ct state new jump service-endpoints-check
  }}
  chain filter-output-post-dnat {{
    type filter hook output priority -90; policy accept;
    ct state new jump cluster-ips-check
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump services
  }}
  chain nat-output {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    jump masquerading
  }}
}}
"""
