"""A CNI that Helm has installed, upgraded by Helm's own library against the lab's API server."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest
import yaml

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
        await self.deploy(self.chart(version, *templates), values)

    async def upgrade(self, version: str = "1.0.1", *templates: str, values: Any = BAD) -> None:
        await self.deploy(self.chart(version, *templates), values)

    async def deploy(self, chart: str, values: Any) -> None:
        """Helm upgrades to this chart with these values, or installs it."""
        await self._helm("upgrade", RELEASE, chart, "--install", "--values", "-", given=yaml.safe_dump(dict(values)))
        await self.at.settled()

    async def roll_back(self, revision: int) -> None:
        await self._helm("rollback", RELEASE, str(revision))
        await self.at.settled()

    async def _helm(self, *arguments: str, given: str = "") -> None:
        """Helm, by a process of its own: its connections end with it."""
        pytest.importorskip("helm_python", reason="no wheel of Helm's library for this platform")
        process = await asyncio.create_subprocess_exec(
            str(self.program), *arguments, "--namespace", NAMESPACE, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
            env={**os.environ, "KUBECONFIG": self.at.cluster.kubeconfig()},
        )  # fmt: skip
        output, _ = await process.communicate(given.encode())
        assert process.returncode == 0, output.decode()

    def kept(self) -> dict[int, str]:
        """The state of each revision that Helm keeps."""
        labels = [one["metadata"].get("labels", {}) for one in self.at.cluster.storage.list("secrets", NAMESPACE)]
        return {int(one["version"]): one["status"] for one in labels if one.get("owner") == "helm"}

    def secret(self, revision: int) -> Any:
        return self.at.object("secrets", f"sh.helm.release.v1.{RELEASE}.v{revision}", NAMESPACE)

    def image(self) -> str:
        template = self.at.object("daemonsets.apps", "calico-node", NAMESPACE)["spec"]["template"]
        return template["spec"]["containers"][0]["image"]
