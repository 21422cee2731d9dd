"""The store as the lab's kubelets and controllers use it, without a server."""

import asyncio
from typing import Any

import pytest

from bot.lab.cluster.apiserver.store.deletion import Options
from bot.lab.cluster.apiserver.store.storage import ApiError, Event, Storage
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.apiserver.running import DEADLINE_S


@pytest.fixture
def storage() -> Storage:
    storage = Storage()
    build.namespace(storage)
    return storage


def refused(code: int, call: Any, *args: Any, **kwargs: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        call(*args, **kwargs)
    assert error.value.code == code, error.value
    return error.value


def test_what_is_returned_belongs_to_the_caller(storage: Storage) -> None:
    given = build.pod()
    made = storage.create("pods", given, namespace="shop")
    made["spec"]["nodeName"] = "changed"
    given["metadata"]["labels"]["app"] = "changed"
    storage.list("pods")[0]["spec"].clear()

    kept = storage.get("pods", "a", "shop")
    assert kept["spec"]["nodeName"] == "node-1"
    assert kept["metadata"]["labels"] == {"app": "web"}


def test_every_write_gets_the_next_version(storage: Storage) -> None:
    first = storage.create("pods", build.pod(), namespace="shop")
    second = storage.patch("pods", "a", "shop", {"metadata": {"labels": {"b": "c"}}})

    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1
    assert second["metadata"]["labels"] == {"app": "web", "b": "c"}


def test_a_write_that_changes_nothing_is_no_write(storage: Storage) -> None:
    first = storage.create("pods", build.pod(), namespace="shop")

    assert storage.update("pods", first) == first
    assert storage.patch("pods", "a", "shop", {"metadata": {"labels": {"app": "web"}}}) == first


def test_updates_of_old_versions_conflict(storage: Storage) -> None:
    old = storage.create("configmaps", build.config_map(a="1"), namespace="shop")
    storage.patch("configmaps", "settings", "shop", {"data": {"a": "2"}})

    assert refused(409, storage.update, "configmaps", old).reason == "Conflict"
    del old["metadata"]["resourceVersion"]
    assert storage.update("configmaps", old)["data"] == {"a": "1"}


def test_status_and_spec_have_doors_of_their_own(storage: Storage) -> None:
    storage.create("pods", build.pod(), namespace="shop")
    storage.patch("pods", "a", "shop", {"status": {"phase": "Running"}})
    assert storage.get("pods", "a", "shop")["status"]["phase"] == "Pending"
    storage.patch(
        "pods", "a", "shop", {"status": {"phase": "Running"}, "spec": {"nodeName": "x"}}, subresource="status"
    )

    pod = storage.get("pods", "a", "shop")
    assert pod["status"]["phase"] == "Running"
    assert pod["spec"]["nodeName"] == "node-1"


def test_lists_are_filtered_and_sorted(storage: Storage) -> None:
    for name, node in (("c", "node-1"), ("a", "node-2"), ("b", "node-1")):
        storage.create("pods", build.pod(name, node=node), namespace="shop")
    build.namespace(storage, "other")
    storage.create("pods", build.pod("a"), namespace="other")

    names = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in storage.list("pods")]
    assert names == [("other", "a"), ("shop", "a"), ("shop", "b"), ("shop", "c")]
    assert len(storage.list("pods", fields="spec.nodeName=node-1")) == 3
    assert len(storage.list("pods", "shop", fields="spec.nodeName=node-1", labels="app=web")) == 2
    assert storage.list("pods", labels="app notin (web)") == []
    refused(400, storage.list, "pods", fields="spec.image=x")


def test_a_scheduled_pod_ends_in_two_steps(storage: Storage) -> None:
    storage.create("pods", build.pod(), namespace="shop")
    storage.delete("pods", "a", "shop")
    ending = storage.get("pods", "a", "shop")["metadata"]
    assert ending["deletionGracePeriodSeconds"] == 30
    assert ending["generation"] == 2
    storage.delete("pods", "a", "shop", grace_period_s=5)
    assert storage.get("pods", "a", "shop")["metadata"]["deletionGracePeriodSeconds"] == 5
    storage.delete("pods", "a", "shop", grace_period_s=0)

    refused(404, storage.get, "pods", "a", "shop")


def test_an_unscheduled_pod_ends_at_once(storage: Storage) -> None:
    storage.create("pods", build.pod(node=""), namespace="shop")
    storage.delete("pods", "a", "shop")

    assert storage.list("pods") == []


