"""A HelmChart and its controller, as K3s has them: Helm's own library upgrades in its Job, and nothing else does.

As the real one it acts when chart, version or values change, replaces the Job then, does by its failure policy what
klipper-helm does, and leaves alone what somebody changes in the cluster meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import yaml

from bot.remediation.actions.roll_back_helm_chart import values_of
from tests.incidents.releases import NAMESPACE, RELEASE, Releases

CHARTS, CONFIGS = "helmcharts.helm.cattle.io", "helmchartconfigs.helm.cattle.io"
_HASH = "helmcharts.helm.cattle.io/configHash"


def definitions(helm: Releases) -> None:
    """The kinds of its API."""
    for plural, kind in (("helmcharts", "HelmChart"), ("helmchartconfigs", "HelmChartConfig")):
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        spec = {
            "group": "helm.cattle.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [version],
        }
        name = f"{plural}.helm.cattle.io"
        helm.at.cluster.add("customresourcedefinitions.apiextensions.k8s.io", name, spec=spec)


class HelmController:
    """The controller of one HelmChart; `repository` is the path of each version of the chart."""

    def __init__(self, helm: Releases, repository: Mapping[str, str]) -> None:
        self._helm = helm
        self._storage = helm.at.cluster.storage
        self.repository = repository
        self.runs = 0

    def add(self, version: str, values: Mapping[str, Any], **spec: Any) -> None:
        content = {
            "chart": RELEASE,
            "repo": "https://charts.example.org",
            "version": version,
            "valuesContent": yaml.safe_dump(dict(values)),
            "failurePolicy": "abort",
            "bootstrap": True,
        }
        self._helm.at.cluster.add(CHARTS, RELEASE, NAMESPACE, spec=content | spec)

    def change(self, **spec: Any) -> None:
        """Somebody edits the HelmChart."""
        self._storage.patch(CHARTS, RELEASE, NAMESPACE, {"spec": spec})

    async def run(self) -> None:
        """Follow the HelmChart, for ever."""
        while True:
            changed = self._storage.changed
            await self._reconcile()
            await changed.wait()

    async def settled(self) -> None:
        """Until its Job is done, and the workloads follow."""
        async with asyncio.timeout(30):
            await self._helm.at.cluster.until(self._is_done)
        await self._helm.at.settled()

    def _is_done(self) -> bool:
        chart = self._storage.find(CHARTS, RELEASE, NAMESPACE)
        job = self._storage.find("jobs.batch", f"helm-install-{RELEASE}", NAMESPACE)
        if not chart or not job or job["metadata"]["annotations"][_HASH] != self._hash(chart["spec"]):
            return False
        return bool(job.get("status", {}).get("conditions"))

    def _hash(self, spec: Mapping[str, Any]) -> str:
        parts = {key: spec.get(key) for key in ("chart", "repo", "version", "set", "values", "valuesContent")}
        return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()

    async def _reconcile(self) -> None:
        chart = self._storage.find(CHARTS, RELEASE, NAMESPACE)
        if chart is None:
            return
        name, wanted = f"helm-install-{RELEASE}", self._hash(chart["spec"])
        job = self._storage.find("jobs.batch", name, NAMESPACE)
        if job and job["metadata"]["annotations"][_HASH] == wanted:
            return
        if job:
            self._storage.delete("jobs.batch", name, NAMESPACE)
        template = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "helm", "image": "klipper-helm"}]}}
        self._helm.at.cluster.add(
            "jobs.batch", name, NAMESPACE, metadata={"annotations": {_HASH: wanted}},
            spec={"suspend": True, "template": template},
        )  # fmt: skip
        failure = await self._upgrade(chart["spec"])
        condition = {"type": "Failed", "status": "True", "message": failure} if failure else {
            "type": "Complete", "status": "True"
        }  # fmt: skip
        status = {"conditions": [condition]}
        self._storage.patch("jobs.batch", name, NAMESPACE, {"status": status}, subresource="status")

    async def _upgrade(self, spec: Mapping[str, Any]) -> str:
        """Why Helm failed; "" where it did not."""
        self.runs += 1
        kept = self._helm.kept()
        if kept and kept[max(kept)] == "failed" and spec["failurePolicy"] == "abort":
            return "Release status is 'failed' and failure policy is 'abort'; waiting for operator intervention"
        path = self.repository.get(spec["version"])
        if path is None:
            return f"chart {RELEASE} version {spec['version']} not found"
        values = values_of(spec)
        assert values is not None
        await self._helm.deploy(path, values)
        return ""


@asynccontextmanager
async def helm_controller(helm: Releases, **repository: str) -> AsyncGenerator[HelmController]:
    """The controller, at work; charts by their versions."""
    definitions(helm)
    controller = HelmController(helm, repository)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(controller.run())
        yield controller
        task.cancel()
