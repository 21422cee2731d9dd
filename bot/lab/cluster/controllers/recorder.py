"""Events, recorded the way the real components do: repeated ones count, the scheduler's are of the new kind."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import micros, seconds

Obj = Mapping[str, Any]


def reference_to(obj: Obj) -> dict[str, Any]:
    """An `ObjectReference` to an object."""
    metadata = obj["metadata"]
    reference = {"kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    reference |= {"apiVersion": obj["apiVersion"], "resourceVersion": metadata["resourceVersion"]}
    if "namespace" in metadata:
        reference["namespace"] = metadata["namespace"]
    return reference


class Recorder:
    """Records events of one component."""

    def __init__(self, storage: Storage, component: str, manager: str = "kube-controller-manager") -> None:
        self._storage = storage
        self._component = component
        self._manager = manager
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}
        self._serial = 0

    def event(self, obj: Obj, reason: str, message: str, *, type_: str = "Normal") -> None:
        """Record that something happened to an object; the same again only raises the count."""
        reference = reference_to(obj)
        identity = (reference["uid"], type_, reason, message)
        known = self._known.get(identity)
        if known is not None and self._repeat(*known):
            return
        now = seconds(self._storage.now())
        document: dict[str, Any] = {
            "metadata": {"name": self._name(reference["name"])},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": "",
        }
        self._known[identity] = self._store(reference, document)

    def action(self, obj: Obj, reason: str, message: str, action: str, *, type_: str = "Normal") -> None:
        """The same in the form of `events.k8s.io`, as the scheduler writes them."""
        reference = reference_to(obj)
        document: dict[str, Any] = {
            "metadata": {"name": self._name(reference["name"])},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "type": type_,
            "eventTime": micros(self._storage.now()),
            "action": action,
            "reportingComponent": self._component,
            "reportingInstance": f"{self._component}-lab",
        }
        self._store(reference, document)

    def _name(self, name: str) -> str:
        self._serial += 1
        nanos = int(self._storage.now().timestamp() * 1e9) + self._serial
        return f"{name}.{nanos:016x}"

    def _store(self, reference: Obj, document: dict[str, Any]) -> tuple[str, str]:
        namespace = reference.get("namespace", "default")
        try:
            self._storage.create("events", document, namespace=namespace, manager=self._manager)
        except ApiError as error:
            if error.code not in {403, 404}:  # its namespace is going away
                raise
        return namespace, document["metadata"]["name"]

    def _repeat(self, namespace: str, name: str) -> bool:
        found = self._storage.find("events", name, namespace)
        if found is None:
            return False
        change = {"count": found["count"] + 1, "lastTimestamp": seconds(self._storage.now())}
        self._storage.patch("events", name, namespace, change, manager=self._manager)
        return True