def test_finalizers_keep_an_object(storage: Storage) -> None:
    pool = build.config_map() | {"metadata": {"name": "kept", "finalizers": ["example.org/wait"]}}
    storage.create("configmaps", pool, namespace="shop")
    storage.delete("configmaps", "kept", "shop")
    assert "deletionTimestamp" in storage.get("configmaps", "kept", "shop")["metadata"]
    storage.patch("configmaps", "kept", "shop", {"metadata": {"finalizers": None}})

    refused(404, storage.get, "configmaps", "kept", "shop")


def test_preconditions_protect_from_deleting_another_object(storage: Storage) -> None:
    storage.create("configmaps", build.config_map(), namespace="shop")

    error = refused(409, storage.remove, "configmaps", "settings", "shop", Options(uid="other"))
    assert "does not match the UID in record" in error.message
    refused(409, storage.remove, "configmaps", "settings", "shop", Options(resource_version="1"))
    assert storage.remove("configmaps", "settings", "shop", Options(dry_run=True))[1]
    assert storage.get("configmaps", "settings", "shop")


def test_nothing_is_created_in_a_namespace_that_is_not_there_or_ends(storage: Storage) -> None:
    assert refused(404, storage.create, "pods", build.pod(), namespace="none").message == 'namespaces "none" not found'
    storage.delete("namespaces", "shop")

    error = refused(403, storage.create, "pods", build.pod(), namespace="shop")
    assert "because it is being terminated" in error.message


def test_services_get_addresses_and_keep_them(storage: Storage) -> None:
    made = storage.create("services", build.service(type="NodePort"), namespace="shop")
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert address.startswith("10.43.")
    assert 30_000 <= port <= 32_767
    again = storage.update(
        "services",
        {"metadata": made["metadata"], **build.service(type="NodePort")}
        | {"metadata": {"name": "web", "namespace": "shop"}},
    )

    assert again["spec"]["clusterIP"] == address
    assert again["spec"]["ports"][0]["nodePort"] == port
    fixed = build.service("two", clusterIP=address)
    assert "already allocated" in refused(422, storage.create, "services", fixed, namespace="shop").message
    outside = build.service("three", clusterIP="192.168.0.1")
    assert "not in the valid range" in refused(422, storage.create, "services", outside, namespace="shop").message


def test_unknown_resources_are_not_found(storage: Storage) -> None:
    refused(404, storage.list, "ippools.crd.projectcalico.org")


async def events(storage: Storage, count: int, **kwargs: Any) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in storage.watch("pods", **kwargs):
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_watch_starts_with_what_is_there(storage: Storage) -> None:
    storage.create("pods", build.pod("a"), namespace="shop")
    storage.create("pods", build.pod("b", node="node-2"), namespace="shop")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(events(storage, 4, fields="spec.nodeName=node-1"))
        await asyncio.sleep(0)
        storage.create("pods", build.pod("c"), namespace="shop")
        storage.patch("pods", "c", "shop", {"metadata": {"labels": {"x": "y"}}})
        storage.delete("pods", "a", "shop", grace_period_s=0)
        storage.create("pods", build.pod("d", node="node-2"), namespace="shop")

    seen = [(event.type, event.object["metadata"]["name"]) for event in task.result()]
    assert seen == [("ADDED", "a"), ("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "a")]


async def test_a_pod_that_is_bound_enters_the_watch_of_its_node(storage: Storage) -> None:
    storage.create("pods", build.pod("a", node=""), namespace="shop")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(events(storage, 1, fields="spec.nodeName=node-1"))
        await asyncio.sleep(0)
        storage.patch("pods", "a", "shop", {"spec": {"nodeName": "node-1"}})

    assert task.result()[0].type == "ADDED"


async def test_a_watcher_that_slept_too_long_still_gets_the_truth() -> None:
    storage = Storage(history_limit=5)
    build.namespace(storage)
    for name in ("a", "b"):
        storage.create("pods", build.pod(name), namespace="shop")
    stream = storage.watch("pods")
    assert [(await anext(stream)).object["metadata"]["name"] for _ in range(2)] == ["a", "b"]
    storage.delete("pods", "a", "shop", grace_period_s=0)
    for number in range(30):
        storage.patch("pods", "b", "shop", {"metadata": {"labels": {"n": str(number)}}})

    assert [(event.type, event.object["metadata"]["name"]) for event in (await anext(stream), await anext(stream))] == [
        ("DELETED", "a"),
        ("MODIFIED", "b"),
    ]
