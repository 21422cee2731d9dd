"""Events as kubelets and controllers record them: a repetition raises the count of the first."""

from __future__ import annotations

from collections import OrderedDict

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.kubelet.status import timestamp
from bot.lab.cluster.names import Json

_REMEMBERED = 4096


class Recorder:
    """Writes events about objects to the API."""

    def __init__(self, storage: Storage, component: str, host: str = "") -> None:
        self._storage = storage
        self._source = {"component": component, **({"host": host} if host else {})}
        self._known: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()

    def record(self, about: Json, reason: str, message: str, *, warning: bool = False, field_path: str = "") -> None:
        """One event about an object; nothing when its namespace is going."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        key = (metadata["uid"], reason, message)
        known = self._known.get(key)
        try:
            if known is not None:
                name, count = known[0], known[1] + 1
                self._storage.patch("events", name, namespace, {"count": count, "lastTimestamp": timestamp()})
            else:
                count = 1
                name = self._create(about, namespace, reason, message, warning=warning, field_path=field_path)
        except ApiError:
            self._known.pop(key, None)
            return
        self._known[key] = (name, count)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _create(self, about: Json, namespace: str, reason: str, message: str, *, warning: bool, field_path: str) -> str:
        metadata, when = about["metadata"], timestamp()
        involved = {"kind": about.get("kind", "Pod"), "apiVersion": about.get("apiVersion", "v1")}
        involved |= {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
        if field_path:
            involved["fieldPath"] = field_path
        created = self._storage.create(
            "events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name'][:200]}."},
                "involvedObject": involved,
                "reason": reason,
                "message": message[:1024],
                "type": "Warning" if warning else "Normal",
                "source": self._source,
                "reportingComponent": self._source["component"],
                "reportingInstance": self._source.get("host", ""),
                "firstTimestamp": when,
                "lastTimestamp": when,
                "count": 1,
            },
            namespace=namespace,
        )
        return str(created["metadata"]["name"])
