"""The small pieces: selectors, names, durations, pod words, tables, RBAC rules, keys, the schema's compiler."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.lab.cluster.apiserver import compile_schema, kubeconfigs
from bot.lab.cluster.apiserver.bootstrap import bootstrap
from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.http.answers import Form
from bot.lab.cluster.apiserver.kubectl.columns import COLUMNS
from bot.lab.cluster.apiserver.kubectl.durations import human
from bot.lab.cluster.apiserver.kubectl.pod_status import pod_ready, pod_state
from bot.lab.cluster.apiserver.kubectl.tables import table
from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.rbac import Attributes, authorize, rule_allows
from bot.lab.cluster.apiserver.store import schema
from bot.lab.cluster.apiserver.store.pod_defaults import pod_spec, pull_policy, qos_class
from bot.lab.cluster.apiserver.store.selectors import labels_text, matches_labels, parse_fields, parse_labels
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.tokens import ADMIN, Tokens, User, account_user
from tests.lab.cluster.apiserver import build

Obj = dict[str, Any]


@pytest.mark.parametrize(
    ("selector", "labels", "accepted"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"b": "1"}, True),
        ("a==1", {"a": "1"}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1,2), b", {"a": "2", "b": "x"}, True),
        ("a notin (1)", {"a": "1"}, False),
        ("n>4", {"n": "5"}, True),
        ("n<4", {"n": "x"}, False),
        ("example.org/a=", {"example.org/a": ""}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], *, accepted: bool) -> None:
    assert matches_labels(parse_labels(selector), labels) is accepted


@pytest.mark.parametrize("selector", ["a b c", "a in b", "a in (b", "=x", "a=1,", "a=(x)", "a b", "(", "-a", "a,!"])
def test_senseless_label_selectors_are_refused(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_labels(selector)

    assert refused.value.code == 400


def test_selector_objects_have_a_text_of_their_own() -> None:
    selector = {
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"},
        ],
    }

    assert labels_text(selector) == "a in (x,y),b=1,c,!d"
    assert matches_labels(parse_labels(labels_text(selector)), {"a": "x", "b": "1", "c": ""})


def test_field_selectors_know_escapes() -> None:
    assert parse_fields(r"a=b\,c,d!=e") == (("a", True, "b,c"), ("d", False, "e"))
    with pytest.raises(ApiError):
        parse_fields("nonsense")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (310, "5m10s"), (3599, "59m"), (3 * 3600 + 60, "3h1m"), (86_400, "24h"),
     (3 * 86_400 + 7200, "3d2h"), (40 * 86_400, "40d"), (800 * 86_400, "2y70d"), (-5, "<invalid>")],
)  # fmt: skip
def test_durations_are_those_of_kubectl(seconds: int, text: str) -> None:
    assert human(seconds) == text


def status(state: Obj, *, ready: bool = False, **more: Any) -> Obj:
    return {"name": "main", "state": state, "ready": ready, "restartCount": 0, **more}


@pytest.mark.parametrize(
    ("pod_status", "metadata", "words"),
    [
        ({"phase": "Pending"}, {}, "Pending"),
        ({"containerStatuses": [status({"waiting": {"reason": "CrashLoopBackOff"}})]}, {}, "CrashLoopBackOff"),
        ({"containerStatuses": [status({"terminated": {"exitCode": 3}})]}, {}, "ExitCode:3"),
        ({"containerStatuses": [status({"terminated": {"reason": "OOMKilled"}})]}, {}, "OOMKilled"),
        ({"phase": "Running", "containerStatuses": [status({"running": {}}, ready=True)]}, {}, "Running"),
        ({"phase": "Running"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "Terminating"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, "Evicted"),
        ({"initContainerStatuses": [status({"running": {}})]}, {}, "Init:0/1"),
        ({"initContainerStatuses": [status({"terminated": {"exitCode": 1, "reason": "Error"}})]}, {}, "Init:Error"),
    ],
)
def test_pods_are_summed_up_like_by_kubectl(pod_status: Obj, metadata: Obj, words: str) -> None:
    pod = build.pod(initContainers=[{"name": "init"}]) | {"status": pod_status}
    pod["metadata"] |= metadata

    assert pod_state(pod) == words
    assert pod_ready(pod).endswith("/1")


def test_every_column_can_show_a_bare_object() -> None:
    """Objects whose optional fields are missing must not stop `kubectl get`."""
    bare: Obj = {
        "kind": "X",
        "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {},
        "status": {},
        "involvedObject": {},
        "roleRef": {"kind": "Role", "name": "r"},
    }
    for columns in COLUMNS.values():
        for column in columns:
            column.cell(bare)


def test_only_the_known_table_version_is_served() -> None:
    storage = Storage()
    with pytest.raises(ApiError) as refused:
        table(storage.resource("pods"), [], {}, Form(as_kind="Table", as_group="meta.k8s.io", as_version="v1beta9"))

    assert refused.value.code == 406


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("r:5000/nginx:1", "IfNotPresent"),
        ("n@sha256:0", "IfNotPresent"),
    ],
)
def test_pull_policies_follow_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_pod_defaults_reach_probes_volumes_and_limits() -> None:
    spec: Obj = {
        "hostNetwork": True,
        "serviceAccountName": "me",
        "containers": [
            {
                "name": "a",
                "image": "i:1",
                "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            }
        ],
        "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "h", "hostPath": {"path": "/"}}],
    }
    pod_spec(spec)
    (container,) = spec["containers"]

    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
    assert container["readinessProbe"]["periodSeconds"] == 10
    assert container["readinessProbe"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert [volume.get("configMap", volume.get("hostPath")) for volume in spec["volumes"]] == [
        {"name": "c", "defaultMode": 420},
        {"path": "/", "type": ""},
    ]
    assert spec["serviceAccount"] == "me"
    assert qos_class(spec) == "Guaranteed"


RULE = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["web"]}


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        (RULE, Attributes(verb="get", group="apps", resource="deployments", name="web"), True),
        (RULE, Attributes(verb="get", group="apps", resource="deployments", name="other"), False),
        (RULE, Attributes(verb="list", group="apps", resource="deployments", name="web"), False),
        (RULE, Attributes(verb="get", group="", resource="deployments", name="web"), False),
        (RULE, Attributes(verb="get", group="apps", resource="deployments", subresource="scale", name="web"), False),
        ({"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["*"]},
         Attributes(verb="patch", group="apps", resource="deployments", subresource="scale"), True),
        ({"nonResourceURLs": ["/api/*"], "verbs": ["get"]}, Attributes(verb="get", path="/api/v1"), True),
        ({"nonResourceURLs": ["/api"], "verbs": ["get"]}, Attributes(verb="get", path="/api/v1"), False),
    ],
)  # fmt: skip
def test_rules(rule: Obj, attributes: Attributes, *, allowed: bool) -> None:
    assert rule_allows(rule, attributes) is allowed


def test_bindings_reach_users_groups_and_accounts() -> None:
    storage = Storage()
    bootstrap(storage)
    subjects: list[Obj] = [
        {"kind": "User", "name": "ann"},
        {"kind": "Group", "name": "ops"},
        {"kind": "ServiceAccount", "name": "bot", "namespace": "default"},
    ]
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": subjects,
    }
    storage.create("rolebindings.rbac.authorization.k8s.io", binding, namespace="default")
    here = Attributes(verb="list", resource="pods", namespace="default")
    elsewhere = Attributes(verb="list", resource="pods", namespace="kube-system")
    secrets = Attributes(verb="list", resource="secrets", namespace="default")
    for user in (User(name="ann"), User(name="x", groups=("ops",)), account_user("default", "bot")):
        assert authorize(storage, user, here).allowed
        assert not authorize(storage, user, elsewhere).allowed
        assert not authorize(storage, user, secrets).allowed
    assert authorize(storage, ADMIN, secrets).allowed
    assert (
        'RoleBinding "b/default" of ClusterRole "view" to User "ann"'
        in authorize(storage, User(name="ann"), here).reason
    )


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first = Pki.create(tmp_path, names=["api.lab"], addresses=["172.30.0.1"])
    authority = first.ca_pem

    assert Pki.create(tmp_path).ca_pem == authority
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_for_a_service_account(tmp_path: Path) -> None:
    storage = Storage()
    build.namespace(storage)
    build.grant(storage, [])
    pki = Pki.create(tmp_path / "pki")
    tokens = Tokens(storage, pki.signing_key())
    path = kubeconfigs.for_service_account(
        pki, tokens, tmp_path / "k", server="https://127.0.0.1:1", account=("shop", "reader")
    )
    config = json.loads(path.read_text(encoding="utf-8"))
    user = tokens.check(config["users"][0]["user"]["token"])

    assert config["contexts"][0]["context"]["namespace"] == "shop"
    assert user is not None
    assert user.name == "system:serviceaccount:shop:reader"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_schema_is_compiled_from_published_definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = "io.k8s.api.core.v1."
    definitions: Obj = {
        f"{core}ConfigMap": {
            "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "ConfigMap"}],
            "properties": {
                "data": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
                "items": {
                    "type": "array",
                    "items": {"$ref": f"#/$defs/{core}Item"},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "x-kubernetes-patch-strategy": "merge",
                    "x-kubernetes-patch-merge-key": "name",
                },
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "free": {"type": "object"},
            },
        },
        f"{core}Item": {"properties": {"name": {"type": "string"}}, "x-kubernetes-map-type": "atomic"},
    }
    compiled = compile_schema.compile_types(definitions)
    source = tmp_path / "definitions.json"
    source.write_text(json.dumps({"$defs": definitions}), encoding="utf-8")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(compile_schema, "__file__", str(tmp_path / "compile_schema.py"))
    compile_schema.main(str(source))

    assert compiled["kinds"] == {"v1/ConfigMap": "core.v1.ConfigMap"}
    assert compiled["types"]["core.v1.Item"] == {"fields": {"name": "string"}, "atomic": True}
    assert compiled["types"]["core.v1.ConfigMap"]["fields"] == {
        "data": {"values": "string"},
        "items": {"items": "core.v1.Item", "patch": "merge", "merge_key": "name", "keys": ["name"]},
        "tags": {"items": "string", "set": True},
        "free": "any",
    }
    assert json.loads((tmp_path / "data" / "types.json").read_text(encoding="utf-8")) == compiled


def test_the_shipped_schema_covers_every_kind_that_is_stored() -> None:
    known = schema.kinds()
    missing = [
        resource.kind
        for resource in Storage().resources
        if "watch" in resource.verbs and f"{resource.api_version}/{resource.kind}" not in known
    ]

    assert missing == []
