"""The chart, rendered by Helm itself: every object is one that Kubernetes takes, and what cannot work is refused."""

import copy
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] # it has annotations, and no py.typed
import pytest
import yaml

from tests.architecture.manifests import MONITORING, Manifest
from tests.architecture.tree import ROOT
from tests.conftest import LabUnderTest
from tests.e2e.cluster import Cluster

helm: Any = pytest.importorskip("helm_python", reason="no wheel of Helm's library for this platform")

CHART = ROOT / "deploy" / "chart" / "cnibot"
VERSIONS = tuple(f"1.{minor}" for minor in range(30, 38))
DIGEST = "sha256:" + "0123456789abcdef" * 4
COMBINATIONS: Mapping[str, dict[str, Any]] = {
    "defaults": {},
    "with the namespace": {"namespace": {"create": True}},
    "air-gapped": {
        "image": {"registry": "registry.local:5000", "digest": DIGEST},
        "imagePullSecrets": [{"name": "pull"}],
        "nodeAgents": {"daemonSet": True},
        "cli": {"enabled": True},
    },
    "sidecar": {"redis": {"mode": "sidecar"}, "persistence": {"storageClass": "fast", "size": "5Gi"}},
    "sidecar without a volume": {"redis": {"mode": "sidecar"}, "persistence": {"enabled": False}},
    "several replicas": {
        "replicas": 3,
        "redis": {"mode": "external"},
        "podDisruptionBudget": {"enabled": True},
    },
    "http": {
        "slack": {"mode": "http"},
        "webhook": {"enabled": True, "existingSecret": "hook", "port": 9000},
        "bot": {"settings": {"alert_channel": "C0123456789"}, "env": [{"name": "TZ", "value": "UTC"}]},
    },
    "every right": {"rbac": {"exec": True, "remediation": True}, "serviceAccount": {"annotations": {"a": "b"}}},
    "bounded executor": {
        "rbac": {"remediation": True},
        "admissionPolicy": {"enabled": True, "executor": "system:serviceaccount:cnibot:executor"},
    },
    "no rights": {"rbac": {"create": False}},
    "command line alone": {"bot": {"enabled": False}, "cli": {"enabled": True}},
    "K3s": yaml.safe_load((CHART / "profiles" / "k3s.yaml").read_text(encoding="utf-8")),
    "monitored": {
        "monitoring": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "rules": {"enabled": True, "overrides": {"CnibotDown": {"for": "10m", "severity": "warning"}}},
            "dashboard": {"enabled": True},
        },
        "networkPolicy": {"enabled": True},
    },
}


def render(values: dict[str, Any], namespace: str = "cnibot") -> list[Manifest]:
    """The objects of a release."""
    with helm.Chart.load(CHART) as chart:
        made: dict[str, str] = chart.render(values, name="cnibot", namespace=namespace)
    texts = [text for path, text in made.items() if path.endswith(".yaml")]
    return [cast("Manifest", item) for text in texts for item in yaml.safe_load_all(text) if item]


