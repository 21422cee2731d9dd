"""Namespaces, nodes, jobs, definitions and garbage: how things begin and end."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.lab.cluster.apiserver.store.deletion import Options
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import micros
from bot.lab.cluster.controllers.recorder import Recorder
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers import instant_kubelet
from tests.lab.cluster.controllers.cluster import cluster


async def test_a_new_namespace_has_an_account_and_the_authority() -> None:
    async with cluster() as lab:
        accounts = [each["metadata"]["name"] for each in lab.storage.list("serviceaccounts", "shop")]
        authority = lab.storage.get("configmaps", "kube-root-ca.crt", "shop")
        lab.storage.delete("serviceaccounts", "default", "shop")
        await lab.settle()

        assert accounts == ["default"]
        assert authority["data"] == {"ca.crt": "-----CA-----"}
        assert lab.storage.get("serviceaccounts", "default", "shop")


async def test_a_namespace_ends_after_everything_in_it() -> None:
    async with cluster() as lab:
        lab.storage.create("pods", build.pod(), namespace="shop")
        lab.storage.create("deployments.apps", build.workload(replicas=1), namespace="shop")
        await lab.run_all()
        lab.storage.delete("namespaces", "shop")
        await lab.settle()
        phase = lab.storage.get("namespaces", "shop")["status"]["phase"]
        for pod in lab.pods():
            lab.storage.delete("pods", pod["metadata"]["name"], "shop", grace_period_s=0)
        async for event in lab.storage.watch("namespaces"):
            if event.type == "DELETED":
                break

        assert phase == "Terminating"
        assert lab.storage.list("configmaps", "shop") == []


async def test_a_node_that_is_not_ready_is_tainted_and_its_pods_are_not_ready() -> None:
    async with cluster(1) as lab:
        lab.storage.create("pods", build.pod(), namespace="shop")
        await lab.run_all()
        broken = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]
        lab.storage.patch("nodes", "node-1", None, {"status": {"conditions": broken}}, subresource="status")
        await lab.settle()
        taints = {(each["key"], each["effect"]) for each in lab.storage.get("nodes", "node-1")["spec"]["taints"]}
        ready = {each["type"]: each["status"] for each in lab.pods()[0]["status"]["conditions"]}
        works = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        lab.storage.patch("nodes", "node-1", None, {"status": {"conditions": works}}, subresource="status")
        await lab.settle()

        assert taints == {
            ("node.kubernetes.io/not-ready", "NoSchedule"),
            ("node.kubernetes.io/not-ready", "NoExecute"),
        }
        assert ready["Ready"] == "False"
        assert "taints" not in lab.storage.get("nodes", "node-1")["spec"]


async def test_a_kubelet_that_falls_silent_makes_its_node_unknown() -> None:
    late = Storage(now=lambda: datetime.now(UTC) + timedelta(seconds=120))
    async with cluster(1, late) as lab:
        renewed = micros(datetime.now(UTC))
        lease = {"metadata": {"name": "node-1"}, "spec": {"holderIdentity": "node-1", "renewTime": renewed}}
        lab.storage.create("leases.coordination.k8s.io", lease, namespace="kube-node-lease")
        await lab.settle()
        node = lab.storage.get("nodes", "node-1")

    (condition,) = node["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert {each["key"] for each in node["spec"]["taints"]} == {"node.kubernetes.io/unreachable"}


def job(**spec: Any) -> dict[str, Any]:
    made = build.workload("task", **spec)
    del made["spec"]["selector"]
    made["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    return made


async def test_a_job_runs_to_completion() -> None:
    async with cluster() as lab:
        lab.storage.create("jobs.batch", job(completions=2, parallelism=1), namespace="shop")
        await lab.run_all()
        for _ in range(2):
            for pod in lab.pods():
                if pod["status"]["phase"] == "Running":
                    instant_kubelet.finish(lab.storage, pod)
            await lab.run_all()
        status = lab.storage.get("jobs.batch", "task", "shop")["status"]

    assert status["succeeded"] == 2
    assert status["conditions"][0]["type"] == "Complete"
    assert len(lab.pods()) == 2


async def test_a_job_that_fails_too_often_gives_up() -> None:
    async with cluster() as lab:
        lab.storage.create("jobs.batch", job(backoffLimit=1), namespace="shop")
        for _ in range(3):
            await lab.run_all()
            for pod in lab.pods():
                if pod["status"]["phase"] == "Running":
                    instant_kubelet.finish(lab.storage, pod, "Failed")
            await lab.settle()
        status = lab.storage.get("jobs.batch", "task", "shop")["status"]

    assert status["failed"] == 2
    assert (status["conditions"][0]["type"], status["conditions"][0]["reason"]) == ("Failed", "BackoffLimitExceeded")


async def test_a_definition_is_established() -> None:
    names = {"kind": "IPPool", "plural": "ippools"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
    spec = {"group": "crd.projectcalico.org", "scope": "Cluster", "names": names, "versions": versions}
    async with cluster() as lab:
        resource = "customresourcedefinitions.apiextensions.k8s.io"
        lab.storage.create(resource, {"metadata": {"name": "ippools.crd.projectcalico.org"}, "spec": spec})
        await lab.settle()
        status = lab.storage.get(resource, "ippools.crd.projectcalico.org")["status"]
        pool = lab.storage.create("ippools.crd.projectcalico.org", {"metadata": {"name": "a"}, "spec": {"cidr": "x"}})
        lab.storage.delete(resource, "ippools.crd.projectcalico.org")

    assert [each["type"] for each in status["conditions"]] == ["NamesAccepted", "Established"]
    assert pool["apiVersion"] == "crd.projectcalico.org/v1"


async def test_foreground_deletion_waits_for_dependents() -> None:
    async with cluster() as lab:
        lab.storage.create("deployments.apps", build.workload(replicas=1), namespace="shop")
        await lab.run_all()
        lab.storage.remove("deployments.apps", "web", "shop", Options(propagation="Foreground"))
        await lab.settle()
        waiting = lab.storage.get("deployments.apps", "web", "shop")["metadata"]["finalizers"]
        await lab.run_all()

        assert waiting == ["foregroundDeletion"]
        assert lab.storage.list("deployments.apps", "shop") == []
        assert lab.pods() == []


async def test_orphans_stay() -> None:
    async with cluster() as lab:
        lab.storage.create("replicasets.apps", build.workload(replicas=1), namespace="shop")
        await lab.run_all()
        lab.storage.remove("replicasets.apps", "web", "shop", Options(propagation="Orphan"))
        await lab.run_all()

        assert lab.storage.list("replicasets.apps", "shop") == []
        assert [pod["metadata"].get("ownerReferences") for pod in lab.pods()] == [None]


async def test_an_object_of_a_missing_owner_is_garbage() -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}
    async with cluster() as lab:
        orphan = build.config_map("orphan")
        orphan["metadata"]["ownerReferences"] = [reference]
        lab.storage.create("configmaps", orphan, namespace="shop")
        await lab.settle()

        assert lab.storage.find("configmaps", "orphan", "shop") is None


def test_the_same_event_again_is_counted() -> None:
    storage = Storage()
    build.namespace(storage)
    storage.create("pods", build.pod(), namespace="shop")
    recorder = Recorder(storage, "kubelet")
    for message in ("pulled", "failed", "pulled"):
        recorder.event(storage.get("pods", "a", "shop"), "Pull", message)
    counts = {event["message"]: event["count"] for event in storage.list("events", "shop")}

    assert counts == {"pulled": 2, "failed": 1}


async def test_events_are_forgotten_after_an_hour() -> None:
    clock = [datetime.now(UTC)]
    async with cluster(1, Storage(now=lambda: clock[0])) as lab:
        lab.storage.create("pods", build.pod("a", node=""), namespace="shop")
        await lab.settle()
        before = lab.reasons("a")
        clock[0] += timedelta(hours=2)
        lab.storage.patch(
            "events", _only(lab.storage)["metadata"]["name"], "shop", {"metadata": {"labels": {"a": "b"}}}
        )
        await lab.settle()

        assert before == ["Scheduled"]
        assert lab.reasons("a") == []


def _only(storage: Storage) -> dict[str, Any]:
    (event,) = storage.list("events", "shop")
    return event
