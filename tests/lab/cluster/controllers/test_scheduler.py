"""The scheduler: where pods go, and what it says when they cannot."""

from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers.cluster import cluster


async def test_a_pod_is_bound_with_event_and_condition() -> None:
    async with cluster() as lab:
        lab.storage.create("pods", build.pod(node=""), namespace="shop")
        await lab.settle()
        (pod,) = lab.pods()
        (event,) = lab.storage.list("events", "shop", fields="reason=Scheduled")

    assert pod["spec"]["nodeName"] == "node-1"
    assert [(each["type"], each["status"]) for each in pod["status"]["conditions"]] == [("PodScheduled", "True")]
    assert event["message"] == "Successfully assigned shop/a to node-1"
    assert event["reportingComponent"] == "default-scheduler"


async def test_pods_spread_over_nodes() -> None:
    async with cluster() as lab:
        for number in range(6):
            lab.storage.create("pods", build.pod(f"p{number}", node=""), namespace="shop")
        await lab.settle()
        nodes = sorted(pod["spec"]["nodeName"] for pod in lab.pods())

    assert nodes == ["node-1", "node-1", "node-2", "node-2", "node-3", "node-3"]


async def test_a_pod_that_fits_nowhere_waits_and_says_why() -> None:
    async with cluster() as lab:
        lab.storage.patch("nodes", "node-1", None, {"spec": {"unschedulable": True}})
        taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
        lab.storage.patch("nodes", "node-2", None, {"spec": {"taints": [taint]}})
        wanted = build.pod(node="", nodeSelector={"disk": "ssd"})
        lab.storage.patch("nodes", "node-1", None, {"metadata": {"labels": {"disk": "ssd"}}})
        lab.storage.patch("nodes", "node-2", None, {"metadata": {"labels": {"disk": "ssd"}}})
        await lab.settle()
        lab.storage.create("pods", wanted, namespace="shop")
        await lab.settle()
        (pod,) = lab.pods()
        (condition,) = pod["status"]["conditions"]
        lab.storage.patch("nodes", "node-1", None, {"spec": {"unschedulable": None}})
        await lab.settle()

        assert condition["reason"] == "Unschedulable"
        assert condition["message"] == (
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint(s) {dedicated: gpu}, 1 node(s) were unschedulable."
        )
        assert "FailedScheduling" in lab.reasons("a")
        assert lab.pods()[0]["spec"]["nodeName"] == "node-1"


async def test_tolerations_open_tainted_nodes() -> None:
    async with cluster(1) as lab:
        taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
        lab.storage.patch("nodes", "node-1", None, {"spec": {"taints": [taint]}})
        await lab.settle()
        equal = {"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
        lab.storage.create("pods", build.pod("a", node="", tolerations=[equal]), namespace="shop")
        lab.storage.create("pods", build.pod("b", node="", tolerations=[equal | {"value": "x"}]), namespace="shop")
        await lab.settle()
        nodes = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in lab.pods()}

    assert nodes == {"a": "node-1", "b": None or ""}


async def test_another_scheduler_is_left_alone() -> None:
    async with cluster() as lab:
        lab.storage.create("pods", build.pod(node="", schedulerName="mine"), namespace="shop")
        await lab.settle()

        assert not lab.pods()[0]["spec"].get("nodeName")


async def test_a_replacement_goes_where_the_pod_on_its_way_out_was() -> None:
    async with cluster() as lab:
        lab.storage.create("deployments.apps", build.workload(replicas=3), namespace="shop")
        await lab.run_all()
        (gone,) = [pod for pod in lab.pods() if pod["spec"]["nodeName"] == "node-3"]
        lab.storage.delete("pods", gone["metadata"]["name"], "shop", grace_period_s=30)
        await lab.settle()

        assert sorted(pod["spec"]["nodeName"] for pod in lab.pods()) == ["node-1", "node-2", "node-3", "node-3"]