def one(items: list[Manifest], kind: str, name: str = "cnibot") -> Manifest:
    """The one object of that kind and name."""
    (found,) = [item for item in items if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def pod(items: list[Manifest]) -> Manifest:
    return one(items, "Deployment")["spec"]["template"]["spec"]


def env(items: list[Manifest]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod(items)["containers"][0]["env"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_of_every_combination_satisfies_the_schemas(version: str) -> None:
    """Of the Prometheus Operator's kinds Kubernetes has no schema; promtool plays their rules."""
    once = {json.dumps(item, sort_keys=True): item for item in EVERYTHING}

    complaints: list[str] = []
    for item in once.values():
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            complaints.append(f"{item['kind']}/{item['metadata']['name']}: {error.message}")
    assert complaints == []


EVERYTHING = [
    item
    for values in COMBINATIONS.values()
    for item in render(values)
    if not item["apiVersion"].startswith("monitoring.coreos.com/")
]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"replicas": 6, "redis": {"mode": "external"}}, "maximum"),
        ({"replicas": 2}, "set redis.mode to external"),
        ({"slack": {"mode": "http"}}, "needs webhook.enabled"),
        ({"image": {"digest": "latest"}}, "does not match pattern"),
        ({"redis": {"mode": "memory"}}, "one of"),
        ({"monitoring": {"rules": {"overrides": {"CnibotDown": {"after": "5m"}}}}}, "'after' not allowed"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(helm.HelmError, match=why):
        render(values)


def test_chart_and_project_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["version"] == chart["appVersion"] == project["version"]


def test_every_value_is_in_the_schema() -> None:
    """And the other way round: a switch that the schema allows is one that somebody explained."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def compare(known: dict[str, Any], given: dict[str, Any], path: str) -> None:
        if "properties" not in known:
            return
        assert known["additionalProperties"] is False, path
        assert set(known["properties"]) - {"global"} == set(given), path
        for name, child in given.items():
            if isinstance(child, dict):
                compare(known["properties"][name], cast("dict[str, Any]", child), f"{path}.{name}")

    compare(schema, values, "")


def test_one_registry_holds_for_every_image() -> None:
    items = render({**copy.deepcopy(COMBINATIONS["air-gapped"]), "redis": {"mode": "sidecar"}})
    specs = [item["spec"]["template"]["spec"] for item in items if item["kind"] in {"Deployment", "DaemonSet"}]
    specs.append(one(items, "Pod", "cnibot-test-doctor")["spec"])

    images = {container["image"].partition("@")[0] for spec in specs for container in spec["containers"]}
    assert images == {"registry.local:5000/cnibot/cnibot", "registry.local:5000/library/redis:8.2.3-alpine"}
    assert all(spec["imagePullSecrets"] == [{"name": "pull"}] for spec in specs)
    assert env(items)["CNIBOT_AGENT_IMAGE"] == f"registry.local:5000/cnibot/cnibot@{DIGEST}"


@pytest.mark.parametrize("ours", [{}, {"digest": DIGEST}], ids=["by tag", "by digest"])
def test_what_is_not_ours_is_pinned_by_its_digest_and_ours_where_one_is_given(ours: dict[str, Any]) -> None:
    """Our own has a digest only once it is built. A Redis beside the bot holds all that people said."""
    everything = {"redis": {"mode": "sidecar"}, "nodeAgents": {"daemonSet": True}, "cli": {"enabled": True}}
    items = render({"image": ours, **everything})
    specs = [item["spec"]["template"]["spec"] for item in items if item["kind"] in {"Deployment", "DaemonSet"}]
    images = {container["image"] for spec in specs for container in spec["containers"]}

    redis = {image for image in images if re.fullmatch(r"docker\.io/library/redis:[\w.-]+@sha256:[0-9a-f]{64}", image)}
    assert len(redis) == 1
    (own,) = images - redis
    assert own.startswith(f"ghcr.io/cnibot/cnibot@{DIGEST}" if ours else "ghcr.io/cnibot/cnibot:")


def test_several_replicas_share_one_store_and_no_node() -> None:
    items = render(COMBINATIONS["several replicas"])

    assert env(items)["CNIBOT_REDIS_URL_FILE"] == "/var/run/secrets/cnibot/redis/redis-url"
    assert one(items, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert pod(items)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert not [item for item in items if item["kind"] == "PersistentVolumeClaim"]


def test_sidecar_keeps_each_write_and_has_no_port() -> None:
    items = render(COMBINATIONS["sidecar"])
    (redis,) = [each for each in pod(items)["containers"] if each["name"] == "redis"]

    assert env(items)["CNIBOT_REDIS_URL"] == "unix:///var/run/redis/redis.sock"
    assert " ".join(redis["args"]).startswith("--port 0 ")
    assert "--appendonly yes --appendfsync always" in " ".join(redis["args"])
    assert "ports" not in redis


@pytest.mark.lab
def test_an_api_server_takes_every_object(calico_lab: LabUnderTest) -> None:
    """In the lab's there is no Prometheus Operator, whose kinds are left out."""
    cluster = Cluster(str(calico_lab.kubeconfig))
    namespace = one(render(COMBINATIONS["with the namespace"]), "Namespace")
    with cluster.applied(namespace):
        for item in EVERYTHING:
            cluster.apply(item, is_dry_run=True)


def test_another_namespace_gets_objects_of_its_own() -> None:
    """Two releases in one cluster do not share what is cluster-wide."""
    items = render(COMBINATIONS["every right"], namespace="bots")
    wide = {item["metadata"]["name"] for item in items if item["kind"] in {"ClusterRole", "ClusterRoleBinding"}}

    assert wide == {"cnibot-bots", "cnibot-bots-exec", "cnibot-bots-remediation"}
    assert env(items)["CNIBOT_BOT_NAMESPACE"] == "bots"
    assert {
        item["metadata"]["namespace"] for item in items if item["kind"] not in {"ClusterRole", "ClusterRoleBinding"}
    } == {"bots"}


def test_rights_beyond_looking_are_off_by_default() -> None:
    names = {item["metadata"]["name"] for item in render({}) if item["kind"] == "ClusterRole"}

    assert names == {"cnibot"}


def test_alerts_are_the_published_ones_with_what_was_changed() -> None:
    published = yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    overrides = {"CnibotDown": {"for": "10m", "severity": "warning"}, "CnibotLate": {"enabled": False}}
    rules = {"enabled": True, "overrides": overrides}

    made = one(render({"monitoring": {"rules": rules}}), "PrometheusRule")["spec"]["groups"]

    expected = copy.deepcopy(published["spec"]["groups"])
    for group in expected:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] != "CnibotLate"]
        for rule in group["rules"]:
            if rule["alert"] == "CnibotDown":
                rule |= {"for": "10m", "labels": {"severity": "warning"}}
    assert made == expected


def test_prometheus_reaches_what_the_monitor_names() -> None:
    items = render(COMBINATIONS["monitored"])
    service = one(items, "Service")
    selected = one(items, "ServiceMonitor")["spec"]["selector"]["matchLabels"]

    assert selected.items() <= service["metadata"]["labels"].items()
    assert env(items)["CNIBOT_HEALTH_HOST"] == {"fieldRef": {"fieldPath": "status.hostIP"}}
    assert "host" not in pod(items)["containers"][0]["readinessProbe"]["httpGet"]
