"""Jobs: pods that run to completion, tried again when they fail."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import parse, seconds
from bot.lab.cluster.controllers import podsets
from bot.lab.cluster.controllers.loop import Mapper, itself, owned_by
from bot.lab.cluster.controllers.recorder import Recorder

Obj = Mapping[str, Any]
RESOURCE = "jobs.batch"


class Jobs:
    """The Job controller, for jobs without an index."""

    name = "job"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._recorder = Recorder(storage, "job-controller")

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Jobs and their pods."""
        return {RESOURCE: itself, "pods": owned_by("Job")}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Start pods, count the finished ones, and end the job when enough have succeeded or failed."""
        job = self._storage.find(RESOURCE, name, namespace)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return None
        if ended := _end_of(job):
            return self._expire(job, ended)
        if not job["spec"].get("selector"):
            self._select(job)
            return None
        pods = podsets.owned(self._storage, "pods", job)
        phases = [pod["status"].get("phase") for pod in pods]
        succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
        active = [pod for pod in pods if podsets.is_active(pod)]
        spec = job["spec"]
        condition: dict[str, Any] | None = None
        if succeeded >= spec.get("completions", 1):
            condition = {"type": "Complete", "status": "True", "reason": "CompletionsReached"}
            condition["message"] = "Reached expected number of succeeded pods"
        elif failed > spec["backoffLimit"]:
            condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            condition["message"] = "Job has reached the specified backoff limit"
            self._stop(job, active)
        elif spec.get("suspend"):
            self._stop(job, active)
        else:
            self._start(job, min(spec["parallelism"], spec.get("completions", 1) - succeeded) - len(active))
        self._report(job, succeeded, failed, condition)
        return None

    def _select(self, job: Obj) -> None:
        """The selector and labels that make the job's pods its own."""
        metadata = job["metadata"]
        uid_label = "batch.kubernetes.io/controller-uid"
        labels = {
            uid_label: metadata["uid"],
            "batch.kubernetes.io/job-name": metadata["name"],
            "controller-uid": metadata["uid"],
            "job-name": metadata["name"],
        }
        selector = {"matchLabels": {uid_label: metadata["uid"]}}
        change = {"spec": {"selector": selector, "template": {"metadata": {"labels": labels}}}}
        self._storage.patch(RESOURCE, metadata["name"], metadata["namespace"], change)

    def _start(self, job: Obj, count: int) -> None:
        for _ in range(max(count, 0)):
            pod = podsets.new_pod(job, job["spec"]["template"])
            created = self._storage.create("pods", pod, namespace=job["metadata"]["namespace"])
            self._recorder.event(job, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

    def _stop(self, job: Obj, active: list[Obj]) -> None:
        for pod in active:
            self._storage.delete("pods", pod["metadata"]["name"], job["metadata"]["namespace"])
            self._recorder.event(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _report(self, job: Obj, succeeded: int, failed: int, condition: dict[str, Any] | None) -> None:
        metadata, now = job["metadata"], seconds(self._storage.now())
        pods = podsets.owned(self._storage, "pods", job)
        active = [pod for pod in pods if podsets.is_active(pod)]
        status: dict[str, Any] = {
            "active": len(active) or None,
            "ready": sum(1 for pod in active if podsets.is_ready(pod)),
            "terminating": sum(1 for pod in pods if pod["metadata"].get("deletionTimestamp")),
            "succeeded": succeeded or None,
            "failed": failed or None,
            "startTime": job["status"].get("startTime", now),
            "uncountedTerminatedPods": {},
        }
        if condition is not None:
            status["conditions"] = [condition | {"lastProbeTime": now, "lastTransitionTime": now}]
            status["active"] = None
            if condition["type"] == "Complete":
                status["completionTime"] = now
                self._recorder.event(job, "Completed", "Job completed")
            else:
                self._recorder.event(job, "BackoffLimitExceeded", condition["message"], type_="Warning")
        self._storage.patch(RESOURCE, metadata["name"], metadata["namespace"], {"status": status}, subresource="status")

    def _expire(self, job: Obj, ended: Obj) -> float | None:
        """Delete a finished job when its time to live is over."""
        ttl_s = job["spec"].get("ttlSecondsAfterFinished")
        if ttl_s is None:
            return None
        left_s = ttl_s - (self._storage.now() - parse(ended["lastTransitionTime"])).total_seconds()
        if left_s > 0:
            return left_s
        self._storage.delete(RESOURCE, job["metadata"]["name"], job["metadata"]["namespace"])
        return None


def _end_of(job: Obj) -> Obj | None:
    """The condition that says that a job is over."""
    conditions = items_of(job["status"], "conditions")
    return next((c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"), None)
