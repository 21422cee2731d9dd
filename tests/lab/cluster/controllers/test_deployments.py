"""Deployments and ReplicaSets: rollouts, undo, scaling, cleaning up."""

from typing import Any

import pytest

from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers.cluster import Cluster, cluster

RESOURCE = "deployments.apps"
SETS = "replicasets.apps"


def sizes(lab: Cluster) -> dict[str, int]:
    """Replicas by the image of their ReplicaSet."""
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: each["spec"]["replicas"]
        for each in lab.storage.list(SETS, "shop")
    }


def set_image(lab: Cluster, image: str) -> None:
    def change(deployment: dict[str, Any]) -> dict[str, Any]:
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return deployment

    lab.storage.modify(RESOURCE, "web", "shop", change)


def conditions(lab: Cluster) -> dict[str, tuple[str, str]]:
    status = lab.storage.get(RESOURCE, "web", "shop")["status"]
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


async def test_a_deployment_makes_its_pods_and_says_so() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=3), namespace="shop")
        await lab.run_all()
        deployment = lab.storage.get(RESOURCE, "web", "shop")
        nodes = sorted(pod["spec"]["nodeName"] for pod in lab.pods())

        assert nodes == ["node-1", "node-2", "node-3"]
        assert deployment["status"]["readyReplicas"] == 3
        assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        assert lab.reasons("web") == ["ScalingReplicaSet"]
        assert conditions(lab) == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }


async def test_a_rollout_keeps_enough_pods_available() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=4), namespace="shop")
        await lab.run_all()
        set_image(lab, "nginx:2")
        await lab.settle()
        during = sizes(lab)
        await lab.run_all()

        assert during == {"nginx:1.27": 3, "nginx:2": 2}  # 25 % surge, 25 % missing
        assert sizes(lab) == {"nginx:1.27": 0, "nginx:2": 4}


async def test_going_back_renumbers_the_old_replica_set() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=1), namespace="shop")
        await lab.run_all()
        for image in ("nginx:2", "nginx:1.27"):
            set_image(lab, image)
            await lab.run_all()
        revisions = {
            each["spec"]["replicas"]: each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for each in lab.storage.list(SETS, "shop")
        }

    assert revisions == {0: "2", 1: "3"}


async def test_recreate_ends_all_before_it_starts_one() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=2, strategy={"type": "Recreate"}), namespace="shop")
        await lab.run_all()
        set_image(lab, "nginx:2")
        await lab.settle()
        running = [pod for pod in lab.pods() if not pod["metadata"].get("deletionTimestamp")]
        await lab.run_all()

        assert running == []
        assert {pod["spec"]["containers"][0]["image"] for pod in lab.pods()} == {"nginx:2"}


@pytest.mark.parametrize("replicas", [0, 1, 5])
async def test_scaling_makes_and_removes_pods(replicas: int) -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=3), namespace="shop")
        await lab.run_all()
        lab.storage.patch(RESOURCE, "web", "shop", {"spec": {"replicas": replicas}})
        await lab.run_all()

        assert len(lab.pods()) == replicas


async def test_a_paused_deployment_does_not_roll() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=2), namespace="shop")
        await lab.run_all()
        lab.storage.patch(RESOURCE, "web", "shop", {"spec": {"paused": True}})
        set_image(lab, "nginx:2")
        await lab.run_all()
        paused = sizes(lab)
        lab.storage.patch(RESOURCE, "web", "shop", {"spec": {"paused": None}})
        await lab.run_all()

        assert paused == {"nginx:1.27": 2}
        assert sizes(lab)["nginx:2"] == 2


async def test_pods_that_never_get_ready_stop_the_rollout() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=4), namespace="shop")
        await lab.run_all()
        set_image(lab, "nginx:broken")
        await lab.settle()
        for pod in lab.pods():
            if pod["metadata"].get("deletionTimestamp"):
                lab.storage.delete("pods", pod["metadata"]["name"], "shop", grace_period_s=0)
        await lab.settle()
        status = lab.storage.get(RESOURCE, "web", "shop")["status"]

        assert sizes(lab) == {"nginx:1.27": 3, "nginx:broken": 2}
        assert status["availableReplicas"] == 3
        assert status["unavailableReplicas"] == 2


async def test_a_surplus_pod_of_a_replica_set_is_the_least_useful_one() -> None:
    async with cluster() as lab:
        labels = {"app": "web"}
        lab.storage.create(SETS, build.workload(replicas=2), namespace="shop")
        await lab.run_all()
        working = {pod["metadata"]["name"] for pod in lab.pods()}
        lab.storage.create("pods", build.pod("stray", node="", labels=labels), namespace="shop")
        await lab.run_all()

        assert {pod["metadata"]["name"] for pod in lab.pods()} == working
        assert "SuccessfulDelete" in lab.reasons("web")


async def test_deleting_takes_everything_along() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=2), namespace="shop")
        await lab.run_all()
        lab.storage.delete(RESOURCE, "web", "shop")
        await lab.run_all()

        assert lab.pods() == []
        assert lab.storage.list(SETS, "shop") == []


async def test_the_history_has_a_limit() -> None:
    async with cluster() as lab:
        lab.storage.create(RESOURCE, build.workload(replicas=1, revisionHistoryLimit=1), namespace="shop")
        for number in range(4):
            set_image(lab, f"nginx:{number}")
            await lab.run_all()

        assert sorted(sizes(lab).values()) == [0, 1]
