"""Strategic merge patch: merge keys, `$patch`, `$retainKeys`, `$setElementOrder` and `$deleteFromPrimitiveList`.

Source: k8s.io/apimachinery/pkg/util/strategicpatch; the order of merged lists follows it too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bot.lab.cluster.apiserver.errors import ApiError, bad_request
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store import schema

Map = dict[str, Any]

_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"


def strategic_merge(live: Map, patch: Map, shape: schema.Shape) -> Map:
    """The live object with the patch applied; neither is changed. Raises 400 for directives that make no sense."""
    return _merge_map(live, patch, shape)


def _merge_map(live: Map, patch: Map, shape: schema.Shape) -> Map:
    match patch.get("$patch"):
        case "replace":
            return _plain({key: value for key, value in patch.items() if key != "$patch"})
        case "delete":
            return {}
        case None | "merge":
            merged = dict(live)
        case other:
            raise bad_request(f"unknown patch type found: {other}")
    known = schema.struct_of(shape)
    if "$retainKeys" in patch:
        merged = _retain(merged, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            field = key.removeprefix(_DELETE_FROM)
            merged[field] = [item for item in items_of(merged, field) if item not in value]
        elif not key.startswith("$"):
            _merge_field(merged, key, value, _field_shape(shape, known, key))
    for key, order in patch.items():
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            _reorder(merged, live, field, order, _field_shape(shape, known, field))
    return merged


def _retain(live: Map, patch: Map) -> Map:
    keys = cast("list[str]", patch["$retainKeys"])
    extra = [key for key in patch if not key.startswith("$") and patch[key] is not None and key not in keys]
    if extra:
        raise bad_request("the list value is not a superset of the patch keys: $retainKeys")
    return {key: value for key, value in live.items() if key in keys}


def _field_shape(shape: schema.Shape, known: schema.Struct | None, key: str) -> schema.Shape:
    if known is not None:
        return known.fields.get(key, schema.DEDUCED)
    return schema.DEDUCED if isinstance(shape, str) else shape.get("values", schema.DEDUCED)


def _merge_field(merged: Map, key: str, value: Any, shape: schema.Shape) -> None:
    if value is None:
        merged.pop(key, None)
        return
    present = merged.get(key)
    strategies = () if isinstance(shape, str) else str(shape.get("patch", "")).split(",")
    match value:
        case dict():
            base = cast("Map", present) if isinstance(present, dict) else {}
            base = {} if "replace" in strategies else base
            merged[key] = _merge_map(base, cast("Map", value), shape)
        case list() if "merge" in strategies:
            base_items = cast("list[Any]", present) if isinstance(present, list) else []
            merged[key] = _merge_list(base_items, cast("list[Any]", value), cast("Mapping[str, Any]", shape))
        case _:
            merged[key] = _plain(value)


def _plain(value: Any) -> Any:
    """A value that is new as a whole: nulls in maps and directives are left out."""
    match value:
        case dict():
            entries = cast("Map", value).items()
            return {key: _plain(item) for key, item in entries if item is not None and not key.startswith("$")}
        case list():
            items = cast("list[Any]", value)
            return [_plain(item) for item in items if not _directive(item)]
        case _:
            return value


def _directive(item: Any) -> str:
    return str(cast("Map", item).get("$patch", "")) if isinstance(item, dict) else ""


def _merge_list(live: list[Any], patch: list[Any], shape: Mapping[str, Any]) -> list[Any]:
    key = shape.get("merge_key")
    if not any(isinstance(item, dict) for item in (*live, *patch)):
        merged = list(dict.fromkeys((*live, *patch)))
        return _arranged(merged, patch, live, None)
    if key is None:
        raise bad_request("cannot merge lists without merge key")
    if any(_directive(item) == "replace" for item in patch):
        return [_plain(item) for item in patch if _directive(item) != "replace"]
    deleted = [_identity(item, key) for item in patch if _directive(item) == "delete"]
    kept = [item for item in live if _identity(item, key) not in deleted]
    additions = [item for item in patch if not _directive(item)]
    merged = list(kept)
    for item in additions:
        identity = _identity(item, key)
        at = next((index for index, each in enumerate(merged) if _identity(each, key) == identity), None)
        if at is None:
            merged.append(_plain(item))
        else:
            merged[at] = _merge_map(merged[at], item, shape["items"])
    return _arranged(merged, additions, live, key)


def _identity(item: Any, key: str | None) -> Any:
    if key is None:
        return item
    if not isinstance(item, dict) or key not in item:
        shown = f"map: {item} does not contain declared merge key: {key}"
        raise ApiError(400, "BadRequest", shown)
    return cast("Map", item)[key]


def _arranged(items: list[Any], wanted: Sequence[Any], live: Sequence[Any], key: str | None) -> list[Any]:
    """`items` in an order that keeps both that of the patch and that of the live list.

    As upstream does it: elements that only the patch has come before those that only the live object has.
    """
    order = [_identity(item, key) for item in wanted]
    before = [_identity(item, key) for item in live]
    chosen = sorted((i for i in items if _identity(i, key) in order), key=lambda i: order.index(_identity(i, key)))
    others = [item for item in items if _identity(item, key) not in order]
    result: list[Any] = []
    while others and chosen:
        left, right = _identity(others[0], key), _identity(chosen[0], key)
        both = left in before and right in before
        source = others if both and before.index(left) < before.index(right) else chosen
        result.append(source.pop(0))
    return [*result, *others, *chosen]


def _reorder(merged: Map, live: Map, field: str, order: Any, shape: schema.Shape) -> None:
    """Bring a merged list into the order that `$setElementOrder` asks for."""
    items = merged.get(field)
    if not isinstance(items, list) or not isinstance(order, list):
        return
    elements, wanted = cast("list[Any]", items), cast("list[Any]", order)
    before = items_of(live, field)
    key = None if isinstance(shape, str) else shape.get("merge_key")
    merged[field] = _arranged(elements, wanted, before, key)
