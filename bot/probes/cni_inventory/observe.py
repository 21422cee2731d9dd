"""Which CNI is this, does its agent run on every node, and what is left of another one?

A node without its CNI's agent keeps working for the pods that it has and for no new one. Leftovers of an earlier CNI
(a bridge, a tunnel on the same UDP port, chains that drop) are found by their names; a second configuration file in
/etc/cni/net.d decides by its name alone which CNI the next pod gets.

K3s runs Flannel, kube-proxy and the policy controller inside its own process: there are no agent pods to look for.

Source: https://docs.k3s.io/networking/basic-network-options
Source: https://github.com/containerd/containerd/blob/main/docs/cri/config.md (the first file by name counts)
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, collapse_addresses
from types import MappingProxyType

from bot.agent.report import CniFile, NodeReport
from bot.cluster.cni.dataplane import masquerades_all
from bot.cluster.cni.detect import detect_cni
from bot.cluster.objects import Node, Pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactBuilder, Subject
from bot.domain.software import Software
from bot.probes.cni_inventory.cni_leftovers import leftovers
from bot.probes.cni_inventory.facts import CNIS, DISTRIBUTIONS, ENCAPSULATIONS, INSTALLED_BY, PROXIES
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import network
from bot.probes.shared.address_ranges import cluster_ranges, in_ranges, node_ranges, pools
from bot.probes.shared.encapsulation import encapsulation_of
from bot.probes.shared.restarts import deletion, kubectl, unit_of

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "aws-vpc-cni": "aws-vpc",
        "ovn-kubernetes": "ovn",
        "gke-dataplane-v2": "cilium",
        "azure-cni": "azure",
    }
)
_INSTALLED: Mapping[str, str] = MappingProxyType({"k3s": "built-in", "rke2": "built-in", "cloud": "built-in"})
_NODE_KEYS = ("conf_files", "conf_cnis", "conf_broken", "leftovers", "kernel", "cni0", "cni0_address_matches")
_PLUGINS: Mapping[str, str] = MappingProxyType(
    {"calico": "calico", "cilium-cni": "cilium", "flannel": "flannel", "bridge": "bridge", "weave-net": "weave"}
)
_NOT_INITIALISED = re.compile(r"cni plugin not initialized|cni config uninitialized")
_MOST_RANGES = 8
"""More is no list to type rules from."""
_CUT = 8000
"""The agent reads 8 KiB of a file."""
_CLUSTER_CIDR = re.compile(r"podSubnet:\s*\"?([0-9a-fA-F:./,]+)|clusterCIDR:\s*\"?([0-9a-fA-F:./,]+)")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The cluster's CNI from the API, each node's agent, and what the nodes themselves hold."""
    _observe_cluster(evidence, into)
    agents = _agents(evidence)
    for name, node in evidence.nodes.items():
        subject = facts.node(name)
        into.set(subject, "has_pod_cidr", bool(node_ranges(node)))
        _observe_agent(evidence, subject, agents, into)
        into.set(subject, "kubelet_unit", unit_of(evidence, name))
        _observe_kernel(evidence, subject, into)
        into.put(subject, "cni_conf", _conf_state(node, evidence.reports.get(name)), evidence.why_no_report(name))
        if name in evidence.reports:
            _observe_node(evidence, subject, evidence.reports[name], into)
        else:
            keys = (key for key in _NODE_KEYS if key != "kernel")
            into.miss_all(subject, keys, evidence.why_no_report(name))


# The cluster


def software_of(snapshot: Snapshot) -> Software:
    """The cluster's software, from the API alone."""
    cni = detect_cni(snapshot)
    return Software(
        cni=_known(_NAMES.get(cni.name, cni.name), CNIS),
        cni_version=cni.version,
        kubernetes=snapshot.server_version,
        kernels=tuple(sorted({kernel for node in snapshot.nodes if (kernel := node.status.node_info.kernel_version)})),
    )


def _observe_cluster(evidence: Evidence, into: FactBuilder) -> None:
    cni = evidence.cni
    into.set(CLUSTER, "cni", _known(_NAMES.get(cni.name, cni.name), CNIS))
    into.put(CLUSTER, "cni_version", cni.version or None, "nothing shows the CNI's version")
    into.set(CLUSTER, "distribution", _known(cni.distribution, DISTRIBUTIONS))
    into.set(CLUSTER, "installed_by", _known(_INSTALLED.get(cni.installed_by, cni.installed_by), INSTALLED_BY))
    into.set(CLUSTER, "encapsulation", _known(encapsulation_of(evidence), ENCAPSULATIONS))
    into.set(CLUSTER, "proxy", _known(cni.kube_proxy_mode or "unknown", PROXIES))
    into.put(CLUSTER, "masquerades_all", masquerades_all(evidence.snapshot), "kube-proxy's configuration was not read")
    version = evidence.snapshot.server_version
    into.put(CLUSTER, "kubernetes_version", version or None, "the API server's version was not read")
    found = pools(evidence)
    into.put(CLUSTER, "pools_enabled", None if found is None else len(found), "the API has no IPPools")
    into.put(CLUSTER, "pool_outside_cluster_cidr", *_is_pool_outside(evidence, found))
    into.put(CLUSTER, "pods_two_cidrs", *_has_two_ranges(evidence))
    ranges = tuple(found or _joined(cluster_ranges(evidence)))
    is_known = 0 < len(ranges) <= _MOST_RANGES
    into.put(
        CLUSTER, "pod_ranges", ranges if is_known else None, f"the API lists {len(ranges)} ranges of pod addresses"
    )
    into.put(CLUSTER, "is_without_cni", *_is_without_cni(evidence))


