"""Laws that hold for all patches, selectors, pages and watches."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from bot.lab.cluster.apiserver.store import fieldpaths, schema
from bot.lab.cluster.apiserver.store.history import Cursor
from bot.lab.cluster.apiserver.store.merge import json_patch, merge_patch
from bot.lab.cluster.apiserver.store.paging import page
from bot.lab.cluster.apiserver.store.selectors import matches_labels, parse_labels
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.store.strategic import strategic_merge
from tests.lab.cluster.apiserver import build

POD = schema.of_kind("v1", "Pod")
law = settings(deadline=None, max_examples=40)
"""Machines may be busy: no example is held to a time."""
words = some.text("abc", min_size=1, max_size=3)
scalars = some.one_of(words, some.integers(0, 9), some.booleans())
values = some.recursive(
    scalars, lambda inner: some.one_of(some.lists(inner, max_size=3), some.dictionaries(words, inner, max_size=3))
)
objects = some.dictionaries(words, values, max_size=4)
patches = some.dictionaries(
    words, some.recursive(some.one_of(some.none(), scalars), lambda inner: some.dictionaries(words, inner, max_size=3))
)


@law
@given(objects)
def test_an_empty_merge_patch_changes_nothing(obj: dict[str, Any]) -> None:
    assert merge_patch(obj, {}) == obj


@law
@given(objects, patches)
def test_a_merge_patch_twice_is_the_patch_once(obj: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(obj, patch)

    assert merge_patch(once, patch) == once


@law
@given(objects, patches)
def test_a_merge_patch_leaves_the_object_alone(obj: dict[str, Any], patch: dict[str, Any]) -> None:
    before = repr(obj)
    merge_patch(obj, patch)

    assert repr(obj) == before


@law
@given(objects, objects)
def test_what_a_json_patch_adds_it_can_remove(obj: dict[str, Any], other: dict[str, Any]) -> None:
    before = merge_patch(obj, {})
    operations = [{"op": "add", "path": "/new~1key", "value": other}, {"op": "remove", "path": "/new~1key"}]

    assert json_patch(obj, operations) == before


Pods = some.SearchStrategy[dict[str, Any]]


def _name(item: dict[str, Any]) -> str:
    return item["name"]


def _pod(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"spec": {"containers": items}}


def _items(**fields: some.SearchStrategy[Any]) -> some.SearchStrategy[list[dict[str, Any]]]:
    """Lists of named items, no name twice."""
    required: dict[str, some.SearchStrategy[Any]] = {"name": words}
    item: some.SearchStrategy[dict[str, Any]] = some.fixed_dictionaries(required, optional=fields)
    return some.lists(item, min_size=1, max_size=3, unique_by=_name)


containers = _items(image=words, env=_items(value=words), args=some.lists(words))
pods: Pods = containers.map(_pod)


@law
@given(pods, pods)
def test_a_strategic_merge_twice_is_the_merge_once(live: dict[str, Any], patch: dict[str, Any]) -> None:
    once = strategic_merge(live, patch, POD)

    assert strategic_merge(once, patch, POD) == once


@law
@given(pods)
def test_a_strategic_merge_with_itself_or_nothing_changes_nothing(live: dict[str, Any]) -> None:
    assert strategic_merge(live, {}, POD) == live
    assert strategic_merge(live, live, POD) == live


@law
@given(pods, pods)
def test_a_strategic_merge_keeps_every_container_of_both(live: dict[str, Any], patch: dict[str, Any]) -> None:
    merged = strategic_merge(live, patch, POD)["spec"]["containers"]

    names = {each["name"] for source in (live, patch) for each in source["spec"]["containers"]}
    assert sorted(each["name"] for each in merged) == sorted(names)


@law
@given(pods, pods)
def test_what_differs_is_what_an_apply_of_the_other_changes(old: dict[str, Any], new: dict[str, Any]) -> None:
    difference = fieldpaths.difference(old, new, POD)

    assert not difference.added & difference.removed
    assert (old == new) == (not any(difference)) or _only_order(old, new)
    owned = fieldpaths.paths_of(new, POD)
    assert fieldpaths.from_fields(fieldpaths.to_fields(owned)) == owned


def _only_order(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Lists with keys are sets of their items: their order is nobody's field."""

    def sorted_containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
        plain = [
            each | {"env": sorted(each.get("env", ()), key=lambda pair: pair["name"])}
            for each in pod["spec"]["containers"]
        ]
        return sorted(plain, key=lambda each: each["name"])

    return sorted_containers(old) == sorted_containers(new)


