"""Sets of field paths: what somebody owns in an object, and what differs between two of its versions.

A path is a tuple of elements spelled as in `fieldsV1`: `f:NAME` for a field, `k:{…}` for an item of a list with keys,
`v:VALUE` for an item of a set.

Source: sigs.k8s.io/structured-merge-diff (typed/compare.go, typed/tofieldset.go)
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from bot.lab.cluster.apiserver.store import schema
from bot.lab.cluster.apiserver.store.schema import Shape

Path = tuple[str, ...]
Paths = set[Path]
_META: Shape = "meta.v1.ObjectMeta"
_BY_VALUE = frozenset(
    {
        "meta.v1.ObjectMeta",
        "core.v1.PodTemplateSpec",
        "core.v1.PodSpec",
        "core.v1.NodeSystemInfo",
        "core.v1.NodeDaemonEndpoints",
        "core.v1.LoadBalancerStatus",
        "core.v1.ResourceRequirements",
        "core.v1.EventSource",
        "apps.v1.DaemonSetUpdateStrategy",
        "apps.v1.DeploymentStrategy",
        "apps.v1.StatefulSetUpdateStrategy",
        "batch.v1.JobTemplateSpec",
        "batch.v1.JobSpec",
        "apiextensions.v1.CustomResourceDefinitionNames",
        "deduced-by-value",
    }
)
"""Structs that Go embeds by value: they are always there, so nobody owns their mere presence."""
_NEVER_NULL = frozenset({"containers"})
"""Lists that Go always writes."""


class Difference(NamedTuple):
    """What happened between two versions."""

    added: Paths
    modified: Paths
    removed: Paths


def child(shape: Shape, key: str, *, at_root: bool) -> Shape:
    """The shape of a field or map entry."""
    known = schema.struct_of(shape)
    if known is not None:
        return known.fields.get(key, schema.DEDUCED)
    if shape == schema.DEDUCED:
        if at_root and key == "metadata":
            return _META
        return schema.DEDUCED
    return "any" if isinstance(shape, str) else shape.get("values", "any")


def _is_atomic(shape: Shape, value: Any) -> bool:
    if shape == schema.DEDUCED:
        return not isinstance(value, dict)
    known = schema.struct_of(shape)
    if known is not None:
        return known.atomic or not isinstance(value, dict)
    if isinstance(shape, str):
        return True
    if "items" in shape:
        return not isinstance(value, list) or not ("keys" in shape or "set" in shape)
    return bool(shape.get("atomic")) or not isinstance(value, dict)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


_KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}


def element(shape: Mapping[str, Any], item: Any) -> str:
    """The path element of a list's item."""
    if "keys" not in shape:
        return f"v:{_json(item)}"
    entry: Mapping[str, Any] = cast("Mapping[str, Any]", item) if isinstance(item, dict) else {}
    keys: dict[str, Any] = {key: entry.get(key, _KEY_DEFAULTS.get(key)) for key in shape["keys"]}
    return f"k:{_json({key: value for key, value in keys.items() if value is not None})}"


