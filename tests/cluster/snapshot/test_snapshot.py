"""Snapshots of a real (lab) API server: what is in them, and what they say when something is not."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.cluster.snapshot.reader import take_snapshot
from bot.cluster.snapshot.scope import SNAPSHOT_NEEDS
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.errors import DeadlineError, UnauthorizedError, UnknownNamespaceError
from bot.domain.report import ApiRead, Unobserved
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from bot.lab.cluster.dataplane.calico_objects import definition
from bot.probes.shared.unread_resources import why_unread
from tests.cluster.small_cluster import SmallCluster

QUICK = Backoff(attempts=2, first_s=0.001, max_s=0.01)
READ = ["get", "list"]


@pytest.fixture
def shop(cluster: SmallCluster) -> SmallCluster:
    """Two namespaces on two nodes, DNS and a CNI."""
    cluster.namespace("shop", "other")
    cluster.node("node-1", "node-2", "node-3")
    cluster.pod("shop", "web", "node-1")
    cluster.pod("shop", "db", "node-2")
    cluster.pod("other", "neighbour", "node-1")
    cluster.pod("other", "far", "node-3")
    cluster.pod("kube-system", "calico-node-1", "node-1", image="calico/node:v3.29.1", hostNetwork=True)
    cluster.add("services", "web", "shop", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    cluster.add("services", "kube-dns", "kube-system", spec={"ports": [{"port": 53, "protocol": "UDP"}]})
    cluster.add("services", "hidden", "other", spec={"ports": [{"port": 80}]})
    cluster.add("configmaps", "coredns", "kube-system", data={"Corefile": ".:53 {}"})
    cluster.add("configmaps", "private", "kube-system", data={"password": "x"})
    policy: dict[str, object] = {"podSelector": {}, "policyTypes": ["Ingress"]}
    cluster.add("networkpolicies.networking.k8s.io", "deny", "shop", spec=policy)
    return cluster


def names(items: Iterable[Any]) -> list[str]:
    return [item.metadata.name for item in items]


async def taken(cluster: SmallCluster, *, kubeconfig: str | None = None, **options: Any) -> Snapshot:
    async with Api.connect(kubeconfig or cluster.kubeconfig(), backoff=QUICK) as api:
        return await take_snapshot(api, "shop", deadline_s=10, **options)


async def test_services_of_another_namespace_to_which_an_alias_leads_are_read(shop: SmallCluster):
    alias = {"type": "ExternalName", "externalName": "hidden.other.svc.cluster.local"}
    shop.add("services", "alias", "shop", spec=alias)

    snapshot = await taken(shop)

    assert names(snapshot.services) == ["kubernetes", "kube-dns", "hidden", "alias", "web"]


async def test_what_a_namespace_depends_on(shop: SmallCluster):
    snapshot = await taken(shop)

    assert snapshot.unobserved == ()
    assert snapshot.cluster == "lab"
    assert snapshot.server_version.startswith("v1.")
    assert names(snapshot.pods) == ["db", "web"]
    assert names(snapshot.dependency_pods) == ["calico-node-1"]
    assert {"web", "db", "neighbour", "calico-node-1"} <= set(names(snapshot.node_pods))
    assert names(snapshot.nodes) == ["node-1", "node-2", "node-3"]
    assert names(snapshot.services) == ["kubernetes", "kube-dns", "web"]
    assert "kubernetes" in names(snapshot.endpoint_slices)
    assert names(snapshot.config_maps) == ["coredns"]
    assert names(snapshot.network_policies) == ["deny"]
    assert {"shop", "other", "kube-system"} <= set(names(snapshot.namespaces))


async def test_an_unknown_namespace_names_the_nearest(shop: SmallCluster, api: Api):
    with pytest.raises(UnknownNamespaceError) as raised:
        await take_snapshot(api, "shpo", deadline_s=10)

    assert str(raised.value) == "There is no namespace 'shpo'. Did you mean shop?"
    assert raised.value.nearest == ("shop",)


async def test_a_large_cluster_is_read_by_node(shop: SmallCluster, monkeypatch: pytest.MonkeyPatch):
    """All pods of 5,000 nodes are too many to read for one namespace."""
    monkeypatch.setattr("bot.cluster.snapshot.reader.SMALL_CLUSTER_NODES", 2)
    snapshot = await taken(shop)

    assert names(snapshot.node_pods) == ["calico-node-1", "neighbour", "db", "web"]
    assert names(snapshot.dependency_pods) == ["calico-node-1"]


async def test_of_a_large_cluster_named_nodes_and_some_of_the_rest_are_read(
    shop: SmallCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bot.cluster.snapshot.reader.SMALL_CLUSTER_NODES", 2)

    assert "far" in names((await taken(shop, nodes=("node-3", "node-9"))).node_pods)
    assert "far" in names((await taken(shop, all_nodes=True)).node_pods)


async def test_of_a_large_cluster_no_more_nodes_are_read_than_are_looked_at(
    shop: SmallCluster, monkeypatch: pytest.MonkeyPatch
):
    """kube-system has pods on each of them: that is a request and the pods of each."""
    monkeypatch.setattr("bot.cluster.snapshot.reader.SMALL_CLUSTER_NODES", 2)
    nodes = {pod.spec.node_name for pod in (await taken(shop)).node_pods}
    read = {pod.spec.node_name for pod in (await taken(shop, most_nodes=1)).node_pods}
    named = {pod.spec.node_name for pod in (await taken(shop, nodes=("node-3",), most_nodes=1)).node_pods}

    assert nodes == {"node-1", "node-2"}
    assert read == {"node-1"}
    assert named == {"node-3"}


async def test_a_forbidden_resource_is_unobserved_and_the_rest_is_there(shop: SmallCluster):
    rules = [
        {"apiGroups": [""], "resources": ["pods", "namespaces", "services", "configmaps", "events"], "verbs": READ},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
    ]
    snapshot = await taken(shop, kubeconfig=shop.kubeconfig("eve", rules))

    assert names(snapshot.pods) == ["db", "web"]
    assert snapshot.nodes == ()
    assert snapshot.unobserved == (
        Unobserved(
            what="networkpolicies in namespace shop",
            why="Not allowed to list networkpolicies.networking.k8s.io in namespace shop.",
            remedy="list networkpolicies.networking.k8s.io in namespace shop",
            kind="api",
            reads=(ApiRead(plural="networkpolicies", group="networking.k8s.io", namespace="shop"),),
        ),
        Unobserved(
            what="networkpolicies of other namespaces",
            why="Not allowed to list networkpolicies.networking.k8s.io in the whole cluster.",
            remedy="list networkpolicies.networking.k8s.io",
            kind="api",
            reads=(ApiRead(plural="networkpolicies", group="networking.k8s.io"),),
        ),
        Unobserved(
            what="nodes",
            why="Not allowed to list nodes in the whole cluster.",
            remedy="list nodes",
            kind="api",
            reads=(ApiRead(plural="nodes"),),
        ),
    )


async def test_rights_in_one_namespace_only(shop: SmallCluster):
    kubeconfig = shop.kubeconfig("dev", [])
    shop.grant("dev", "shop", [{"apiGroups": ["*"], "resources": ["*"], "verbs": READ}])
    snapshot = await taken(shop, kubeconfig=kubeconfig)

    assert names(snapshot.pods) == ["db", "web"]
    assert names(snapshot.network_policies) == ["deny"]
    assert names(snapshot.services) == ["web"]
    permissions = {each.remedy for each in snapshot.unobserved}
    assert {"list namespaces", "list nodes", "list pods", "list networkpolicies.networking.k8s.io"} <= permissions


async def test_declared_needs_are_enough(shop: SmallCluster):
    """What SNAPSHOT_NEEDS declares is what a snapshot uses: with exactly that, nothing is unobserved."""
    rules = [{"apiGroups": [need.group], "resources": [need.resource], "verbs": [need.verb]} for need in SNAPSHOT_NEEDS]
    snapshot = await taken(shop, kubeconfig=shop.kubeconfig("bot", rules))

    assert snapshot.unobserved == ()


async def test_a_failing_resource_is_unobserved(shop: SmallCluster):
    shop.api_faults.add(ApiFault(kind="internal-error", matches=lambda _, path: "/nodes" in path))
    snapshot = await taken(shop)

    assert names(snapshot.pods) == ["db", "web"]
    assert [each.what for each in snapshot.unobserved] == ["nodes"]
    assert "failed (HTTP 500): Internal Server Error: etcdserver: request timed out" in snapshot.unobserved[0].why


async def test_a_hanging_resource_does_not_hold_the_rest(shop: SmallCluster):
    shop.api_faults.add(ApiFault(kind="hang", matches=lambda _, path: "/services" in path))
    async with Api.connect(shop.kubeconfig()) as api:
        snapshot = await take_snapshot(api, "shop", deadline_s=1.5)

    assert names(snapshot.pods) == ["db", "web"]
    missed = {read for each in snapshot.unobserved for read in each.reads}
    assert {ApiRead(plural="services", namespace=each) for each in ("shop", "kube-system")} <= missed
    assert why_unread(snapshot, "services", namespace="shop") == "It was not read within 1.5 s."
    assert why_unread(snapshot, "pods", namespace="shop") == ""
    assert {each.why for each in snapshot.unobserved} == {"It was not read within 1.5 s."}


async def test_a_server_that_hangs_from_the_start(shop: SmallCluster):
    shop.api_faults.add(ApiFault(kind="hang"))
    async with Api.connect(shop.kubeconfig()) as api:
        with pytest.raises(DeadlineError) as raised:
            await take_snapshot(api, "shop", deadline_s=0.2)

    assert str(raised.value) == f"The API server {shop.url} did not answer within 0.2 s."


async def test_expired_credentials(shop: SmallCluster):
    path = str(shop.pki.kubeconfig(shop.pki.directory / "old", server=shop.url, token="old"))
    async with Api.connect(path) as api:
        with pytest.raises(UnauthorizedError):
            await take_snapshot(api, "shop", deadline_s=5)


async def test_a_snapshot_survives_recording(shop: SmallCluster):
    snapshot = await taken(shop)
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


async def test_environments_are_kept_for_connectivity_agents_only(shop: SmallCluster):
    env = [{"name": "CALICO_IPV4POOL_VXLAN", "value": "Always"}, {"name": "API_TOKEN", "value": "hush"}]

    def daemon_set(namespace: str) -> None:
        labels = {"app": "a"}
        container = {"name": "calico-node", "image": "calico/node:v3.29.1", "env": env}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        shop.add("daemonsets.apps", "a", namespace, spec={"selector": {"matchLabels": labels}, "template": template})

    daemon_set("kube-system")
    daemon_set("shop")
    snapshot = await taken(shop)

    kept = {
        each.metadata.namespace: {v.name: v.value for v in each.spec.template.spec.containers[0].env}
        for each in snapshot.daemon_sets
    }
    assert kept == {
        "kube-system": {"CALICO_IPV4POOL_VXLAN": "Always", "API_TOKEN": "(hidden)"},
        "shop": {},
    }


async def test_kinds_of_one_group_are_read_by_the_versions_that_they_have(shop: SmallCluster):
    """Whichever version the group prefers: it has none of the other kind."""
    group = "policy.networking.k8s.io"
    for version, plural, kind in (
        ("v1alpha1", "adminnetworkpolicies", "AdminNetworkPolicy"),
        ("v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy"),
    ):
        shop.storage.create(
            "customresourcedefinitions.apiextensions.k8s.io", definition(group, version, plural, kind, "Cluster")
        )
        made = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "it"}, "spec": {"priority": 1}}
        shop.storage.create(f"{plural}.{group}", made)
    snapshot = await taken(shop)
    found = {plural: names(objects) for plural, objects in snapshot.custom_objects.items()}

    assert {"adminnetworkpolicies": ["it"], "clusternetworkpolicies": ["it"]}.items() <= found.items()
    assert "baselineadminnetworkpolicies" not in found


async def test_of_other_services_those_are_kept_that_may_claim_an_address(shop: SmallCluster):
    for name, spec in (("plain", {}), ("claiming", {"externalIPs": ["198.51.100.10"]})):
        made = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"ports": [{"port": 53, "protocol": "UDP"}], **spec},
        }
        shop.storage.create("services", made, namespace="default")
    snapshot = await taken(shop)
    kubeconfig = shop.kubeconfig("dev", [])
    shop.grant("dev", "shop", [{"apiGroups": ["*"], "resources": ["*"], "verbs": READ}])
    narrow = await taken(shop, kubeconfig=kubeconfig)

    assert [each.metadata.name for each in snapshot.claiming_services or ()] == ["claiming"]
    assert narrow.claiming_services is None
    assert not any(read.plural == "services" and not read.namespace for one in narrow.unobserved for read in one.reads)