labels = some.dictionaries(some.sampled_from("abc"), some.sampled_from("xyz"))


@law
@given(labels, some.sampled_from("abc"), some.lists(some.sampled_from("xyz"), min_size=1))
def test_in_and_notin_are_opposites(found: dict[str, str], key: str, accepted: list[str]) -> None:
    listed = ",".join(accepted)

    inside = matches_labels(parse_labels(f"{key} in ({listed})"), found)
    assert inside is not matches_labels(parse_labels(f"{key} notin ({listed})"), found)
    assert inside is any(matches_labels(parse_labels(f"{key}={value}"), found) for value in accepted)


@law
@given(labels, labels)
def test_a_selector_of_labels_accepts_exactly_their_supersets(wanted: dict[str, str], found: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in wanted.items())

    assert matches_labels(parse_labels(text), found) is (wanted.items() <= found.items())


def _cluster(count: int) -> Storage:
    storage = Storage()
    build.namespace(storage)
    for number in range(count):
        storage.create("configmaps", build.config_map(f"c{number:02}"), namespace="shop")
    return storage


@law
@given(some.integers(0, 12), some.integers(1, 5), some.data())
def test_pages_cover_the_snapshot_exactly_once(count: int, limit: int, data: some.DataObject) -> None:
    """Also while objects come and go between the pages."""
    storage = _cluster(count)
    names: list[str] = []
    query = {"limit": str(limit)}
    while True:
        found = page(storage, "configmaps", "shop", query)
        names += [record.obj["metadata"]["name"] for record in found.records]
        if not found.next_token:
            break
        query["continue"] = found.next_token
        victim = data.draw(some.sampled_from([f"c{number:02}" for number in range(count)]))
        if storage.find("configmaps", victim, "shop"):
            storage.delete("configmaps", victim, "shop")
        else:
            storage.create("configmaps", build.config_map(victim), namespace="shop")

    assert names == [f"c{number:02}" for number in range(count)]


actions = some.lists(some.tuples(some.sampled_from(["set", "delete"]), some.sampled_from("abcd")), max_size=12)


@law
@given(actions, actions)
def test_a_watch_from_a_lists_version_misses_nothing(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    storage = _cluster(0)
    _act(storage, before)
    listed = {obj["metadata"]["name"]: obj for obj in storage.list("configmaps", "shop")}
    cursor = Cursor(storage.collection("configmaps"), storage.revision)
    _act(storage, after)
    for change in cursor.take():
        obj = change.record.copy()
        if change.type == "DELETED":
            del listed[obj["metadata"]["name"]]
        else:
            listed[obj["metadata"]["name"]] = obj

    assert listed == {obj["metadata"]["name"]: obj for obj in storage.list("configmaps", "shop")}


@law
@given(actions, actions)
def test_an_in_process_watch_ends_up_with_the_store(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    async def follow() -> tuple[dict[str, Any], dict[str, Any]]:
        storage = _cluster(0)
        _act(storage, before)
        seen: dict[str, Any] = {}

        async def watch() -> None:
            async for event in storage.watch("configmaps"):
                name = event.object["metadata"]["name"]
                if name == "last":
                    return
                if event.type == "DELETED":
                    del seen[name]
                else:
                    seen[name] = event.object

        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            await asyncio.sleep(0)
            _act(storage, after)
            present = {obj["metadata"]["name"]: obj for obj in storage.list("configmaps")}
            storage.create("configmaps", build.config_map("last"), namespace="shop")
        return seen, present

    seen, present = asyncio.run(follow())

    assert seen == present


def _act(storage: Storage, steps: list[tuple[str, str]]) -> None:
    for number, (action, name) in enumerate(steps):
        known = storage.find("configmaps", name, "shop")
        if action == "delete" and known:
            storage.delete("configmaps", name, "shop")
        elif action == "set" and known:
            storage.patch("configmaps", name, "shop", {"data": {"n": str(number)}})
        elif action == "set":
            storage.create("configmaps", build.config_map(name, n="0"), namespace="shop")
