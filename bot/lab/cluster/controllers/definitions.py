"""CustomResourceDefinitions: their names are accepted and they are established, which Helm and kubectl wait for."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import seconds
from bot.lab.cluster.controllers.loop import Mapper, itself

RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"


class Definitions:
    """The naming and establishing controllers of the API server."""

    name = "customresourcedefinition"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """CustomResourceDefinitions."""
        return {RESOURCE: itself}

    def reconcile(self, _: str, name: str) -> float | None:
        """Report a definition as established."""
        definition = self._storage.find(RESOURCE, name)
        if definition is None or definition["status"].get("conditions"):
            return None
        now = seconds(self._storage.now())
        conditions: list[dict[str, Any]] = [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": now,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": now,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ]
        status = {"conditions": conditions, "acceptedNames": definition["spec"]["names"]}
        self._storage.patch(RESOURCE, name, None, {"status": status}, subresource="status", manager="kube-apiserver")
        return None
