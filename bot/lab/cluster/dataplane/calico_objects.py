"""Calico's custom resources as `kubectl get` shows them on a cluster with the Kubernetes datastore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bot.lab.cluster.names import Json

_GROUP = "crd.projectcalico.org"
_VERSION = f"{_GROUP}/v1"
_KINDS = {
    "ippools": ("IPPool", "Cluster"),
    "blockaffinities": ("BlockAffinity", "Cluster"),
    "ipamblocks": ("IPAMBlock", "Cluster"),
    "felixconfigurations": ("FelixConfiguration", "Cluster"),
    "clusterinformations": ("ClusterInformation", "Cluster"),
    "globalnetworkpolicies": ("GlobalNetworkPolicy", "Cluster"),
    "networkpolicies": ("NetworkPolicy", "Namespaced"),
    "hostendpoints": ("HostEndpoint", "Cluster"),
    "bgpconfigurations": ("BGPConfiguration", "Cluster"),
    "bgppeers": ("BGPPeer", "Cluster"),
}


ADMIN_GROUP = "policy.networking.k8s.io"
ADMIN_KINDS = {
    "adminnetworkpolicies": "AdminNetworkPolicy",
    "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
}


def definition(group: str, version: str, plural: str, kind: str, scope: str) -> Json:
    """A CustomResourceDefinition that accepts any fields."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": versions},
    }


def definitions() -> Iterable[Json]:
    """The CustomResourceDefinitions, to be created first."""
    for plural, (kind, scope) in _KINDS.items():
        yield definition(_GROUP, "v1", plural, kind, scope)
    for plural, kind in ADMIN_KINDS.items():  # they come with Calico's own manifest since 3.29
        yield definition(ADMIN_GROUP, "v1alpha1", plural, kind, "Cluster")


def _made(plural: str, name: str, spec: Json) -> tuple[str, Json]:
    body: Json = {"apiVersion": _VERSION, "kind": _KINDS[plural][0], "metadata": {"name": name}, "spec": spec}
    return f"{plural}.{_GROUP}", body


def objects(pool: str, blocks: Mapping[str, Sequence[str]], vteps: Mapping[str, str]) -> Iterable[tuple[str, Json]]:
    """(resource, object) for the pool, the block affinities and the settings that the data plane follows."""
    spec: Json = {"cidr": pool, "blockSize": 26, "vxlanMode": "Always", "ipipMode": "Never"}
    spec |= {"natOutgoing": True, "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"]}
    yield _made("ippools", "default-ipv4-ippool", spec)
    yield _made("felixconfigurations", "default", {"logSeverityScreen": "Info", "vxlanEnabled": True})
    yield _made(
        "clusterinformations", "default", {"calicoVersion": "v3.30.2", "clusterType": "k8s", "datastoreReady": True}
    )
    for node, cidrs in blocks.items():
        for cidr in cidrs:
            affinity: Json = {"cidr": cidr, "deleted": "false", "node": node, "state": "confirmed"}
            name = cidr.replace(".", "-").replace("/", "-")
            yield _made("blockaffinities", f"{node}-{name}", affinity)
            tunnel = vteps.get(node)
            yield _made("ipamblocks", name, {"cidr": cidr, "affinity": f"host:{node}", "tunnel": tunnel or ""})
