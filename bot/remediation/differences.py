"""What a change changes, field by field, for people to read before they approve it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

Named = Sequence[Mapping[str, Any]]


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each field that differs: where, the value before, and after; None where it is absent."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after)
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif _is_named(before) and _is_named(after):
        old, new = _by_name(cast("Named", before)), _by_name(cast("Named", after))
        for name in dict.fromkeys((*old, *new)):
            yield from differences(old.get(name), new.get(name), f"{path}[{name}]")
        if before != after and old == new:
            yield f"{path} (order)", [*old], [*new]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):  # pyright: ignore[reportUnknownArgumentType] JSON
        pairs = zip(cast("list[Any]", before), cast("list[Any]", after), strict=True)
        for number, (old, new) in enumerate(pairs):
            yield from differences(old, new, f"{path}[{number}]")
    else:
        yield path or "value", before, after


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a new object: where, and its value."""
    if isinstance(value, Mapping) and value:
        for key, inner in cast("Mapping[str, Any]", value).items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif _is_named(value):
        for name, inner in _by_name(cast("Named", value)).items():
            rest = {key: one for key, one in inner.items() if key != "name"}
            yield from leaves(rest, f"{path}[{name}]")
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for number, inner in enumerate(cast("list[Any]", value)):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path or "value", value


def _is_named(value: Any) -> bool:
    """Whether it is a list whose entries have a name each: containers, variables, volumes."""
    if not isinstance(value, list) or not value:
        return False
    items = cast("list[Any]", value)
    names = [cast("Mapping[str, Any]", one).get("name") for one in items if isinstance(one, Mapping)]
    return len(names) == len(items) == len({*map(str, names)}) and None not in names


def _by_name(value: Named) -> dict[str, Mapping[str, Any]]:
    return {str(one["name"]): one for one in value}


def shown(value: Any) -> str:
    """A value in one line."""
    if value is None:
        return "absent"
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
