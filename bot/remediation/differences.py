"""What a change changes, field by field, for people to read before they approve it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from bot.domain.errors import bounded
from bot.domain.redact import MASK, redact

MOST_CHARACTERS = 400
_VARIABLE = re.compile(r"\[([^\]]+)\]\.value$")

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


def deviations(meant: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Fields that a manifest sets and that are other in the live object: where, as meant, as it is.

    What the manifest leaves open counts for nothing, nor do spellings that the API server changes.
    """
    if meant is None or not (meant or live):
        return  # it drops what is empty
    if isinstance(meant, Mapping) and isinstance(live, Mapping):
        inner = cast("Mapping[str, Any]", live)
        for key, value in cast("Mapping[str, Any]", meant).items():
            yield from deviations(value, inner.get(key), f"{path}.{key}" if path else key)
    elif _is_named(meant) and _is_named(live):
        found = _by_name(cast("Named", live))
        for name, value in _by_name(cast("Named", meant)).items():
            yield from deviations(value, found.get(name), f"{path}[{name}]")
        added = found.keys() - _by_name(cast("Named", meant)).keys()
        yield from ((f"{path}[{name}]", None, found[name]) for name in sorted(added))
    elif isinstance(meant, list) and isinstance(live, list):
        old, new = cast("list[Any]", meant), cast("list[Any]", live)
        if len(old) == len(new):
            for number, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from deviations(one, other, f"{path}[{number}]")
        else:
            yield path, meant, live
    elif not _is_same(meant, live):
        yield path, meant, live


_QUANTITY = re.compile(r"([0-9.]+)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_SCALE = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _is_same(meant: Any, live: Any) -> bool:
    """Whether two spellings mean the same: "0.5" and "500m", 8080 and "8080"."""
    if meant == live or str(meant) == str(live):
        return True
    one, other = _QUANTITY.fullmatch(str(meant)), _QUANTITY.fullmatch(str(live))
    try:
        return bool(one and other) and _quantity(one) == _quantity(other)
    except ValueError:  # "1.2.3" is none
        return False


def _quantity(found: "re.Match[str] | None") -> float:
    return float(found[1]) * _SCALE.get(found[2] or "", 1.0) if found else 0.0


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


def value_shown(value: Any) -> str:
    """A value in one line, secrets struck out; one that is cut says so, for danger hides at the end of long values."""
    text = redact(shown(value))
    if len(text) <= MOST_CHARACTERS:
        return bounded(text, MOST_CHARACTERS)
    return f"{bounded(text[: MOST_CHARACTERS - 60], MOST_CHARACTERS)} [CUT: {len(text)} characters, see --output json]"


def field_shown(where: str, value: Any) -> str:
    """The value of a field; that of a variable whose name says that it is a secret is struck out."""
    variable = _VARIABLE.search(where)
    if variable and isinstance(value, str):
        pair = f"{variable[1]}={value}"
        if redact(pair) != pair:
            return MASK
    return value_shown(value)
