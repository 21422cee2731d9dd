"""What speaks against installing Cilium as the first CNI of a cluster: nodes wait for one, and nothing else is wrong.

Pure, over the same `Seen` as the checks before a migration.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.cluster.cni.catalogue import agent_kind
from bot.cluster.objects import Container
from bot.cluster.writer import Object
from bot.domain.listing import and_more
from bot.domain.plan import value_at
from bot.remediation.cilium.preflight import Check, Seen, embedded, host_ports, kernels, managed, overlaps, traces
from bot.remediation.cilium.values import BLOCK, CiliumValues
from bot.remediation.status import condition_of, is_true

WAITING = "cni plugin not initialized"
"""What a kubelet says of a node whose container runtime has found no CNI configuration."""


def checks(values: CiliumValues, seen: Seen) -> list[Check]:
    """Every check, in the order of their ids."""
    found = [
        *managed(seen),
        *embedded(seen),
        *_another_cni(seen),
        *_range(values, seen),
        *kernels(seen),
        *_host_ports(seen),
        *_waiting(seen),
        *traces(seen),
        *_services(values, seen),
    ]
    return sorted(found, key=lambda one: one.id)


def waiting_nodes(seen: Seen) -> tuple[str, ...]:
    """The nodes that wait for a CNI."""
    return tuple(sorted(str(node["metadata"]["name"]) for node in seen.nodes or () if is_waiting(node)))


def is_waiting(node: Object) -> bool:
    """Whether the node is not Ready because it waits for a CNI."""
    return not is_true(node, "Ready") and WAITING in str(condition_of(node, "Ready").get("message", ""))


def _another_cni(seen: Seen) -> Iterator[Check]:
    if seen.daemon_sets is None:
        yield Check(id="P03", state="unknown", sentence="DaemonSets could not be read: whether there is a CNI already")
        return
    agents = sorted(_name(one) for one in seen.daemon_sets if _is_agent(one))
    if agents:
        yield Check(
            id="P03",
            state="blocked",
            sentence=f"There is a CNI already ({and_more(agents, 3)}): find out why it does not work, or migrate",
        )
    else:
        yield Check(id="P03", state="ok", sentence="No DaemonSet is the agent of a CNI.")


def _is_agent(daemon_set: Object) -> bool:
    containers: Sequence[Mapping[str, Any]] = value_at(daemon_set, ("spec", "template", "spec", "containers")) or ()
    owner = str(daemon_set["metadata"]["name"])
    return any(agent_kind(Container(name=one.get("name", ""), image=one.get("image", "")), owner) for one in containers)


def _name(obj: Object) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _range(values: CiliumValues, seen: Seen) -> Iterator[Check]:
    """The nodes' own podCIDRs may lie in it: nobody has handed them out, and Cilium does not look at them."""
    yield from overlaps([values.pod_range], seen, but=("Pod ranges of nodes",))
    blocks = 2 ** (BLOCK - values.network.prefixlen)
    if blocks < len(seen.nodes or ()):
        sentence = f"{values.pod_range} has {blocks} blocks of /{BLOCK}, and there are {len(seen.nodes or ())} nodes"
        yield Check(id="P04", state="blocked", sentence=sentence)


def _host_ports(seen: Seen) -> Iterator[Check]:
    """They do not work now either, so it is for the approvers to know."""
    for one in host_ports(seen):
        yield replace(one, state="asks") if one.state == "blocked" else one


def _waiting(seen: Seen) -> Iterator[Check]:
    if not seen.nodes:
        yield Check(id="P15", state="unknown", sentence="No node could be read")
        return
    ready = sorted(str(one["metadata"]["name"]) for one in seen.nodes if is_true(one, "Ready"))
    other = sorted(
        str(one["metadata"]["name"]) for one in seen.nodes if not is_true(one, "Ready") and not is_waiting(one)
    )
    if ready:
        sentence = f"{and_more(ready, 3)}: Ready, so some CNI is configured there. This is no fresh cluster"
        yield Check(id="P15", state="blocked", sentence=sentence)
    if other:
        sentence = (
            f"{and_more(other, 3)}: not Ready, and not because they wait for a CNI. Look at the kubelet there first"
        )
        yield Check(id="P15", state="blocked", sentence=sentence)
    if not ready and not other:
        yield Check(id="P15", state="ok", sentence=f"All {len(seen.nodes)} nodes wait for a CNI, and for nothing else.")


def _services(values: CiliumValues, seen: Seen) -> Iterator[Check]:
    """kube-proxy stays, so there must be one; agents reach the API server through it, unless told another way."""
    if seen.daemon_sets is None:
        return
    is_inside = any("+k3s" in str(value_at(one, ("status", "nodeInfo", "kubeletVersion"))) for one in seen.nodes or ())
    proxies = [one for one in seen.daemon_sets if one["metadata"]["name"] == "kube-proxy"]
    if not proxies and not is_inside:
        yield Check(
            id="P19",
            state="blocked",
            sentence=(
                "There is no kube-proxy, so nobody would serve ClusterIPs: plans do not install Cilium in its place. "
                "Install kube-proxy, or Cilium by hand with kubeProxyReplacement"
            ),
        )
        return
    served = {value_at(one, ("spec", "nodeName")) for one in owned(seen.pods or (), proxies) if _runs(one)}
    without = sorted({str(one["metadata"]["name"]) for one in seen.nodes or ()} - served)
    if without and proxies and not values.api_server:
        yield Check(
            id="P19",
            state="blocked",
            sentence=(
                f"kube-proxy does not run on {and_more(without, 3)}, and agents would reach the API server through it: "
                "name a direct way, HOST:PORT"
            ),
        )
        return
    yield Check(id="P19", state="ok", sentence="kube-proxy serves Services, and agents reach the API server.")


def owned(pods: Sequence[Object], owners: Sequence[Object]) -> list[Object]:
    """The pods of these owners."""
    uids = {one["metadata"]["uid"] for one in owners}
    references = ("metadata", "ownerReferences")
    return [pod for pod in pods if any(one.get("uid") in uids for one in value_at(pod, references) or ())]


def _runs(pod: Object) -> bool:
    """Whether its containers are up: that the pod is Ready, nobody says while its node is not."""
    statuses: Sequence[Mapping[str, Any]] = value_at(pod, ("status", "containerStatuses")) or ()
    return bool(statuses) and all(one.get("ready") for one in statuses)
