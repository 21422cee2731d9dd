"""Files and variables that a kubelet puts around containers."""

from __future__ import annotations

from typing import Any

import pytest

from bot.lab.cluster.kubelet import environment


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": "busybox"}]
    metadata = {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


@pytest.mark.parametrize(
    ("spec", "nameserver"),
    [
        ({}, "10.43.0.10"),
        ({"hostNetwork": True}, "198.51.100.10"),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, "10.43.0.10"),
        ({"dnsPolicy": "Default"}, "198.51.100.10"),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}}, "192.0.2.1"),
    ],
)
def test_nameserver_by_policy(spec: dict[str, Any], nameserver: str) -> None:
    assert f"nameserver {nameserver}\n" in environment.resolv_conf(pod(**spec))


def test_search_path_begins_in_the_pods_namespace() -> None:
    text = environment.resolv_conf(pod())

    assert "search shop.svc.cluster.local svc.cluster.local cluster.local\n" in text
    assert "options ndots:5\n" in text


def test_hosts_name_the_pod() -> None:
    assert "10.42.0.7\tweb-1\n" in environment.hosts(pod(), "10.42.0.7")


def test_token_is_mounted_unless_refused() -> None:
    token = {"token": "secret", "namespace": "shop"}

    with_token = environment.layout(pod(), {}, token)
    without = environment.layout(pod(automountServiceAccountToken=False), {}, token)

    assert any(target == environment.TOKEN_DIRECTORY for _, target in with_token.mounts)
    assert not any(target == environment.TOKEN_DIRECTORY for _, target in without.mounts)


def test_a_mount_within_another_comes_after_it() -> None:
    """Else its mount point is made on the machine that carries the lab, and is hidden by the other."""
    mounts = [{"name": "inner", "mountPath": "/tmp/a/b"}, {"name": "outer", "mountPath": "/tmp"}]
    volumes: list[dict[str, Any]] = [{"name": "inner", "emptyDir": {}}, {"name": "outer", "emptyDir": {}}]
    container = {"name": "app", "image": "busybox", "volumeMounts": mounts}

    made = environment.layout(pod(volumes=volumes, containers=[container]), {}, {})

    targets = [target for _, target in made.mounts]
    assert targets.index("/tmp") < targets.index("/tmp/a/b")


def test_volumes() -> None:
    config = {"kind": "ConfigMap", "data": {"a.conf": "x=1"}}
    secret = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}
    made = environment.layout(
        pod(
            volumes=[
                {"name": "config", "configMap": {"name": "settings"}},
                {"name": "secret", "secret": {"secretName": "login"}},
                {"name": "scratch", "emptyDir": {}},
                {"name": "logs", "hostPath": {"path": "/var/log"}},
            ],
            containers=[
                {
                    "name": "app",
                    "image": "busybox",
                    "volumeMounts": [
                        {"name": "config", "mountPath": "/etc/app"},
                        {"name": "secret", "mountPath": "/etc/secret"},
                        {"name": "scratch", "mountPath": "/scratch"},
                        {"name": "logs", "mountPath": "/var/run/logs"},
                    ],
                }
            ],
        ),
        {("ConfigMap", "settings"): config, ("Secret", "login"): secret},
        {},
    )

    assert made.files["volumes/kubernetes.io~configmap/config/a.conf"] == "x=1"
    assert made.files["volumes/kubernetes.io~secret/secret/password"] == "hunter2"
    assert ("volumes/kubernetes.io~empty-dir/scratch", "/scratch") in made.mounts
    assert ("/var/log", "/run/logs") in made.mounts


def test_missing_configmap_is_named() -> None:
    made = environment.layout(pod(volumes=[{"name": "config", "configMap": {"name": "settings"}}]), {}, {})

    assert made.missing == ['configmap "settings" not found']


def test_variables() -> None:
    container = {
        "name": "app",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "URL", "value": "http://$(IP)/$(UNKNOWN)"},
        ],
    }
    configuration = {("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"LEVEL": "debug"}}}

    found = environment.variables(pod(), container, ip="10.42.0.7", host_ip="172.30.0.11", configuration=configuration)

    assert found["LEVEL"] == "debug"
    assert found["POD"] == "web-1"
    assert found["APP"] == "web"
    assert found["URL"] == "http://10.42.0.7/$(UNKNOWN)"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.43.0.1"


def test_references_of_volumes_and_variables() -> None:
    container = {
        "name": "app",
        "image": "x",
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "a"}}}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }

    found = set(environment.references(pod(containers=[container])))

    assert found == {("Secret", "login"), ("ConfigMap", "settings")}
