"""Keeps the CNI's custom resources in the API in step with the data plane."""

from __future__ import annotations

import asyncio
from typing import Final

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import DataPlane
from bot.lab.cluster.names import Json

_EVERY_S: Final = 1.0


class CustomObjects:
    """Creates what is missing, updates what changed, deletes what it created and is no more."""

    def __init__(self, storage: Storage, plane: DataPlane) -> None:
        self._storage = storage
        self._plane = plane
        self._written: dict[tuple[str, str, str], Json] = {}
        self._defined: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.reconcile()
            await asyncio.sleep(_EVERY_S)

    def reconcile(self) -> None:
        """One comparison. People may edit the objects: only our own changes are written."""
        for definition in self._plane.custom_definitions():
            name = definition["metadata"]["name"]
            if name not in self._defined:
                self._storage.create("customresourcedefinitions.apiextensions.k8s.io", definition)
                self._defined.add(name)
        wanted: dict[tuple[str, str, str], Json] = {}
        for resource, obj in self._plane.custom_objects():
            metadata = obj["metadata"]
            wanted[resource, metadata.get("namespace", ""), metadata["name"]] = obj
        for key in [key for key in self._written if key not in wanted]:
            self._tolerate_missing(key)
            del self._written[key]
        for key, obj in wanted.items():
            if self._written.get(key) != obj:
                self._write(key, obj)
                self._written[key] = obj

    def _write(self, key: tuple[str, str, str], obj: Json) -> None:
        resource, namespace, name = key
        if self._storage.find(resource, name, namespace or None) is None:
            self._storage.create(resource, obj, namespace=namespace or None)
            return
        body = {part: content for part, content in obj.items() if part not in {"apiVersion", "kind", "metadata"}}
        self._storage.patch(resource, name, namespace or None, body)

    def _tolerate_missing(self, key: tuple[str, str, str]) -> None:
        resource, namespace, name = key
        try:
            self._storage.delete(resource, name, namespace or None)
        except ApiError as error:
            if error.code != 404:
                raise
