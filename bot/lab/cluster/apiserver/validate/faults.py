"""The faults that validation finds, worded like `k8s.io/apimachinery/pkg/util/validation/field`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bot.lab.cluster.apiserver.errors import Cause


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def invalid(field: str, value: Any, why: str) -> Cause:
    """A value that is wrong."""
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}", field)


def required(field: str, why: str = "") -> Cause:
    """A value that is missing."""
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", field)


def unsupported(field: str, value: Any, supported: Sequence[str]) -> Cause:
    """A value that is none of the possible ones."""
    listed = ", ".join(f'"{each}"' for each in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}", field)


def duplicate(field: str, value: Any) -> Cause:
    """A value that may be there only once."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)


def not_there(field: str, value: Any) -> Cause:
    """A name that leads nowhere."""
    return Cause("FieldValueNotFound", f"Not found: {_shown(value)}", field)


def forbidden(field: str, why: str) -> Cause:
    """A value that may not be given, or not be changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def port(field: str, value: Any) -> list[Cause]:
    """A port's number."""
    if isinstance(value, int) and 1 <= value <= 65_535:
        return []
    return [invalid(field, value, "must be between 1 and 65535, inclusive")]


def at_least_zero(field: str, value: Any) -> list[Cause]:
    """A count."""
    if value is None or (isinstance(value, int) and value >= 0):
        return []
    return [invalid(field, value, "must be greater than or equal to 0")]


def immutable(field: str, value: Any, old: Any) -> list[Cause]:
    """A value that may not change once it is set."""
    return [] if value == old else [invalid(field, value, "field is immutable")]
