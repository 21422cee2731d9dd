"""What a CNI's configuration says about its data plane: tunnels, Service handling, policies."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, cast

from bot.cluster.cni.catalogue import CniName
from bot.cluster.cni.distribution import Distribution, server_arguments
from bot.cluster.objects import ConfigMap, CustomObject, DaemonSet
from bot.cluster.snapshot.snapshot import Snapshot

Encapsulation = Literal["vxlan", "ipip", "geneve", "wireguard", "none", "unknown"]

_FLANNEL_BACKEND = "flannel.alpha.coreos.com/backend-type"
_FLANNEL: dict[str, Encapsulation] = {
    "vxlan": "vxlan",
    "host-gw": "none",
    "wireguard": "wireguard",
    "wireguard-native": "wireguard",
    "extension": "wireguard",
    "ipip": "ipip",
}
_FIXED: dict[CniName, Encapsulation] = {"aws-vpc-cni": "none", "kindnet": "none", "weave": "vxlan"}
"""Those that know no other way."""

Conclusion = tuple[str, str]
"""A conclusion and the sentence it was drawn from; ("unknown", "") without one."""


def flannel_backends(snapshot: Snapshot) -> set[str]:
    """The backends that flannel has noted on the nodes."""
    annotations = (node.metadata.annotations.get(_FLANNEL_BACKEND, "") for node in snapshot.nodes)
    return {backend for backend in annotations if backend}


def encapsulation_of(snapshot: Snapshot, name: CniName, agent: DaemonSet | None) -> tuple[Encapsulation, str]:
    """How packets travel between nodes."""
    match name:
        case "calico":
            return _of_calico(snapshot, agent)
        case "flannel" | "canal":
            return _of_flannel(snapshot)
        case "cilium" | "gke-dataplane-v2":
            return _of_cilium(snapshot)
        case "kube-router" if agent is not None:
            return _of_kube_router(agent)
        case _ if name in _FIXED:
            return _FIXED[name], f"{name} has no other way."
        case _:
            return "unknown", ""


def active_pools(snapshot: Snapshot) -> list[CustomObject]:
    """Calico's IP pools from which pods get addresses."""
    return [pool for pool in snapshot.custom_objects.get("ippools", ()) if not pool.spec.get("disabled")]


def _of_calico(snapshot: Snapshot, agent: DaemonSet | None) -> tuple[Encapsulation, str]:
    for pool in active_pools(snapshot):
        name = pool.metadata.name
        for mode, encapsulation in (("vxlanMode", "vxlan"), ("ipipMode", "ipip")):
            value = pool.spec.get(mode, "Never")
            if value in {"Always", "CrossSubnet"}:
                return cast("Encapsulation", encapsulation), f"IP pool {name} has {mode} {value}."
    if active_pools(snapshot):
        return "none", "No active IP pool has vxlanMode or ipipMode."
    for installation in snapshot.custom_objects.get("installations", ()):
        for encapsulation in _operator_encapsulations(installation):
            return encapsulation, f"The operator's Installation asks for {encapsulation}."
    for variable, encapsulation in (("CALICO_IPV4POOL_VXLAN", "vxlan"), ("CALICO_IPV4POOL_IPIP", "ipip")):
        if environment(agent).get(variable, "") in {"Always", "CrossSubnet"}:
            return cast("Encapsulation", encapsulation), f"calico-node is started with {variable}."
    return "unknown", ""


def _operator_encapsulations(installation: CustomObject) -> Iterator[Encapsulation]:
    network = installation.spec.get("calicoNetwork")
    pools: object = cast("dict[str, Any]", network).get("ipPools") if isinstance(network, dict) else None
    for pool in cast("list[object]", pools) if isinstance(pools, list) else ():
        wanted = cast("dict[str, Any]", pool).get("encapsulation", "") if isinstance(pool, dict) else ""
        if str(wanted).startswith("VXLAN"):
            yield "vxlan"
        elif str(wanted).startswith("IPIP"):
            yield "ipip"
        elif wanted == "None":
            yield "none"


def _of_flannel(snapshot: Snapshot) -> tuple[Encapsulation, str]:
    for backend in sorted(flannel_backends(snapshot)):
        return _FLANNEL.get(backend, "unknown"), f"Nodes carry the annotation {_FLANNEL_BACKEND}: {backend}."
    for config_map in snapshot.config_maps:
        backend = _flannel_backend(config_map)
        if backend:
            name = config_map.metadata.name
            return _FLANNEL.get(backend, "unknown"), f"ConfigMap {name} sets flannel's backend to {backend}."
    return "unknown", ""


def _flannel_backend(config_map: ConfigMap) -> str:
    try:
        parsed: object = json.loads(config_map.data.get("net-conf.json", ""))
    except (ValueError, RecursionError):
        return ""
    backend = cast("dict[str, Any]", parsed).get("Backend") if isinstance(parsed, dict) else None
    return str(cast("dict[str, Any]", backend).get("Type", "")) if isinstance(backend, dict) else ""


