"""The Tigera operator, small: its DaemonSet is what its version and its Installation say, whatever others write there.

As the real one it names Calico's images by its own version, takes the rest from the Installation, whose defaults it
writes down, reverts changes of the DaemonSet, and reports in TigeraStatus which generation it has carried out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.lab.cluster.apiserver.store import lifecycle
from bot.lab.cluster.apiserver.timestamps import seconds
from tests.incidents.planning import DAEMON_SETS, PlanRig

GROUP = "operator.tigera.io"
INSTALLATIONS, STATUSES, DEPLOYMENTS = f"installations.{GROUP}", f"tigerastatuses.{GROUP}", "deployments.apps"
OPERATOR, NAMESPACE = "tigera-operator", "calico-system"
CALICO = {"v1.38.1": "v3.30.1", "v1.38.2": "v3.30.2", "v1.38.3": "v3.30.3", "v1.40.0": "v3.31.0"}
"""The version of Calico that each version of the operator installs."""


class MinutesPass:
    """Every object is made a minute after the one before, as an operator's upgrade and its effect are apart."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(days=1)

    def __call__(self, _: datetime) -> str:
        self.now += timedelta(minutes=1)
        return seconds(self.now)


class TigeraOperator:
    """The operator, following its Deployment's version."""

    def __init__(self, at: PlanRig) -> None:
        self.at = at
        self._storage = at.cluster.storage
        self.is_stuck = False
        """It reports that it cannot carry out what it should, and does nothing."""

    def define(self, **kinds: str) -> None:
        """The kinds of its API, by their plurals."""
        at = self.at.cluster
        for plural, kind in kinds.items():
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            version: dict[str, Any] = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
            names = {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"}
            spec = {"group": GROUP, "scope": "Cluster", "names": names}
            versions = [version | {"schema": {"openAPIV3Schema": schema}}]
            at.add(
                "customresourcedefinitions.apiextensions.k8s.io", f"{plural}.{GROUP}",
                spec=spec | {"versions": versions},
            )  # fmt: skip

    def prepare(self) -> None:
        """Namespaces, kinds and an Installation that somebody applies."""
        self.at.cluster.namespace(OPERATOR, NAMESPACE)
        self.define(installations="Installation", tigerastatuses="TigeraStatus")
        self.at.cluster.add(STATUSES, "calico")
        network = {"mtu": 1450, "nodeAddressAutodetectionV4": {"kubernetes": "NodeInternalIP"}}
        applied: dict[str, Any] = {"spec": {"variant": "Calico", "calicoNetwork": network}}
        kept = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(applied)}
        self.at.cluster.add(INSTALLATIONS, "default", metadata={"annotations": kept}, **applied)

    def install(self, version: str = "v1.38.1") -> None:
        """Its Deployment, from its makers' manifest."""
        labels = {"k8s-app": OPERATOR}
        container = {"name": OPERATOR, "image": f"quay.io/tigera/operator:{version}"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        self.at.cluster.add(DEPLOYMENTS, OPERATOR, OPERATOR, spec=spec)

    async def upgrade(self, version: str = "v1.38.3") -> None:
        container = {"name": OPERATOR, "image": f"quay.io/tigera/operator:{version}"}
        spec = {"template": {"spec": {"containers": [container]}}}
        self._storage.patch(DEPLOYMENTS, OPERATOR, OPERATOR, {"spec": spec})
        await self.at.settled()

    async def edit(self, **network: Any) -> None:
        """Somebody edits the Installation, which `kubectl apply` knows nothing of."""
        self._storage.patch(INSTALLATIONS, "default", None, {"spec": {"calicoNetwork": network}})
        await self.at.settled()

    def daemon_set(self) -> Any:
        return self._storage.find(DAEMON_SETS, "calico-node", NAMESPACE)

    def container(self) -> Any:
        return self.daemon_set()["spec"]["template"]["spec"]["containers"][0]

    def installation(self) -> Any:
        return self._storage.find(INSTALLATIONS, "default", None)

    async def run(self) -> None:
        """Reconcile, for ever."""
        while True:
            changed = self._storage.changed
            self._reconcile()
            await changed.wait()

    def _reconcile(self) -> None:
        deployment, installation = self._storage.find(DEPLOYMENTS, OPERATOR, OPERATOR), self.installation()
        if deployment is None or installation is None or not deployment.get("status", {}).get("availableReplicas"):
            return
        if self.is_stuck:
            self._report(installation, "Degraded", "ResourceRenderingError", "it cannot render calico-node")
            return
        if "hostPorts" not in installation["spec"]["calicoNetwork"]:
            self._storage.patch(INSTALLATIONS, "default", None, {"spec": {"calicoNetwork": {"hostPorts": "Enabled"}}})
            return
        version = deployment["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
        self._write(_daemon_set(CALICO[version], installation))
        self._report(installation, "Available", "AllObjectsAvailable", "All objects available")

    def _write(self, wanted: dict[str, Any]) -> None:
        found = self.daemon_set()
        if found is None:
            self._storage.create(DAEMON_SETS, wanted, namespace=NAMESPACE)
        elif _rendered(found) != _rendered(wanted):
            self._storage.patch(
                DAEMON_SETS, "calico-node", NAMESPACE, {"spec": {"template": wanted["spec"]["template"]}}
            )

    def _report(self, installation: Any, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        condition["observedGeneration"] = installation["metadata"].get("generation", 0)
        status = {"conditions": [condition]}
        if self._storage.get(STATUSES, "calico", None).get("status") != status:
            self._storage.patch(STATUSES, "calico", None, {"status": status}, subresource="status")


def _daemon_set(version: str, installation: Any) -> dict[str, Any]:
    network, labels = installation["spec"]["calicoNetwork"], {"k8s-app": "calico-node"}
    container = {
        "name": "calico-node",
        "image": f"{installation['spec'].get('registry', 'docker.io/')}calico/node:{version}",
        "env": [{"name": "FELIX_VXLANMTU", "value": str(network["mtu"])}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    reference = {
        "apiVersion": f"{GROUP}/v1", "kind": "Installation", "name": "default",
        "uid": installation["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    metadata = {"name": "calico-node", "ownerReferences": [reference]}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def _rendered(daemon_set: Any) -> Any:
    container = daemon_set["spec"]["template"]["spec"]["containers"][0]
    return container["image"], container["env"]


@asynccontextmanager
async def tigera_operator(at: PlanRig, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[TigeraOperator]:
    """The operator, at work."""
    monkeypatch.setattr(lifecycle, "seconds", MinutesPass())
    operator = TigeraOperator(at)
    operator.prepare()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(operator.run())
        yield operator
        task.cancel()
