"""Stored objects as clients see them: in lists, as metadata only, and events under their two API groups."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.store.history import Record

_EVENT_PAIRS = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def is_new_event(resource: Resource) -> bool:
    """Whether this is `events.k8s.io`, whose objects are stored as core events."""
    return resource.group == "events.k8s.io"


def to_new_event(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A core event as `events.k8s.io/v1` shows it."""
    names = dict(_EVENT_PAIRS)
    shown = {names.get(key, key): value for key, value in obj.items()}
    return shown | ({"apiVersion": "events.k8s.io/v1"} if "apiVersion" in obj else {})


def to_core_event(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The other way round."""
    names = {new: old for old, new in _EVENT_PAIRS}
    return {names.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


def whole(resource: Resource, record: Record) -> bytes:
    """One object with its kind, as JSON."""
    return msgspec.json.encode(to_new_event(record.obj)) if is_new_event(resource) else record.json


def listed(resource: Resource, record: Record) -> bytes:
    """The object as an item of a list: items of built-in kinds do not repeat their kind."""
    if resource.custom:
        return record.json
    return msgspec.json.encode(to_new_event(record.bare)) if is_new_event(resource) else record.bare_json


def partial(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata only."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def list_document(kind: str, api_version: str, metadata: Mapping[str, Any], items: Iterable[bytes]) -> bytes:
    """A list around items that are JSON already."""
    head = msgspec.json.encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(items) + b"]}"
