"""DaemonSets: one pod per node, revisions, rollouts of both kinds, undo."""

from typing import Any

from bot.lab.cluster.controllers import revisions
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers.cluster import Cluster, cluster

RESOURCE = "daemonsets.apps"


def agent(**spec: Any) -> dict[str, Any]:
    return build.workload("agent", image="calico/node:v3.28.0", **spec)


def image(pod: dict[str, Any]) -> str:
    return pod["spec"]["containers"][0]["image"]


def set_image(cluster: Cluster, image: str) -> None:
    def change(daemon_set: dict[str, Any]) -> dict[str, Any]:
        daemon_set["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return daemon_set

    cluster.storage.modify(RESOURCE, "agent", "shop", change)


async def test_every_node_gets_one_pod() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, agent(), namespace="shop")
        await lab.run_all()
        build.node(lab.storage, "node-4")
        await lab.run_all()
        lab.storage.delete("nodes", "node-1")
        await lab.run_all()
        nodes = [pod["spec"]["nodeName"] for pod in lab.pods()]
        status = lab.storage.get(RESOURCE, "agent", "shop")["status"]

    assert sorted(nodes) == ["node-2", "node-3", "node-4"]
    assert status["desiredNumberScheduled"] == status["numberReady"] == status["numberAvailable"] == 3


async def test_a_pod_that_is_deleted_comes_back() -> None:
    async with cluster(1) as lab:
        lab.storage.create(RESOURCE, agent(), namespace="shop")
        await lab.run_all()
        (first,) = lab.pods()
        lab.storage.delete("pods", first["metadata"]["name"], "shop")
        await lab.run_all()
        (second,) = lab.pods()

    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert lab.reasons("agent") == ["SuccessfulCreate", "SuccessfulCreate"]


async def test_daemon_pods_run_on_cordoned_and_on_broken_nodes() -> None:
    async with cluster(2) as lab:
        lab.storage.patch("nodes", "node-1", None, {"spec": {"unschedulable": True}})
        broken = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]
        lab.storage.patch("nodes", "node-2", None, {"status": {"conditions": broken}}, subresource="status")
        await lab.settle()
        tolerant = agent()
        tolerant["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
        lab.storage.create(RESOURCE, tolerant, namespace="shop")
        await lab.settle()

        assert sorted(pod["spec"]["nodeName"] for pod in lab.pods()) == ["node-1", "node-2"]


async def test_a_rollout_replaces_one_pod_at_a_time() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, agent(), namespace="shop")
        await lab.run_all()
        set_image(lab, "calico/node:v3.28.1")
        await lab.settle()
        ending = [pod for pod in lab.pods() if pod["metadata"].get("deletionTimestamp")]
        await lab.run_all()
        images = {image(pod) for pod in lab.pods()}
        status = lab.storage.get(RESOURCE, "agent", "shop")["status"]

    assert len(ending) == 1
    assert images == {"calico/node:v3.28.1"}
    assert status["updatedNumberScheduled"] == 3


async def test_on_delete_waits_for_somebody_to_delete() -> None:
    async with cluster(2) as lab:
        lab.storage.create(RESOURCE, agent(updateStrategy={"type": "OnDelete"}), namespace="shop")
        await lab.run_all()
        set_image(lab, "calico/node:v3.28.1")
        await lab.run_all()
        untouched = {image(pod) for pod in lab.pods()}
        lab.storage.delete("pods", lab.pods()[0]["metadata"]["name"], "shop")
        await lab.run_all()
        images = sorted(image(pod) for pod in lab.pods())

    assert untouched == {"calico/node:v3.28.0"}
    assert images == ["calico/node:v3.28.0", "calico/node:v3.28.1"]


async def test_an_undo_reuses_the_revision_under_the_next_number() -> None:
    async with cluster(1) as lab:
        lab.storage.create(RESOURCE, agent(), namespace="shop")
        await lab.run_all()
        (first,) = lab.storage.list(revisions.RESOURCE, "shop")
        set_image(lab, "calico/node:v3.28.1")
        await lab.run_all()
        set_image(lab, "calico/node:v3.28.0")
        await lab.run_all()
        numbers = {each["metadata"]["name"]: each["revision"] for each in lab.storage.list(revisions.RESOURCE, "shop")}

    assert len(numbers) == 2
    assert numbers[first["metadata"]["name"]] == 3


async def test_old_revisions_are_forgotten_beyond_the_limit() -> None:
    async with cluster(1) as lab:
        lab.storage.create(RESOURCE, agent(revisionHistoryLimit=2), namespace="shop")
        for number in range(5):
            set_image(lab, f"calico/node:v{number}")
            await lab.run_all()
        numbers = sorted(each["revision"] for each in lab.storage.list(revisions.RESOURCE, "shop"))

    assert len(numbers) == 3
    assert numbers[-1] - numbers[0] == 2


async def test_node_selectors_and_taints_keep_pods_away() -> None:
    async with cluster() as lab:
        lab.storage.patch("nodes", "node-1", None, {"metadata": {"labels": {"role": "edge"}}})
        taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
        lab.storage.patch("nodes", "node-2", None, {"spec": {"taints": [taint]}})
        selective = agent()
        selective["spec"]["template"]["spec"]["nodeSelector"] = {"role": "edge"}
        lab.storage.create(RESOURCE, selective, namespace="shop")
        lab.storage.create(RESOURCE, build.workload("other"), namespace="shop")
        await lab.run_all()
        nodes = {
            name: sorted(pod["spec"]["nodeName"] for pod in lab.storage.list("pods", "shop", labels=f"app={name}"))
            for name in ("agent", "other")
        }

    assert nodes == {"agent": ["node-1"], "other": ["node-1", "node-3"]}
