from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config

from bot.cluster.client import credentials
from tests.cluster.small_cluster import SmallCluster


@pytest.fixture
def in_pod(cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and variables that a pod's service account comes with."""
    mount = tmp_path / "serviceaccount"
    mount.mkdir()
    (mount / "token").write_text(cluster.tokens.add())
    (mount / "ca.crt").write_text(cluster.pki.ca_pem)
    (mount / "namespace").write_text("cnibot\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(mount / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(mount / "ca.crt"))
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", mount)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    host, port = cluster.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    return mount