def _is_without_cni(evidence: Evidence) -> tuple[bool | None, str]:
    """Whether the cluster has no CNI at all: no agent that is known, and a configuration on none of the nodes."""
    if evidence.cni.name != "unknown":
        return False, ""
    states = [_conf_state(node, evidence.reports.get(name)) for name, node in evidence.nodes.items()]
    if any(state in {"present", "not-loaded"} for state in states):
        return False, ""
    is_known = bool(states) and None not in states
    return (True, "") if is_known else (None, "whether each node has a CNI configuration was not read")


def _joined(cidrs: Iterable[str]) -> Iterator[str]:
    """The ranges of IPv4 with neighbours joined."""
    yield from map(str, collapse_addresses(net for cidr in cidrs if isinstance(net := network(cidr), IPv4Network)))


def _known(word: str, words: Sequence[str]) -> str:
    return word if word in words else "unknown"


def _is_pool_outside(evidence: Evidence, found: Sequence[str] | None) -> tuple[bool | None, str]:
    """Whether an enabled pool lies outside the range that the cluster was set up with."""
    if not found:
        return None, "the API has no IPPools"
    cidrs = [cidr for text in _configurations(evidence) for cidr in _cidrs_in(text)]
    if not cidrs:
        return None, "the cluster's range of pod addresses is not written where it could be read"
    ranges = [net for net in map(network, cidrs) if net]
    inside = [any(_is_subnet(pool, each) for each in ranges) for pool in map(network, found) if pool]
    return not all(inside), ""


def _configurations(evidence: Evidence) -> Iterator[str]:
    for each in evidence.snapshot.config_maps:
        if each.metadata.name in {"kubeadm-config", "kube-proxy"}:
            yield from each.data.values()


def _cidrs_in(text: str) -> Iterator[str]:
    for found in _CLUSTER_CIDR.finditer(text[:65536]):
        yield from (found.group(1) or found.group(2)).split(",")


def _is_subnet(inner: object, outer: object) -> bool:
    return isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network) and inner.subnet_of(outer)


def _has_two_ranges(evidence: Evidence) -> tuple[bool | None, str]:
    """Whether some pods have addresses inside the ranges handed out now and some outside: before and after a change."""
    ranges = tuple(cluster_ranges(evidence))
    if not ranges:
        return None, "the API lists no range of pod addresses"
    addresses = [p.status.pod_ip for p in evidence.pods.values() if p.status.pod_ip and not p.spec.host_network]
    if not addresses:
        return None, "no pod has an address of its own"
    inside = sum(in_ranges(ip, ranges) for ip in addresses)
    return 0 < inside < len(addresses), ""


# Agents

_Agents = Mapping[str, Sequence[Pod]]


def _agents(evidence: Evidence) -> _Agents | None:
    """The pods of the CNI's DaemonSet by node; None where this CNI is not known to run any."""
    namespace, _, name = evidence.cni.agent_daemon_set.partition("/")
    if not name:
        return None
    found: dict[str, list[Pod]] = {}
    for pod in evidence.pods.values():
        owners = (each for each in pod.metadata.owner_references if each.kind == "DaemonSet")
        if pod.metadata.namespace == namespace and any(each.name == name for each in owners):
            found.setdefault(pod.spec.node_name, []).append(pod)
    return found


def _observe_agent(evidence: Evidence, node: Subject, agents: _Agents | None, into: FactBuilder) -> None:
    if agents is None:
        is_inside = evidence.cni.name != "unknown"
        why = "this CNI runs no agent pods"
        if not is_inside:
            why = "which CNI this is, and hence whether it runs agents, is not known"
        into.put(node, "cni_agent", "none" if is_inside else None, why)
        into.miss(node, "cni_agent_restarts", why)
        unit = unit_of(evidence, node.name) if evidence.cni.installed_by == "k3s" else ""
        into.put(node, "cni_agent_log", f"journalctl -u {unit} --since -15min" if unit else None, why)
        into.put(node, "cni_agent_restart", f"systemctl restart {unit}" if unit else None, why)
        return
    here = agents.get(node.name, ())
    if not here and not agents:
        keys = ("cni_agent", "cni_agent_restarts", "cni_agent_log", "cni_agent_restart")
        into.miss_all(node, keys, "the pods of the CNI's DaemonSet were not read")
        return
    into.put(node, "cni_agent_log", *_log_of(evidence, here))
    into.put(node, "cni_agent_restart", *(deletion(here[0]) if here else (None, "the agent does not run here")))
    state = "ready" if any(pod.is_ready for pod in here) else "not-ready" if here else "missing"
    into.set(node, "cni_agent", state)
    restarts = sum(status.restart_count for pod in here for status in pod.status.container_statuses)
    into.put(node, "cni_agent_restarts", restarts if here else None, "the agent does not run here")


