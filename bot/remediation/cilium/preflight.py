"""Whether a cluster may get Cilium beside its present CNI, by the values that somebody wants to install it with.

Pure: `Seen` is what was read. Nothing is installed by this; it says what would break, and why, before anybody does.

Source: https://docs.cilium.io/en/stable/installation/k8s-install-migration/ (new pod CIDR, other port, customConf)
Source: https://docs.cilium.io/en/stable/operations/system_requirements/ (kernels)
Source: https://docs.k3s.io/networking/basic-network-options (flannel inside the k3s process)
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, Writer
from bot.domain.errors import BotError, NotFoundError
from bot.domain.plan import value_at
from bot.remediation.status import is_true

State = Literal["ok", "blocked", "asks", "warns", "unknown"]
"""blocked: it must not be done so. asks: somebody must accept it. unknown: not read, so not known to be well."""

_FIELDS: Mapping[str, tuple[str, Any, str]] = {
    "customConf": ("cni.customConf", True, "else each agent takes its node over as soon as it is ready: all at once"),
    "uninstall": ("cni.uninstall", False, "else a stopping agent deletes CNI configuration"),
    "routing": ("routingMode", "tunnel", "native routing between two CNIs at work falls apart"),
    "ipam": ("ipam.mode", "cluster-pool", "the migration is described for cluster-pool only"),
    "policy": (
        "policyEnforcementMode",
        "never",
        "else pods of the old CNI are dropped where a policy selects by label",
    ),
    "legacy": ("bpf.hostLegacyRouting", True, "else Cilium's pods and the old CNI's cannot reach each other"),
    "watcher": ("operator.unmanagedPodWatcher.restart", False, "else CoreDNS is killed every 15 s, without end"),
    "taints": ("operator.setNodeTaints", False, "else an absent agent leaves a taint that nothing takes off"),
    "proxy": (
        "kubeProxyReplacement",
        False,
        "Services would change their path in the same moment: a later step",
    ),
}
"""The values of the first phase: where, what, and what happens otherwise."""
_POOLS = "ipam.operator.clusterPoolIPv4PodCIDRList"
_PORT = "tunnelPort"
_KNOWN = frozenset(
    {path for path, _, _ in _FIELDS.values()}
    | {
        _POOLS,
        _PORT,
        "tunnelProtocol",
        "k8sServiceHost",
        "k8sServicePort",
        "updateStrategy.rollingUpdate.maxUnavailable",
    }
    | {"ipam.operator.clusterPoolIPv4MaskSize", "image.repository", "image.tag", "operator.replicas", "cni.confPath"}
    | {"cni.binPath", "hubble.enabled"}
)
_DEFAULT_PORT = 8472
_CNI_PORTS: Mapping[str, tuple[int, str]] = {
    "kube-flannel": (8472, "flannel"),
    "calico-node": (4789, "calico"),
    "canal": (8472, "canal"),
}
_OLDEST_KERNEL = (5, 10)
_MANAGED = ("-eks-", "-gke.", "-aks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked."""

    id: str
    state: State
    sentence: str

    @property
    def stops(self) -> bool:
        """Whether nothing may be installed: it must not be done so, or whether it may is not known."""
        return self.state in {"blocked", "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read; None: it could not be."""

    nodes: Sequence[Object] | None = None
    pods: Sequence[Object] | None = None
    services: Sequence[Object] | None = None
    daemon_sets: Sequence[Object] | None = None
    policies: Sequence[Object] | None = None
    ip_pools: Sequence[Object] | None = None
    """Calico's; empty where the API serves none."""
    cilium_nodes: Sequence[Object] | None = None


async def read(writer: Writer) -> Seen:
    """What the checks need. What may not be read is unknown."""

    async def items(plural: str, group: str = "", version: str = "v1") -> Sequence[Object] | None:
        try:
            return await writer.items(api_path(plural, group=group, version=version))
        except NotFoundError:
            return ()
        except BotError:
            return None

    return Seen(
        nodes=await items("nodes"),
        pods=await items("pods"),
        services=await items("services"),
        daemon_sets=await items("daemonsets", "apps"),
        policies=await items("networkpolicies", "networking.k8s.io"),
        ip_pools=await items("ippools", "crd.projectcalico.org"),
        cilium_nodes=await items("ciliumnodes", "cilium.io", "v2"),
    )


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Values by their dotted paths."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            found |= flat(cast("Mapping[str, Any]", value), where)
        else:
            found[where] = value
    return found


def preflight(values: Mapping[str, Any], seen: Seen) -> list[Check]:
    """Every check, what blocks first."""
    given = flat(values)
    checks = [
        *_values(given),
        *_ranges(given, seen),
        *_tunnel(given, seen),
        *_ready(seen),
        *kernels(seen),
        *managed(seen),
        *embedded(seen),
        *host_ports(seen),
        *_bare(seen),
        *_policies(seen),
        *traces(seen),
        *_api_server(given, seen),
    ]
    order: Mapping[State, int] = {"blocked": 0, "unknown": 1, "asks": 2, "warns": 3, "ok": 4}
    return sorted(checks, key=lambda one: order[one.state])


NOT_CHECKED = (
    "whether the firewall lets the tunnel's port and TCP 4240 through between all nodes",
    "which VXLAN devices each node has (ip -d link): the port of another one makes Cilium's tunnel stay down, silently",
    "the MTU, PodDisruptionBudgets, spare capacity, and a way into the nodes that does not need the cluster's network",
    "that the chart renders, and what it renders",
)
"""What nobody should take for checked."""


def _values(given: Mapping[str, Any]) -> Iterator[Check]:
    wrong = [
        f"{path} must be {_yaml(wanted)}, is {_yaml(given.get(path))}: {why}"
        for path, wanted, why in _FIELDS.values()
        if given.get(path) != wanted
    ]
    for sentence in wrong:
        yield Check(id="values", state="blocked", sentence=sentence)
    if not wrong:
        yield Check(id="values", state="ok", sentence="The values are those of the first phase.")
    for path in sorted(given.keys() - _KNOWN):
        yield Check(
            id="values-unknown",
            state="asks",
            sentence=f"{path} is no value that is known here: the chart ignores a mistyped one silently",
        )


def _yaml(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(texts: Iterable[Any]) -> list[Network]:
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(str(text), strict=False))
        except ValueError:
            continue
    return found


def _ranges(given: Mapping[str, Any], seen: Seen) -> Iterator[Check]:
    """The new pods' addresses must be nobody else's: Cilium hands out its own blocks, whoever lives in them."""
    raw: Any = given.get(_POOLS)
    wanted = _networks(cast("list[Any]", raw) if isinstance(raw, list) else [raw] if raw else [])
    if not wanted:
        yield Check(
            id="P04", state="blocked", sentence=f"{_POOLS} names no range: the default, 10.0.0.0/8, may not be free"
        )
        return
    yield from overlaps(wanted, seen)
    hosts = sum(2 ** max(0, 24 - new.prefixlen) for new in wanted if new.version == 4)
    if seen.nodes is not None and hosts < len(seen.nodes):
        yield Check(
            id="P04",
            state="blocked",
            sentence=f"The range holds {hosts} nodes of /24 each; there are {len(seen.nodes)}.",
        )


def overlaps(ranges: Iterable[Any], seen: Seen, *, but: Sequence[str] = ()) -> Iterator[Check]:
    """Whether the ranges overlap addresses that are in use, but for those of some kinds."""
    wanted = _networks(ranges)
    taken = {what: networks for what, networks in _taken(seen).items() if what not in but}
    for what, networks in taken.items():
        if networks is None:
            yield Check(id="P04", state="unknown", sentence=f"{what} could not be read, so they may overlap")
            continue
        overlapping = [
            one for one in networks if any(one.version == new.version and one.overlaps(new) for new in wanted)
        ]
        if overlapping:
            yield Check(id="P04", state="blocked", sentence=_overlap(what, overlapping, wanted, taken))
    if not any(networks is None for networks in taken.values()) and not any(
        one.version == new.version and one.overlaps(new)
        for networks in taken.values()
        for one in networks or ()
        for new in wanted
    ):
        yield Check(id="P04", state="ok", sentence="The new range overlaps no address that is known here.")


def _overlap(what: str, overlapping: Sequence[Network], wanted: Sequence[Network], taken: Mapping[str, Any]) -> str:
    free = next(
        (
            str(one)
            for one in (
                ipaddress.ip_network(f"10.{number}.0.0/16") for number in (245, *range(200, 245), *range(100, 200))
            )
            if not any(
                one.version == other.version and one.overlaps(other) for each in taken.values() for other in each or ()
            )
        ),
        "",
    )
    use = f" Use a free range, such as {free}." if free else ""
    return (
        f"{what} lie in {', '.join(map(str, wanted))}: {len(overlapping)}, such as {overlapping[0]}. Cilium hands out "
        "its own blocks of that range, even where addresses are in use: two pods may share one until the last old pod "
        f"is gone.{use}"
    )


def _taken(seen: Seen) -> dict[str, list[Network] | None]:
    def fields(objects: Sequence[Object] | None, *paths: tuple[str, ...]) -> list[Network] | None:
        if objects is None:
            return None
        return _networks(value for obj in objects for path in paths if (value := value_at(obj, path)))

    nodes = seen.nodes
    own = None if nodes is None else _networks(
        one.get("address") for node in nodes for one in value_at(node, ("status", "addresses")) or ()
    )  # fmt: skip
    live = None if seen.pods is None else [
        pod for pod in seen.pods
        if not value_at(pod, ("spec", "hostNetwork")) and value_at(pod, ("status", "phase")) == "Running"
    ]  # fmt: skip
    return {
        "Addresses of running pods": fields(live, ("status", "podIP")),
        "Pod ranges of nodes": fields(nodes, ("spec", "podCIDR")),
        "Calico's IP pools": fields(seen.ip_pools, ("spec", "cidr")),
        "Addresses of nodes": own,
        "ClusterIPs of Services": fields(seen.services, ("spec", "clusterIP")),
    }


def _tunnel(given: Mapping[str, Any], seen: Seen) -> Iterator[Check]:
    port: Any = given.get(_PORT, _DEFAULT_PORT)
    if not isinstance(port, int):
        yield Check(
            id="P05", state="blocked", sentence=f"{_PORT} is {port!r}: since 1.16 the chart takes a number only"
        )
        return
    if seen.daemon_sets is None:
        yield Check(
            id="P05", state="unknown", sentence="DaemonSets could not be read: who tunnels here, and on which port"
        )
        return
    for daemon_set in seen.daemon_sets:
        name = str(daemon_set["metadata"]["name"])
        known = next((found for part, found in _CNI_PORTS.items() if part in name), None)
        if known and known[0] == port:
            yield Check(
                id="P05",
                state="blocked",
                sentence=(
                    f"{_PORT} {port} is {known[1]}'s: Cilium's pods become Ready, its tunnel stays down. Take another "
                    "one, such as 8473, and open it in the firewall."
                ),
            )


def _ready(seen: Seen) -> Iterator[Check]:
    if seen.nodes is None:
        yield Check(id="P15", state="unknown", sentence="Nodes could not be read")
    for node in seen.nodes or ():
        if not is_true(node, "Ready"):
            name = node["metadata"]["name"]
            yield Check(id="P15", state="blocked", sentence=f"Node {name} is not Ready: repair first, then migrate")


def _info(node: Object, key: str) -> str:
    return str(value_at(node, ("status", "nodeInfo", key)) or "")


def kernels(seen: Seen) -> Iterator[Check]:
    """Whether Cilium runs on the nodes' kernels and processors."""
    for node in seen.nodes or ():
        name, kernel, architecture = (
            str(node["metadata"]["name"]),
            _info(node, "kernelVersion"),
            _info(node, "architecture"),
        )
        version = _version(kernel)
        if version is None:
            yield Check(id="P06", state="unknown", sentence=f"The kernel of {name} is not known")
        elif version < _OLDEST_KERNEL and ".el8" not in kernel:
            yield Check(
                id="P06",
                state="blocked",
                sentence=f"Node {name} runs kernel {kernel}: Cilium 1.18 and newer need 5.10",
            )
        if architecture not in {"amd64", "arm64"}:
            yield Check(
                id="P07",
                state="blocked",
                sentence=f"Node {name} is {architecture or 'of no known architecture'}",
            )


def managed(seen: Seen) -> Iterator[Check]:
    """Whether a provider owns the nodes' CNI."""
    for node in seen.nodes or ():
        if any(part in _info(node, "kubeletVersion") for part in _MANAGED):
            name = node["metadata"]["name"]
            yield Check(id="P01", state="blocked", sentence=f"Node {name} is managed: the provider owns its CNI")


def embedded(seen: Seen) -> Iterator[Check]:
    """K3s runs flannel inside its own process: only its arguments, on every server, tell that it does not."""
    versions = [_info(node, "kubeletVersion") for node in seen.nodes or ()]
    if not any("+k3s" in one or "+rke2" in one for one in versions):
        return
    arguments = [
        str(value)
        for node in seen.nodes or ()
        for key in ("k3s.io/node-args", "rke2.io/node-args")
        if (value := value_at(node, ("metadata", "annotations", key))) and "server" in str(value)
    ]
    if not arguments:
        yield Check(
            id="P02", state="unknown", sentence="No server of K3s or RKE2 says with which arguments it was started"
        )
    elif not all(re.search(r'flannel-backend"?[=,:\s"]+none', one) or "rke2" in one for one in arguments):
        yield Check(
            id="P02",
            state="blocked",
            sentence=(
                "Flannel runs inside k3s on some server. K3s does not support changing the CNI of a running cluster: "
                "turning flannel off moves the directory of CNI configuration: build a new cluster, or do it by hand"
            ),
        )


def _version(kernel: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", kernel)
    return (int(found[1]), int(found[2])) if found else None


def host_ports(seen: Seen) -> Iterator[Check]:
    """Pods that want a port of their node: beside kube-proxy, Cilium alone serves none."""
    if seen.pods is None:
        yield Check(
            id="P13", state="unknown", sentence="Pods could not be read: hostPorts, and pods without a controller"
        )
        return
    ports = [
        _name(pod)
        for pod in seen.pods
        if not value_at(pod, ("spec", "hostNetwork"))
        and any(
            port.get("hostPort")
            for container in value_at(pod, ("spec", "containers")) or ()
            for port in container.get("ports") or ()
        )
    ]
    if ports:
        yield Check(
            id="P13",
            state="blocked",
            sentence=f"{len(ports)} pods use a hostPort, such as {ports[0]}: Cilium serves none beside kube-proxy",
        )


def _bare(seen: Seen) -> Iterator[Check]:
    bare = [
        _name(pod)
        for pod in seen.pods or ()
        if not value_at(pod, ("metadata", "ownerReferences")) and value_at(pod, ("status", "phase")) == "Running"
    ]
    if bare:
        yield Check(
            id="P12",
            state="asks",
            sentence=f"{len(bare)} pods have no controller, such as {bare[0]}: gone for good",
        )


def _name(obj: Object) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _policies(seen: Seen) -> Iterator[Check]:
    if seen.policies is None:
        yield Check(id="P10", state="unknown", sentence="NetworkPolicies could not be read")
    elif seen.policies:
        yield Check(
            id="P10",
            state="asks",
            sentence=f"{len(seen.policies)} NetworkPolicies are not enforced for migrated pods until the end",
        )


def traces(seen: Seen) -> Iterator[Check]:
    """What an earlier try has left."""
    if seen.cilium_nodes is None:
        yield Check(id="P17", state="unknown", sentence="CiliumNodes could not be read: what an earlier try left")
    elif seen.cilium_nodes:
        yield Check(
            id="P17",
            state="blocked",
            sentence=f"{len(seen.cilium_nodes)} CiliumNodes exist: they keep their ranges, and a new one is ignored",
        )


def _api_server(given: Mapping[str, Any], seen: Seen) -> Iterator[Check]:
    host = str(given.get("k8sServiceHost") or "")
    addresses = {
        str(one.get("address")): str(node["metadata"]["name"])
        for node in seen.nodes or ()
        for one in value_at(node, ("status", "addresses")) or ()
    }
    if host in addresses:
        yield Check(
            id="P19",
            state="warns",
            sentence=f"k8sServiceHost {host} is node {addresses[host]}: without it no agent reaches the API server",
        )
