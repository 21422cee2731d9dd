"""Raw JSON from an API server into frozen structs, fast where the JSON is plain and tolerant where it is not.

The fast path decodes a whole page at once. Where a field is null, or not of its type, only the objects concerned are
decoded again with nulls dropped; what still does not fit is left out and counted, never fatal to its list.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from bot.cluster.objects import ListMeta

T = TypeVar("T")


class _RawPage(Struct):
    metadata: ListMeta = ListMeta()
    items: tuple[Raw, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...] = ()
    metadata: ListMeta = field(default_factory=ListMeta)
    skipped: int = 0
    """Objects that no decoding made sense of."""


@cache
def _decoder(item_type: type[Any]) -> Callable[[bytes | Raw], Any]:
    return msgspec.json.Decoder(item_type).decode


@cache
def _page_decoder(item_type: type[Any]) -> Callable[[bytes], Any]:
    page = msgspec.defstruct(
        "Page",
        [("metadata", ListMeta, ListMeta()), ("items", tuple[item_type, ...], ())],
    )
    return msgspec.json.Decoder(page).decode


def decode_page(data: bytes, item_type: type[T]) -> Page[T]:
    """The page's objects. ValueError when it is not a list of objects at all."""
    try:
        page = _page_decoder(item_type)(data)
        return Page(items=page.items, metadata=page.metadata)
    except msgspec.ValidationError:
        return _decode_page_tolerantly(data, item_type)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _decode_page_tolerantly(data: bytes, item_type: type[T]) -> Page[T]:
    try:
        page: _RawPage = _decoder(_RawPage)(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    items: list[T] = []
    for raw in page.items or ():
        try:
            items.append(decode_object(raw, item_type))
        except ValueError:
            continue
    return Page(items=tuple(items), metadata=page.metadata, skipped=len(page.items or ()) - len(items))


def decode_object(data: bytes | Raw, item_type: type[T]) -> T:
    """One object, nulls taken as absent. ValueError when it does not fit its type even so."""
    try:
        return _decoder(item_type)(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), item_type, strict=False)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _without_nulls(value: object) -> object:
    """The value with every null in a mapping or list left out."""
    if isinstance(value, dict):
        mapping = cast("dict[str, object]", value)
        return {key: _without_nulls(item) for key, item in mapping.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[object]", value) if item is not None]
    return value
