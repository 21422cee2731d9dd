"""Patches case by case: strategic merge, JSON patch, server-side apply and who owns what."""

from typing import Any

import pytest

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store import schema
from bot.lab.cluster.apiserver.store.managed import Applier
from bot.lab.cluster.apiserver.store.merge import json_patch
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.store.strategic import strategic_merge
from tests.lab.cluster.apiserver import build

POD = schema.of_kind("v1", "Pod")
DEPLOYMENT = schema.of_kind("apps/v1", "Deployment")
Obj = dict[str, Any]


def containers(*items: Obj) -> Obj:
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("live", "patch", "merged"),
    [
        pytest.param(
            containers({"name": "a", "image": "1"}, {"name": "b"}),
            containers({"name": "a", "image": "2"}),
            containers({"name": "a", "image": "2"}, {"name": "b"}),
            id="items are merged by their key",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "c"}),
            containers({"name": "c"}, {"name": "a"}, {"name": "b"}),
            id="new items come first, as upstream has it",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}),
            containers({"name": "b"}),
            id="an item is deleted",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            containers({"$patch": "replace"}, {"name": "z"}),
            containers({"name": "z"}),
            id="a list is replaced",
        ),
        pytest.param(
            containers({"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["a", "b"]}),
            containers({"name": "a", "env": [{"name": "Y", "value": "2"}], "args": ["c"]}),
            containers({"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}], "args": ["c"]}),
            id="lists inside items follow their own rules",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            containers({"name": "b"}, {"name": "a"}),
            id="items are put into order",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            id="a value is taken from a list",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b", "a"]}},
            {"metadata": {"finalizers": ["b", "a"]}},
            id="values are joined",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None}}},
            {"metadata": {"labels": {"b": "2"}}},
            id="null removes",
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"a": "1"}}},
            {"spec": {"nodeSelector": {"$patch": "replace", "b": "2"}}},
            {"spec": {"nodeSelector": {"b": "2"}}},
            id="a map is replaced",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            id="conditions are merged by type",
        ),
        pytest.param(
            {"spec": {"tolerations": [{"key": "a"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
            id="tolerations are one value",
        ),
    ],
)
def test_strategic_merge(live: Obj, patch: Obj, merged: Obj) -> None:
    assert strategic_merge(live, patch, POD) == merged


def test_retain_keys_clears_the_other_kind_of_strategy() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}

    assert strategic_merge(live, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"$patch": "nonsense"}},
        containers({"image": "no name"}),
        {"spec": {"containers": [{"name": "a"}], "$retainKeys": ["volumes"]}},
    ],
)
def test_senseless_strategic_patches_are_refused(patch: Obj) -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge(containers({"name": "a"}), patch, POD)

    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/list/-", "value": 3}], {"list": [1, 2, 3], "map": {"a/b": 1}}),
        ([{"op": "add", "path": "/list/0", "value": 0}], {"list": [0, 1, 2], "map": {"a/b": 1}}),
        ([{"op": "remove", "path": "/map/a~1b"}], {"list": [1, 2], "map": {}}),
        ([{"op": "replace", "path": "/list/1", "value": 9}], {"list": [1, 9], "map": {"a/b": 1}}),
        ([{"op": "move", "from": "/list/0", "path": "/map/x"}], {"list": [2], "map": {"a/b": 1, "x": 1}}),
        ([{"op": "copy", "from": "/map", "path": "/m2"}], {"list": [1, 2], "map": {"a/b": 1}, "m2": {"a/b": 1}}),
        ([{"op": "test", "path": "/list/0", "value": 1}], {"list": [1, 2], "map": {"a/b": 1}}),
    ],
)
def test_json_patch(operations: list[Obj], result: Obj) -> None:
    assert json_patch({"list": [1, 2], "map": {"a/b": 1}}, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "remove", "path": "/list/7"},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "no slash", "value": 1},
        {"op": "test", "path": "/list/0", "value": 2},
        {"op": "add", "path": "/list/0/deeper", "value": 1},
    ],
)
def test_impossible_json_patches_are_refused(operation: Obj) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"list": [1]}, [operation])

    assert refused.value.code == 422


@pytest.fixture
def storage() -> Storage:
    storage = Storage()
    build.namespace(storage)
    return storage


def apply(storage: Storage, resource: str, config: Obj, manager: str, *, force: bool = False) -> Obj:
    kind = storage.resource(resource)
    applier = Applier(
        resource=kind,
        config=config | {"kind": kind.kind, "apiVersion": kind.api_version},
        manager=manager,
        subresource="",
        force=force,
        now=storage.now,
    )
    return storage.apply(applier, config["metadata"]["name"], "shop")[0]


def owners(obj: Obj) -> dict[str, Obj]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def test_an_apply_removes_what_its_manager_left_out(storage: Storage) -> None:
    apply(storage, "configmaps", build.config_map(a="1", b="2"), "alice")
    storage.patch("configmaps", "settings", "shop", {"data": {"c": "3"}}, manager="bob")
    after = apply(storage, "configmaps", build.config_map(a="1"), "alice")

    assert after["data"] == {"a": "1", "c": "3"}
    assert owners(after) == {"alice": {"f:data": {"f:a": {}}}, "bob": {"f:data": {"f:c": {}}}}


def test_what_two_managers_apply_alike_belongs_to_both(storage: Storage) -> None:
    apply(storage, "configmaps", build.config_map(a="1"), "alice")
    apply(storage, "configmaps", build.config_map(a="1", b="2"), "bob")
    after = apply(storage, "configmaps", build.config_map(b="2"), "bob")

    assert after["data"] == {"a": "1", "b": "2"}
    with pytest.raises(ApiError) as conflict:
        apply(storage, "configmaps", build.config_map(a="9", b="9"), "carol")
    assert conflict.value.message == (
        'Apply failed with 2 conflicts: conflicts with "alice":\n- .data.a\nconflicts with "bob":\n- .data.b'
    )


def test_the_same_apply_again_changes_nothing(storage: Storage) -> None:
    first = apply(storage, "deployments.apps", build.workload(replicas=2), "alice")

    assert apply(storage, "deployments.apps", build.workload(replicas=2), "alice") == first


def test_a_container_of_another_manager_survives_an_apply(storage: Storage) -> None:
    apply(storage, "deployments.apps", build.workload(), "alice")
    sidecar = build.workload()
    sidecar["spec"] = {
        "selector": sidecar["spec"]["selector"],
        "template": {"spec": {"containers": [{"name": "sidecar", "image": "s:1"}]}},
    }
    apply(storage, "deployments.apps", sidecar, "mesh")
    after = apply(storage, "deployments.apps", build.workload(image="nginx:2"), "alice")

    images = {each["name"]: each["image"] for each in after["spec"]["template"]["spec"]["containers"]}
    assert images == {"web": "nginx:2", "sidecar": "s:1"}


def test_conflicts_name_list_items_by_their_keys(storage: Storage) -> None:
    storage.create("deployments.apps", build.workload(), namespace="shop", manager="kubectl-create")
    with pytest.raises(ApiError) as conflict:
        apply(storage, "deployments.apps", build.workload(image="nginx:2"), "alice")

    (cause,) = conflict.value.to_status()["details"]["causes"]
    assert cause == {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "kubectl-create" using apps/v1',
        "field": '.spec.template.spec.containers[name="web"].image',
    }
    forced = apply(storage, "deployments.apps", build.workload(image="nginx:2"), "alice", force=True)
    taken = owners(forced)["kubectl-create"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"web"}']
    assert "f:image" not in taken