def children(shape: Shape, value: Any, *, at_root: bool) -> Iterator[tuple[str, Any, Shape]]:
    """What is inside a value that is not atomic: path element, value, shape."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield f"f:{key}", item, child(shape, key, at_root=at_root)
    elif isinstance(value, list) and not isinstance(shape, str):
        for item in cast("list[Any]", value):
            yield element(shape, item), item, shape["items"]


def paths_of(value: Any, shape: Shape) -> Paths:
    """What an applied configuration owns: its leaves, the items of its lists, and its empty maps."""
    found: Paths = set()
    _collect(value, shape, (), found)
    return found


def _collect(value: Any, shape: Shape, path: Path, found: Paths) -> None:
    if _is_atomic(shape, value):
        found.add(path)
        return
    known = schema.struct_of(shape)
    for name, item, inner in children(shape, value, at_root=not path):
        where = (*path, name)
        _collect(item, inner, where, found)
        declared = known is not None and name[2:] in known.fields
        deduced = shape == schema.DEDUCED and isinstance(item, dict)
        if not name.startswith("f:") or item in (None, {}) or not (declared or deduced):
            found.add(where)


def _by_value(name: str, shape: Shape) -> bool:
    type_name = shape if isinstance(shape, str) else str(shape.get("type", ""))
    if type_name in _BY_VALUE:
        return True
    return name in {"f:spec", "f:status"} and type_name.endswith(("Spec", "Status"))


_ABSENT = object()


def difference(old: Any, new: Any, shape: Shape) -> Difference:
    """The paths that differ between two versions of an object."""
    result = Difference(set(), set(), set())
    _compare(old, new, shape, (), result)
    return result


def _compare(old: Any, new: Any, shape: Shape, path: Path, result: Difference) -> None:
    if old is not _ABSENT and new is not _ABSENT and old == new:
        return
    present = new if new is not _ABSENT else old
    leaf = _is_atomic(shape, present) and (old in (_ABSENT, None) or _is_atomic(shape, old))
    if old is _ABSENT:
        result.added.add(path)
    elif new is _ABSENT:
        result.removed.add(path)
    elif leaf:
        result.modified.add(path)
    if not leaf:
        _compare_inside(old, new, shape, path, result)


def _compare_inside(old: Any, new: Any, shape: Shape, path: Path, result: Difference) -> None:
    before = {} if old is _ABSENT else {n: (v, s) for n, v, s in children(shape, old, at_root=not path)}
    after = {} if new is _ABSENT else {n: (v, s) for n, v, s in children(shape, new, at_root=not path)}
    for name in dict.fromkeys((*before, *after)):
        inner = (before.get(name) or after[name])[1]
        left = before[name][0] if name in before else _ABSENT
        right = after[name][0] if name in after else _ABSENT
        if old is not _ABSENT and new is not _ABSENT:
            left, right = _zero(name, inner, left, right), _zero(name, inner, right, left)
        if not (left is _ABSENT and right is _ABSENT):
            _compare(left, right, inner, (*path, name), result)


def _zero(name: str, shape: Shape, value: Any, other: Any) -> Any:
    """An absent field as Go would write it: some zero values are there although JSON does not show them."""
    if value is None and other in (_ABSENT, None):
        return _ABSENT
    if value is not _ABSENT:
        return value
    if _by_value(name, shape):
        return {}
    if name[2:] in _NEVER_NULL and isinstance(other, list):
        return []
    return "" if other == "" else _ABSENT


def to_fields(paths: Iterable[Path]) -> dict[str, Any]:
    """`fieldsV1` of a set of paths."""
    members = set(paths)
    tree: dict[str, Any] = {}
    for path in sorted(members):
        node = tree
        for depth, name in enumerate(path, 1):
            if name not in node:
                node[name] = {}
                if path[:depth] in members and depth < len(path):
                    node[name]["."] = {}
            elif not node[name] and path[:depth] in members and depth < len(path):
                node[name]["."] = {}
            node = node[name]
    return tree


def from_fields(tree: Mapping[str, Any]) -> Paths:
    """The set of paths in a `fieldsV1`."""
    found: Paths = set()
    _read(tree, (), found)
    return found


def _read(tree: Mapping[str, Any], path: Path, found: Paths) -> None:
    for name, inner in tree.items():
        if name == ".":
            found.add(path)
        elif not inner:
            found.add((*path, name))
        else:
            _read(inner, (*path, name), found)


def with_named(paths: Paths, shape: Shape) -> Paths:
    """The set with every declared field on the way to a member as a member too."""
    found = set(paths)
    for path in paths:
        inner: Shape | None = shape
        for depth, name in enumerate(path[:-1], 1):
            known = schema.struct_of(inner) if inner is not None else None
            if name.startswith("f:") and known is not None and name[2:] in known.fields:
                found.add(path[:depth])
            inner = _step(inner, name, at_root=depth == 1)
    return found


def _step(shape: Shape | None, name: str, *, at_root: bool) -> Shape | None:
    if shape is None:
        return None
    if name.startswith("f:"):
        return child(shape, name[2:], at_root=at_root)
    return None if isinstance(shape, str) else shape.get("items")


def dotted(path: Path) -> str:
    """A path as conflicts name it: `.spec.containers[name="web"].image`."""
    text = ""
    for name in path:
        if name.startswith("f:"):
            text += f".{name[2:]}"
        elif name.startswith("k:"):
            keys: dict[str, Any] = msgspec.json.decode(name[2:])
            text += f"[{','.join(f'{key}={_json(value)}' for key, value in sorted(keys.items()))}]"
        else:
            text += f"[={name[2:]}]"
    return text


def merge(live: Any, config: Any, shape: Shape, *, at_root: bool = True) -> Any:
    """The live value with the applied one merged into it; shares with both."""
    if _is_atomic(shape, config) or live is None:
        return config
    if isinstance(config, dict):
        base = cast("dict[str, Any]", live) if isinstance(live, dict) else {}
        merged = dict(base)
        for key, value in cast("dict[str, Any]", config).items():
            merged[key] = merge(base.get(key), value, child(shape, key, at_root=at_root), at_root=False)
        return merged
    items = cast("Mapping[str, Any]", shape)
    by_element = {element(items, item): item for item in cast("list[Any]", live)}
    for item in cast("list[Any]", config):
        name = element(items, item)
        by_element[name] = merge(by_element.get(name), item, items["items"], at_root=False)
    return list(by_element.values())


def without(value: Any, shape: Shape, gone: Paths, path: Path = ()) -> Any:
    """The value without the fields and items at these paths."""
    if _is_atomic(shape, value):
        return value
    if isinstance(value, dict):
        return {
            key: without(item, child(shape, key, at_root=not path), gone, (*path, f"f:{key}"))
            for key, item in cast("dict[str, Any]", value).items()
            if (*path, f"f:{key}") not in gone
        }
    items = cast("Mapping[str, Any]", shape)
    return [
        without(item, items["items"], gone, (*path, element(items, item)))
        for item in cast("list[Any]", value)
        if (*path, element(items, item)) not in gone
    ]
