"""Events live for an hour, as on a real server: a lab that runs for days does not fill up with them."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import parse
from bot.lab.cluster.controllers.loop import Mapper, itself

EVENT_TTL_S = 3600.0


class EventExpiry:
    """Deletes old events."""

    name = "event-ttl"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """Events."""
        return {"events": itself}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Delete an event that nothing has renewed for an hour."""
        event = self._storage.find("events", name, namespace)
        if event is None:
            return None
        left_s = EVENT_TTL_S - (self._storage.now() - parse(_last_seen(event))).total_seconds()
        if left_s > 0:
            return left_s
        self._storage.delete("events", name, namespace)
        return None


def _last_seen(event: Mapping[str, Any]) -> str:
    series = sub(event, "series").get("lastObservedTime")
    return series or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
