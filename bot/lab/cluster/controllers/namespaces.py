"""Namespaces: what each new one gets, and how one that is deleted ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.http import subresources
from bot.lab.cluster.apiserver.kinds import SAME_STORAGE
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers.loop import Key, Mapper, itself

Obj = Mapping[str, Any]
_ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
_POLL_S = 0.2


class Namespaces:
    """The namespace, service account and root CA publishing controllers in one."""

    name = "namespace"

    def __init__(self, storage: Storage, ca_pem: str) -> None:
        self._storage = storage
        self._ca_pem = ca_pem

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Namespaces, and the objects that each of them must have."""
        return {"namespaces": itself, "serviceaccounts": _namespace_of, "configmaps": _namespace_of}

    def reconcile(self, _: str, name: str) -> float | None:
        """Equip a namespace, or empty and end it."""
        namespace = self._storage.find("namespaces", name)
        if namespace is None:
            return None
        if namespace["metadata"].get("deletionTimestamp"):
            return self._end(name)
        if self._storage.find("serviceaccounts", "default", name) is None:
            self._storage.create("serviceaccounts", {"metadata": {"name": "default"}}, namespace=name)
        if self._storage.find("configmaps", _ROOT_CA, name) is None:
            annotations = {"kubernetes.io/description": _DESCRIPTION}
            document = {"metadata": {"name": _ROOT_CA, "annotations": annotations}, "data": {"ca.crt": self._ca_pem}}
            self._storage.create("configmaps", document, namespace=name)
        return None

    def _end(self, name: str) -> float | None:
        remaining = 0
        for resource in list(self._storage.resources):
            if not resource.namespaced or "delete" not in resource.verbs or resource.name in SAME_STORAGE:
                continue
            for obj in list(self._storage.peek(resource.name, name)):
                remaining += 1
                if not obj["metadata"].get("deletionTimestamp"):
                    remaining -= self._delete(resource.name, obj["metadata"]["name"], name)
        if remaining:
            return _POLL_S
        subresources.finalize(self._storage, name, {"spec": {"finalizers": []}})
        return None

    def _delete(self, resource: str, name: str, namespace: str) -> int:
        """How many objects are gone at once."""
        try:
            self._storage.delete(resource, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
        return int(self._storage.find(resource, name, namespace) is None)


def _namespace_of(obj: Obj) -> Iterable[Key]:
    if obj["metadata"]["name"] in {"default", _ROOT_CA}:
        yield "", obj["metadata"]["namespace"]
