"""Events, ConfigMaps, Namespaces, and the custom objects of CNIs."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from datetime import datetime
from typing import Any

from msgspec import field

from bot.cluster.objects.base import KubeStruct, ObjectMeta, ObjectReference


class EventSource(KubeStruct, frozen=True, kw_only=True):
    component: str = ""
    host: str = ""


class EventSeries(KubeStruct, frozen=True, kw_only=True):
    count: int = 0
    last_observed_time: datetime | None = None


class Event(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = "Normal"
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""
    reporting_instance: str = ""

    @property
    def last_seen_at(self) -> datetime | None:
        """When it last happened, from whichever of its four timestamps its sender filled."""
        series = self.series.last_observed_time if self.series else None
        return series or self.last_timestamp or self.event_time or self.metadata.creation_timestamp

    @property
    def times(self) -> int:
        """How often it happened, at least 1."""
        return max(self.series.count if self.series else 0, self.count, 1)


class ConfigMap(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = field(default_factory=dict[str, str])


class NamespaceStatus(KubeStruct, frozen=True, kw_only=True):
    phase: str = "Active"


class Namespace(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    status: NamespaceStatus = NamespaceStatus()


class CustomObject(KubeStruct, frozen=True, kw_only=True):
    """An object of a CNI's own API (IPPool, FelixConfiguration, CiliumNode, …): `spec` and `status` as they stand."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    status: dict[str, Any] = field(default_factory=dict[str, Any])
