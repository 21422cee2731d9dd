"""What the checks before an installation of Cilium look at: objects of the API, and the nodes' own network."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.agent.report import NodeReport
from bot.aio.each import each
from bot.cluster.client.paths import api_path
from bot.cluster.cni.catalogue import CniName, agent_kind
from bot.cluster.objects import Container
from bot.cluster.writer import Object, Writer
from bot.domain.errors import BotError, NotFoundError
from bot.domain.plan import value_at

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_CALICO = "crd.projectcalico.org"
_MAIN_TABLE = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A node's own network, as its node agent saw it."""

    links: tuple[str, ...] = ()
    tunnels: tuple[tuple[str, int | None], ...] = ()
    """VXLAN devices with their ports; None: not read."""
    mtu: int | None = None
    """The smallest of the devices with the node's addresses."""
    pod_mtu: int | None = None
    """The largest of the devices that lead to pods."""
    routes: tuple[str, ...] = ()
    """Where the main table leads, but for the default."""
    cni_files: tuple[str, ...] | None = None


def host_of(report: NodeReport) -> Host:
    """What the checks need of a node's report."""
    root = report.root
    own = {one.dev for one in root.routes if one.dst == "default" and one.dev}
    pods = [one.mtu for one in root.links if one.kind == "veth" and one.name not in own and one.mtu]
    uplinks = [one.mtu for one in root.links if one.name in own and one.mtu]
    return Host(
        links=tuple(one.name for one in root.links),
        tunnels=tuple((one.name, one.vxlan_port) for one in root.links if one.kind == "vxlan"),
        mtu=min(uplinks, default=None),
        pod_mtu=max(pods, default=None),
        routes=tuple(sorted({one.dst for one in root.routes if one.table == _MAIN_TABLE and one.dst != "default"})),
        cni_files=None if report.cni_files is None else tuple(one.path for one in report.cni_files),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read; None: it could not be. Empty where the API serves no such kind."""

    nodes: Sequence[Object] | None = None
    namespaces: Sequence[Object] | None = None
    pods: Sequence[Object] | None = None
    services: Sequence[Object] | None = None
    daemon_sets: Sequence[Object] | None = None
    deployments: Sequence[Object] | None = None
    policies: Sequence[Object] | None = None
    budgets: Sequence[Object] | None = None
    webhooks: Sequence[Object] | None = None
    quotas: Sequence[Object] | None = None
    definitions: Sequence[Object] | None = None
    ip_pools: Sequence[Object] | None = None
    felix: Sequence[Object] | None = None
    bgp_peers: Sequence[Object] | None = None
    calico_policies: Sequence[Object] | None = None
    """Of all of Calico's own kinds of policy."""
    cilium_nodes: Sequence[Object] | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict[str, Host])
    """By node; one that is not in it was not inspected."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes, sorted."""
        return tuple(sorted(name_of(one) for one in self.nodes or ()))

    @property
    def uninspected(self) -> tuple[str, ...]:
        """The nodes whose own network was not seen."""
        return tuple(name for name in self.node_names if name not in self.hosts)


_KINDS: Mapping[str, tuple[str, str, str]] = {
    "nodes": ("nodes", "", "v1"),
    "namespaces": ("namespaces", "", "v1"),
    "pods": ("pods", "", "v1"),
    "services": ("services", "", "v1"),
    "daemon_sets": ("daemonsets", "apps", "v1"),
    "deployments": ("deployments", "apps", "v1"),
    "policies": ("networkpolicies", "networking.k8s.io", "v1"),
    "budgets": ("poddisruptionbudgets", "policy", "v1"),
    "quotas": ("resourcequotas", "", "v1"),
    "definitions": ("customresourcedefinitions", "apiextensions.k8s.io", "v1"),
    "ip_pools": ("ippools", _CALICO, "v1"),
    "felix": ("felixconfigurations", _CALICO, "v1"),
    "bgp_peers": ("bgppeers", _CALICO, "v1"),
    "cilium_nodes": ("ciliumnodes", "cilium.io", "v2"),
}
_SEVERAL: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "webhooks": tuple(
        (f"{kind}webhookconfigurations", "admissionregistration.k8s.io", "v1") for kind in ("mutating", "validating")
    ),
    "calico_policies": tuple(
        (kind, _CALICO, "v1")
        for kind in ("globalnetworkpolicies", "networkpolicies", "globalnetworksets", "networksets", "hostendpoints")
    ),
}


async def read(writer: Writer, reports: Mapping[str, NodeReport] | None = None) -> Seen:
    """What the checks need. What may not be read is unknown."""

    async def items(kind: tuple[str, str, str]) -> Sequence[Object] | None:
        plural, group, version = kind
        try:
            return await writer.items(api_path(plural, group=group, version=version))
        except NotFoundError:
            return ()
        except BotError:
            return None

    single = dict(zip(_KINDS, await each(_KINDS.values(), items, limit=4), strict=True))
    several: dict[str, Sequence[Object] | None] = {}
    for name, kinds in _SEVERAL.items():
        lists = await each(kinds, items, limit=4)
        several[name] = None if any(one is None for one in lists) else [obj for one in lists for obj in one or ()]
    hosts = {node: host_of(report) for node, report in (reports or {}).items()}
    return Seen(**single, **several, hosts=hosts)


def name_of(obj: Object) -> str:
    """Its namespace, where it has one, and its name: "shop/web"."""
    namespace, name = obj["metadata"].get("namespace", ""), str(obj["metadata"]["name"])
    return f"{namespace}/{name}" if namespace else name


def info(node: Object, key: str) -> str:
    """What a kubelet says of its machine."""
    return str(value_at(node, ("status", "nodeInfo", key)) or "")


def containers(obj: Object, path: tuple[str, ...]) -> Sequence[Mapping[str, Any]]:
    """The containers of a pod, or of a workload's template."""
    return value_at(obj, (*path, "containers")) or ()


def agents(seen: Seen) -> list[tuple[CniName, Object]]:
    """The DaemonSets that are agents of CNIs."""
    found: list[tuple[CniName, Object]] = []
    for one in seen.daemon_sets or ():
        for container in containers(one, ("spec", "template", "spec")):
            named = Container(name=container.get("name", ""), image=container.get("image", ""))
            if kind := agent_kind(named, str(one["metadata"]["name"])):
                found.append((kind.name, one))
                break
    return found


def networks(texts: Iterable[Any]) -> list[Network]:
    """Those of the texts that are networks or addresses."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(str(text), strict=False))
        except ValueError:
            continue
    return found


def overlap(one: Network, other: Network) -> bool:
    """Whether they share an address."""
    return one.version == other.version and one.overlaps(other)


def moving_pods(seen: Seen) -> list[Object]:
    """The pods with an address of the CNI, which a migration makes anew."""
    return [
        pod
        for pod in seen.pods or ()
        if not value_at(pod, ("spec", "hostNetwork"))
        and value_at(pod, ("status", "phase")) not in {"Succeeded", "Failed"}
    ]
