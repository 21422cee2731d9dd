"""JSON merge patch (RFC 7396) and JSON patch (RFC 6902)."""

from collections.abc import Sequence
from typing import Any, cast

from bot.lab.cluster.apiserver.errors import ApiError, bad_request


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` with the patch applied: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, Any] = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for key, value in cast("dict[str, Any]", patch).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: dict[str, Any], operations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`target` (changed in place) after every operation; raises 422 when one cannot be done."""
    document: Any = target
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation.get("op"), _pointer(operation.get("path"))
    match kind:
        case "test":
            if _read(document, path) != operation.get("value"):
                raise _impossible()
            return document
        case "remove":
            return _remove(document, path)[0]
        case "add":
            return _add(document, path, operation.get("value"))
        case "replace":
            return _replace(document, path, operation.get("value"))
        case "copy" | "move":
            source = _pointer(operation.get("from"))
            value = _copy(_read(document, source))
            if kind == "move":
                document, _ = _remove(document, source)
            return _add(document, path, value)
        case _:
            raise bad_request(f"Unexpected kind: {kind}")


def _impossible() -> ApiError:
    # The real server tells clients no more than this, whatever the operation was.
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def _copy(value: Any) -> Any:
    match value:
        case dict():
            return {key: _copy(each) for key, each in cast("dict[str, Any]", value).items()}
        case list():
            return [_copy(each) for each in cast("list[Any]", value)]
        case _:
            return value


def _pointer(path: Any) -> list[str]:
    if path == "":
        return []
    if not isinstance(path, str) or not path.startswith("/"):
        raise _impossible()
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _index(step: str, *, end: int) -> int:
    if not step.isdigit() or int(step) > end:
        raise _impossible()
    return int(step)


def _read(document: Any, path: Sequence[str]) -> Any:
    value = document
    for step in path:
        match value:
            case dict() if step in value:
                value = cast("dict[str, Any]", value)[step]
            case list():
                items = cast("list[Any]", value)
                value = items[_index(step, end=len(items) - 1)]
            case _:
                raise _impossible()
    return value


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    _read(document, path)
    if not path:
        return value
    parent, step = _read(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        items = cast("list[Any]", parent)
        items[_index(step, end=len(items) - 1)] = value
    else:
        parent[step] = value
    return document


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, step = _read(document, path[:-1]), path[-1]
    match parent:
        case dict():
            parent[step] = value
        case list():
            items = cast("list[Any]", parent)
            items.insert(len(items) if step == "-" else _index(step, end=len(items)), value)
        case _:
            raise _impossible()
    return document


def _remove(document: Any, path: Sequence[str]) -> tuple[Any, Any]:
    value = _read(document, path)
    if not path:
        return None, value
    parent, step = _read(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[int(step)]
    else:
        del parent[step]
    return document, value
