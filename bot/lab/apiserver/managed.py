"""Who owns which field: `metadata.managedFields`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.lab.apiserver.kinds import Resource

Entries = list[dict[str, Any]]


def created(resource: Resource, obj: Mapping[str, Any], manager: str, now: datetime) -> Entries:
    return []


def updated(
    resource: Resource,
    obj: Mapping[str, Any],
    old: Mapping[str, Any],
    base: Sequence[dict[str, Any]],
    manager: str,
    subresource: str,
    now: datetime,
) -> Entries:
    return list(base)


def check_configuration(resource: Resource, config: dict[str, Any], name: str) -> None:
    pass


def apply(storage: Any, resource: Resource, config: dict[str, Any], *, name: str, namespace: str | None, manager: str, force: bool, subresource: str, dry_run: bool) -> tuple[dict[str, Any], bool]:
    raise NotImplementedError
