"""From what an alert speaks of to what can be diagnosed: a namespace, a node, or every node.

A pod, a workload and a Service lead to their namespace: healthy neighbours show what a fault is, and a hundred
pods of one namespace are one diagnosis.
"""

import ipaddress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bot.cluster.client.api import Listed
from bot.cluster.objects import ConfigMap, Node, Pod
from bot.domain.alert import AlertScope
from bot.domain.errors import ForbiddenError, NotFoundError
from bot.domain.incident import ALL_NODES

SYSTEM_NAMESPACE = "kube-system"
"""Where the look at nodes begins: cluster DNS, which every pod needs, is here (on OpenShift elsewhere)."""
_OPENSHIFT_DNS = "openshift-dns"
_MOST_NAMESAKES = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Where to look for an alert."""

    namespace: str
    node: str | None = None
    """The node, or `ALL_NODES`."""
    subject: str = ""
    """What the alert is about, kind and name: "pod shop/web-0"; "" for nothing more exact."""
    why: str = ""
    """What was found out on the way: "runs calico-node-x2x7p"."""
    does_not_apply: str = ""
    """Why the alert's rule has nothing to measure here; then there is nothing to diagnose."""


class Listing(Protocol):
    """The Kubernetes API, as far as it lists."""

    async def list_all(self, path: str, item_type: type[T], *, max_items: int = ..., **query: str | int) -> Listed[T]:
        """All objects of a path."""
        ...

    async def get(self, path: str, item_type: type[T], **query: str | int) -> T:
        """One object."""
        ...


def located_by_itself(scope: AlertScope) -> Located | None:
    """Where to look for what names its namespace; None: the cluster must be asked."""
    if scope.kind not in {"pod", "workload", "service", "namespace"} or not scope.namespace:
        return None
    name = f"{scope.namespace}/{scope.name}" if scope.name else scope.namespace
    kind = scope.workload if scope.kind == "workload" else scope.kind
    return Located(namespace=scope.namespace, subject=f"{kind} {name}")


async def locate(scope: AlertScope, api: Listing) -> Located | None:
    """Where to look; None: what the alert names is not in this cluster. Errors: `BotError`."""
    if found := located_by_itself(scope):
        return found
    match scope.kind:
        case "pod":
            return await _of_pod(scope, api)
        case "node":
            nodes = await _nodes(api)
            return await _of_node(scope.name, api) if scope.name in {node.metadata.name for node in nodes} else None
        case "node-of-pod":
            return await _of_agent(scope, api)
        case "address":
            return await _of_address(scope.name, api)
        case _:
            why = await _without_kube_proxy(api) if scope.name == "kube-proxy" else ""
            return Located(namespace=await _system_namespace(api), node=ALL_NODES, does_not_apply=why)


async def _without_kube_proxy(api: Listing) -> str:
    """What does kube-proxy's work in its place; "" where nothing is known to: then its absence is a fault."""
    if any("+k3s" in node.status.node_info.kubelet_version for node in await _nodes(api)):
        return "K3s runs kube-proxy inside its own process, where Prometheus finds no target of its own"
    try:
        config = await api.get(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/cilium-config", ConfigMap)
    except (NotFoundError, ForbiddenError):
        return ""
    is_replaced = config.data.get("kube-proxy-replacement", "").lower() in {"true", "strict"}
    return "Cilium is configured to do kube-proxy's work (kube-proxy-replacement)" if is_replaced else ""


async def _of_pod(scope: AlertScope, api: Listing) -> Located | None:
    """A pod whose namespace the alert leaves out."""
    found = await _pods(api, f"metadata.name={scope.name}")
    if len(found) != 1:
        return None
    namespace = found[0].metadata.namespace
    return Located(namespace=namespace, subject=f"pod {namespace}/{scope.name}")


async def _of_agent(scope: AlertScope, api: Listing) -> Located:
    """The node of a pod that reports about it. It may be gone by now; its node is then not known."""
    found = await _pods(api, f"metadata.name={scope.name}", scope.namespace)
    node = found[0].spec.node_name if len(found) == 1 else ""
    if node:
        return await _of_node(node, api, why=f"runs {scope.name}")
    return Located(
        namespace=await _system_namespace(api), node=ALL_NODES, why=f"{scope.name} is gone, so its node is not known"
    )


async def _of_address(host: str, api: Listing) -> Located | None:
    for node in await _nodes(api):
        if host == node.metadata.name or host in {address.address for address in node.status.addresses}:
            return await _of_node(node.metadata.name, api, why=f"has the address {host}")
    if not _is_ip(host):
        return None
    pods = [pod for pod in await _pods(api, f"status.podIP={host}") if not pod.spec.host_network]
    if len(pods) != 1:
        return None
    meta = pods[0].metadata
    return Located(namespace=meta.namespace, subject=f"pod {meta.namespace}/{meta.name}", why=f"has the address {host}")


async def _of_node(name: str, api: Listing, why: str = "") -> Located:
    return Located(namespace=await _system_namespace(api), node=name, subject=f"node {name}", why=why)


async def _system_namespace(api: Listing) -> str:
    """Where cluster DNS runs."""
    pods = await api.list_all(f"/api/v1/namespaces/{_OPENSHIFT_DNS}/pods", Pod, max_items=1, limit=1)
    return _OPENSHIFT_DNS if pods.items else SYSTEM_NAMESPACE


async def _nodes(api: Listing) -> tuple[Node, ...]:
    return (await api.list_all("/api/v1/nodes", Node)).items


async def _pods(api: Listing, selector: str, namespace: str = "") -> tuple[Pod, ...]:
    within = f"/namespaces/{namespace}" if namespace else ""
    path = f"/api/v1{within}/pods"
    return (await api.list_all(path, Pod, max_items=_MOST_NAMESAKES, fieldSelector=selector)).items


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
