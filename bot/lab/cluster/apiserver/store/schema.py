"""The shapes of built-in kinds: their fields and merge rules, from Kubernetes' published definitions.

A shape is a string (`string`, `integer`, `boolean`, `any`, … or the name of a type) or a mapping with `type`, `items`
or `values` and merge rules: `keys` and `set` (server-side apply), `atomic`, `patch` and `merge_key` (strategic merge).
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

Shape = str | Mapping[str, Any]

DEDUCED: Shape = "deduced"
"""Of values without a schema, such as custom resources: maps merge, lists are atomic."""


class Struct(NamedTuple):
    """An object with known fields."""

    fields: Mapping[str, Shape]
    atomic: bool


@cache
def _document() -> dict[str, Any]:
    return msgspec.json.decode((Path(__file__).parents[1] / "data" / "types.json").read_bytes())


def of_kind(api_version: str, kind: str) -> Shape:
    """The shape of a kind's objects; `DEDUCED` for custom resources and reviews."""
    return _document()["kinds"].get(f"{api_version}/{kind}", DEDUCED)


@cache
def struct(name: str) -> Struct | None:
    """The type of this name, or None for scalars."""
    found = _document()["types"].get(name)
    return Struct(found["fields"], bool(found.get("atomic"))) if found else None


def struct_of(shape: Shape) -> Struct | None:
    """The type that a shape names, with the field's own rule about atomicity."""
    if isinstance(shape, str):
        return struct(shape)
    found = struct(shape.get("type", ""))
    return Struct(found.fields, found.atomic or bool(shape.get("atomic"))) if found else None


def types() -> Mapping[str, Any]:
    """All types by name; for the OpenAPI document."""
    return _document()["types"]


def kinds() -> Mapping[str, str]:
    """The type of each `apiVersion/Kind`."""
    return _document()["kinds"]
