"""422s: what is refused, and the sentence that says so."""

from typing import Any

import pytest

from bot.lab.cluster.apiserver.store.storage import ApiError, Storage
from tests.lab.cluster.apiserver import build

Obj = dict[str, Any]


@pytest.fixture
def storage() -> Storage:
    storage = Storage()
    build.namespace(storage)
    return storage


def pod(**container: Any) -> Obj:
    return build.pod(containers=[{"name": "main", "image": "i:1", **container}])


def without_selector() -> Obj:
    made = build.workload()
    del made["spec"]["selector"]
    return made


def with_labels(labels: Obj) -> Obj:
    return build.config_map() | {"metadata": {"name": "a", "labels": labels}}


@pytest.mark.parametrize(
    ("resource", "obj", "faults"),
    [
        ("pods", build.pod(containers=[]), ["spec.containers: Required value"]),
        ("pods", pod(name="Bad"), ['spec.containers[0].name: Invalid value: "Bad": a lowercase RFC 1123 label']),
        ("pods", pod(image=""), ["spec.containers[0].image: Required value"]),
        (
            "pods",
            pod(ports=[{"containerPort": 70000}]),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            "pods",
            pod(volumeMounts=[{"name": "none", "mountPath": "/x"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "none"'],
        ),
        (
            "pods",
            build.pod(restartPolicy="Sometimes"),
            ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
        ),
        ("pods", build.pod(tolerations=[{"effect": "NoSchedule"}]), ["spec.tolerations[0].operator: Invalid value"]),
        ("deployments.apps", without_selector(), ["spec.selector: Required value"]),
        (
            "deployments.apps",
            build.workload(selector={"matchLabels": {"x": "y"}}),
            ['labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
        ),
        ("deployments.apps", build.workload(replicas=-1), ["spec.replicas: Invalid value: -1"]),
        ("services", build.service(ports=[]), ["spec.ports: Required value"]),
        (
            "services",
            build.service(ports=[{"port": 1}, {"port": 2}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        ("services", build.service(type="Strange"), ['spec.type: Unsupported value: "Strange"']),
        ("services", build.service(clusterIP="x"), ['spec.clusterIPs[0]: Invalid value: "x"']),
        ("configmaps", with_labels({"a b": "c"}), ['metadata.labels: Invalid value: "a b"']),
        ("configmaps", with_labels({"a": "x" * 64}), ["must be no more than 63 characters"]),
        ("configmaps", build.config_map(**{"a/b": "c"}), ['data[a/b]: Invalid value: "a/b": a valid config key']),
        ("configmaps", {"data": {}}, ["metadata.name: Required value: name or generateName is required"]),
        (
            "clusterroles.rbac.authorization.k8s.io",
            {"metadata": {"name": "r"}, "rules": [{"resources": ["pods"]}]},
            ["rules[0].verbs: Required value", "rules[0].apiGroups: Required value"],
        ),
        (
            "leases.coordination.k8s.io",
            {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "networkpolicies.networking.k8s.io",
            {"metadata": {"name": "n"}, "spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]}},
            ['spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "x"'],
        ),
    ],
)
def test_new_objects(resource: str, obj: Obj, faults: list[str], storage: Storage) -> None:
    with pytest.raises(ApiError) as refused:
        storage.create(resource, obj, namespace="shop")

    assert refused.value.code == 422
    assert all(fault in refused.value.message for fault in faults), refused.value.message
    assert len(refused.value.to_status()["details"]["causes"]) == len(faults)


@pytest.mark.parametrize(
    ("resource", "obj", "change", "fault"),
    [
        ("pods", build.pod(), {"spec": {"hostNetwork": True}}, "spec: Forbidden: pod updates may not change fields"),
        (
            "deployments.apps",
            build.workload(),
            {"spec": {"selector": {"matchLabels": {"tier": "x"}}}},
            "field is immutable",
        ),
        ("services", build.service(), {"spec": {"clusterIP": "10.43.1.1"}}, "may not change once set"),
        (
            "configmaps",
            build.config_map(a="1") | {"immutable": True},
            {"data": {"a": "2"}},
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
    ],
)
def test_what_may_not_change(resource: str, obj: Obj, change: Obj, fault: str, storage: Storage) -> None:
    made = storage.create(resource, obj, namespace="shop")
    with pytest.raises(ApiError) as refused:
        storage.patch(resource, made["metadata"]["name"], "shop", change)

    assert refused.value.code == 422
    assert fault in refused.value.message


def test_a_pod_may_change_its_image_and_gain_tolerations(storage: Storage) -> None:
    storage.create("pods", pod(), namespace="shop")
    change = {"spec": {"containers": [{"name": "main", "image": "i:2"}], "activeDeadlineSeconds": 5}}

    assert storage.patch("pods", "a", "shop", change)["spec"]["containers"][0]["image"] == "i:2"


def test_secrets_must_be_base64_and_plain_text_becomes_data(storage: Storage) -> None:
    plain = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = storage.create("secrets", plain, namespace="shop")
    with pytest.raises(ApiError) as refused:
        storage.create("secrets", {"metadata": {"name": "t"}, "data": {"a": "not base64!"}}, namespace="shop")

    assert made["data"] == {"a": "Yg=="}
    assert (made["type"], "stringData" in made) == ("Opaque", False)
    assert refused.value.code == 400
