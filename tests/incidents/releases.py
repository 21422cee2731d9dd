"""A CNI that Helm has installed, upgraded by Helm's own library against the lab's API server."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bot.remediation.requests import Supplies
from tests.incidents.planning import PlanRig
from tests.remediation.cilium.supplies import helm_program

NAMESPACE, RELEASE = "kube-system", "calico"
DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system, labels: {helm.sh/chart: "calico-{{ .Chart.Version }}"}}
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec:
      containers:
        - name: calico-node
          image: "calico/node:{{ .Values.tag }}"
          env: [{name: FELIX_VXLANMTU, value: "{{ .Values.mtu }}"}]
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: calico-config, namespace: kube-system}
data: {veth_mtu: "{{ .Values.mtu }}"}
"""
GOOD, BAD = {"tag": "v3.30.2", "mtu": "1450"}, {"tag": "v3.30.3", "mtu": "9000"}


class Releases:
    """One release, and what Helm does with it."""

    def __init__(self, at: PlanRig, directory: Path) -> None:
        self.at = at
        self.program = helm_program(directory)
        self._directory = directory
        at.settings = dataclasses.replace(at.settings, supplies=Supplies(helm=str(self.program)))

    def chart(self, version: str, *templates: str) -> str:
        """A chart of this version with these templates."""
        chart = self._directory / f"chart-{version}" / RELEASE
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {RELEASE}\nversion: {version}\n")
        for number, template in enumerate(templates or (DAEMON_SET, CONFIG)):
            (chart / "templates" / f"{number}.yaml").write_text(template)
        return str(chart)

    async def install(self, version: str = "1.0.0", *templates: str, values: Any = GOOD) -> None:
        await self._helm("install", self.chart(version, *templates), RELEASE, dict(values))
        await self.at.settled()

    async def upgrade(self, version: str = "1.0.1", *templates: str, values: Any = BAD) -> None:
        await self._helm("upgrade", self.chart(version, *templates), RELEASE, dict(values))
        await self.at.settled()

    async def roll_back(self, revision: int) -> None:
        await self._helm("rollback", RELEASE, version=revision)
        await self.at.settled()

    async def _helm(self, verb: str, *arguments: Any, **options: Any) -> None:
        helm: Any = pytest.importorskip("helm_python", reason="no wheel of Helm's library for this platform")
        kubeconfig = self.at.cluster.kubeconfig()

        def work() -> None:
            with helm.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as config:
                getattr(config, verb)(*arguments, **options)

        await asyncio.to_thread(work)

    def kept(self) -> dict[int, str]:
        """The state of each revision that Helm keeps."""
        labels = [one["metadata"].get("labels", {}) for one in self.at.cluster.storage.list("secrets", NAMESPACE)]
        return {int(one["version"]): one["status"] for one in labels if one.get("owner") == "helm"}

    def secret(self, revision: int) -> Any:
        return self.at.object("secrets", f"sh.helm.release.v1.{RELEASE}.v{revision}", NAMESPACE)

    def image(self) -> str:
        template = self.at.object("daemonsets.apps", "calico-node", NAMESPACE)["spec"]["template"]
        return template["spec"]["containers"][0]["image"]