def _log_of(evidence: Evidence, here: Sequence[Pod]) -> tuple[str | None, str]:
    """The command that shows an agent's log; where it has no pod, its DaemonSet with the events that say why."""
    if not here:
        namespace, _, name = evidence.cni.agent_daemon_set.partition("/")
        return kubectl(namespace, "describe", "daemonset", name)
    of = here[0].metadata
    return kubectl(of.namespace, "logs", "--all-containers", "--tail=100", of.name)


# Nodes


def _observe_kernel(evidence: Evidence, node: Subject, into: FactBuilder) -> None:
    report = evidence.reports.get(node.name)
    reported = evidence.nodes[node.name].status.node_info.kernel_version
    into.put(
        node, "kernel", (report.kernel if report else "") or reported or None, "nothing shows the kernel's version"
    )


def _observe_node(evidence: Evidence, node: Subject, report: NodeReport, into: FactBuilder) -> None:
    files = report.cni_files
    why = report.why_missing("host.cni", "host") or "the CNI's configuration was not read"
    into.put(node, "conf_files", None if files is None else len(files), why)
    into.put(node, "conf_cnis", None if files is None else tuple(_conf_cnis(report)), why)
    broken = None if files is None else tuple(each.path for each in files if _is_broken(each))
    into.put(node, "conf_broken", broken, why)
    is_read = bool(report.root.links)
    found = tuple(leftovers(evidence.cni.name, report.root)) if is_read else None
    into.put(node, "leftovers", found, "the node's devices were not read")
    _observe_bridge(evidence, node, report, into)


def _conf_state(node: Node, report: NodeReport | None) -> str | None:
    """Whether the runtime has a configuration, by its folder and by what the node says of itself."""
    says_none = any(
        each.type == "Ready" and each.status != "True" and _NOT_INITIALISED.search(each.message)
        for each in node.status.conditions
    )
    files = report.cni_files if report else None
    if files is None:
        return "told-none" if says_none else None
    if not files:
        return "none"
    return "not-loaded" if says_none else "present"


def _is_broken(each: CniFile) -> bool:
    """Whether a runtime cannot use the file; one that was cut at its length is not known to be broken."""
    if len(each.text) >= _CUT or not each.path.endswith((".conf", ".conflist", ".json")):
        return False
    return not each.plugins


def _conf_cnis(report: NodeReport) -> Iterator[str]:
    """The CNI that each configuration file stands for, in the runtime's order."""
    for each in sorted(report.cni_files or (), key=lambda one: one.path):
        named = [_PLUGINS[plugin] for plugin in (*each.plugins, *_types_in(each.text)) if plugin in _PLUGINS]
        yield named[0] if named else (each.plugins[0] if each.plugins else "unknown")


def _types_in(text: str) -> Iterator[str]:
    try:
        parsed: object = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return
    if isinstance(parsed, dict):
        yield from re.findall(r'"type":\s*"([\w.-]{1,40})"', text)


def _observe_bridge(evidence: Evidence, node: Subject, report: NodeReport, into: FactBuilder) -> None:
    """cni0, where the CNI lays pods on a bridge; one that is left over says nothing of the pods' network."""
    keys = ("cni0", "cni0_address_matches")
    if not report.root.links:
        into.miss_all(node, keys, "the node's devices were not read")
        return
    bridge = next((link for link in report.root.links if link.name == "cni0"), None)
    has_pods = any(pod.is_found for pod in report.pods)
    if bridge is None:
        is_wanted = evidence.cni.name == "flannel" and has_pods
        into.set(node, "cni0", "missing" if is_wanted else "none")
        into.miss(node, "cni0_address_matches", "there is no bridge cni0")
        return
    if evidence.cni.name != "flannel" and not any(link.master == bridge.name for link in report.root.links):
        into.set(node, "cni0", "none")
        into.miss(node, "cni0_address_matches", "no pod is a port of cni0, it is a leftover")
        return
    into.set(node, "cni0", "up" if bridge.is_up else "down")
    ranges = node_ranges(evidence.nodes[node.name])
    addresses = [each.ip for each in report.root.addresses if each.dev == "cni0" and each.family == 4]
    known = bool(ranges and addresses)
    matches = all(in_ranges(ip, ranges) for ip in addresses) if known else None
    into.put(node, "cni0_address_matches", matches, "the bridge's address or the node's range is not known")