def _of_cilium(snapshot: Snapshot) -> tuple[Encapsulation, str]:
    config = config_map_data(snapshot, "cilium-config")
    if not config:
        return "unknown", ""
    if config.get("routing-mode") == "native" or config.get("tunnel") == "disabled":
        return "none", "ConfigMap cilium-config sets native routing."
    protocol = config.get("tunnel-protocol") or config.get("tunnel") or "vxlan"
    if protocol in {"vxlan", "geneve"}:
        return cast("Encapsulation", protocol), f"ConfigMap cilium-config sets tunnels by {protocol}."
    return "unknown", ""


def _of_kube_router(agent: DaemonSet) -> tuple[Encapsulation, str]:
    arguments = [argument for container in agent.spec.template.spec.containers for argument in container.args]
    if "--enable-overlay=false" in arguments:
        return "none", "kube-router is started with --enable-overlay=false."
    return "ipip", "kube-router uses IP in IP between subnets unless configured otherwise."


def proxy_of(snapshot: Snapshot, name: CniName, distribution: Distribution) -> tuple[str, str]:
    """The mode by which Services work, and why."""
    if why := _why_ebpf(snapshot, name):
        return "ebpf", why
    if distribution == "k3s":
        if "disable-kube-proxy" in server_arguments(snapshot):
            return "", "K3s is started with --disable-kube-proxy."
        return "iptables", "K3s runs kube-proxy inside its own process."
    mode = _kube_proxy_mode(snapshot)
    sentences = (
        "There are kube-proxy pods." if _has_kube_proxy(snapshot) else "",
        f"ConfigMap kube-proxy says {mode}." if mode else "",
    )
    return mode, " ".join(filter(None, sentences))


def _why_ebpf(snapshot: Snapshot, name: CniName) -> str:
    """Why Services are handled by the CNI's own eBPF programs; "" when they are not."""
    if name == "gke-dataplane-v2":
        return "GKE Dataplane V2 handles Services itself."
    if name == "cilium":
        replacement = config_map_data(snapshot, "cilium-config").get("kube-proxy-replacement", "").lower()
        return "ConfigMap cilium-config sets kube-proxy-replacement." if replacement in {"true", "strict"} else ""
    felix = snapshot.custom_objects.get("felixconfigurations", ()) if name == "calico" else ()
    return "FelixConfiguration has bpfEnabled." if any(each.spec.get("bpfEnabled") is True for each in felix) else ""


def _has_kube_proxy(snapshot: Snapshot) -> bool:
    names = [each.metadata.name for each in snapshot.daemon_sets if each.metadata.namespace == "kube-system"]
    pods = [*snapshot.dependency_pods, *snapshot.node_pods]
    system = [pod.metadata.name for pod in pods if pod.metadata.namespace == "kube-system"]
    return "kube-proxy" in names or any(name.startswith("kube-proxy-") for name in system)


def _kube_proxy_mode(snapshot: Snapshot) -> str:
    config = config_map_data(snapshot, "kube-proxy").get("config.conf", "")
    found = re.search(r"^mode:\s*\"?(\w*)\"?\s*$", config, re.MULTILINE)
    return "" if found is None else found[1] or "iptables"


def masquerades_all(snapshot: Snapshot) -> bool | None:
    """Whether kube-proxy gives all packets to Services its node's address; None where its settings were not read."""
    config = config_map_data(snapshot, "kube-proxy").get("config.conf", "")
    if found := re.search(r"^\s*masqueradeAll:\s*(true|false)\b", config, re.MULTILINE):
        return found[1] == "true"
    arguments = server_arguments(snapshot)
    return "masquerade-all" in arguments and "masquerade-all=false" not in arguments if arguments else None


def policy_of(snapshot: Snapshot, name: CniName, distribution: Distribution, *, by_agent: bool | None) -> Conclusion:
    """Whether NetworkPolicies are enforced: "yes", "no" or "unknown", and why."""
    if name == "flannel" and distribution == "k3s":
        if "disable-network-policy" in server_arguments(snapshot):
            return "no", "K3s is started with --disable-network-policy."
        return "yes", "K3s enforces NetworkPolicies with its built-in kube-router controller."
    if by_agent:
        return "yes", "An agent that runs here enforces NetworkPolicies."
    if name == "aws-vpc-cni":
        containers = (each for ds in snapshot.daemon_sets for each in ds.spec.template.spec.containers)
        if any("--enable-network-policy=true" in each.args for each in containers):
            return "yes", "aws-node's policy agent is started with --enable-network-policy=true."
    return ("unknown", "") if by_agent is None else ("no", f"{name} ignores NetworkPolicies.")


def config_map_data(snapshot: Snapshot, name: str) -> dict[str, str]:
    """The data of a ConfigMap of the CNI's or DNS's namespaces; empty when it was not read."""
    return next((each.data for each in snapshot.config_maps if each.metadata.name == name), dict[str, str]())


def environment(daemon_set: DaemonSet | None) -> dict[str, str]:
    """The environment of a DaemonSet's containers, merged."""
    containers = daemon_set.spec.template.spec.containers if daemon_set else ()
    return {variable.name: variable.value for container in containers for variable in container.env}
