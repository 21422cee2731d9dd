"""Who we are: in a pod, by plugins, by certificates."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.cluster.client.credential_plugin import run_plugin
from bot.cluster.objects import Namespace
from bot.domain.errors import ConfigurationError, UnreachableError
from tests.cluster.small_cluster import SmallCluster
from tests.contracts.scripted_server import kubeconfig


@pytest.mark.usefixtures("in_pod")
async def test_in_a_pod_the_service_account_is_used():
    async with Api.connect() as api:
        assert api.context == "in-cluster"
        assert (await api.get("/api/v1/namespaces/default", Namespace)).metadata.name == "default"


async def test_in_a_pod_without_a_token(in_pod: Path):
    (in_pod / "token").unlink()
    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect():
            pass

    assert str(raised.value) == "The pod's service account cannot be used: Service token file does not exist."


async def test_one_of_several_kubeconfigs_may_be_missing(cluster: SmallCluster):
    """$KUBECONFIG is a list, and kubectl passes over what is not there."""
    async with Api.connect(f"/nonexistent:{cluster.kubeconfig()}") as api:
        assert (await api.get("/api/v1/namespaces/default", Namespace)).metadata.name == "default"


TWO = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: c, user: u}}]
"""


@pytest.mark.parametrize(
    ("text", "context", "reported"),
    [
        (None, None, "there is no such file. Name one with --kubeconfig or in KUBECONFIG (without a cluster to try: "),
        (TWO, None, "it sets no current-context. There are: one, two. Choose one with --context."),
        (TWO, "three", "it has no context 'three'. There are: one, two. Choose one with --context."),
        ("current-context: one", None, "it has no context. Name another file with --kubeconfig or in KUBECONFIG."),
        ("kind: Config", None, "it has no context. Name another file with --kubeconfig or in KUBECONFIG."),
        ("", None, "it is empty. Name another file with --kubeconfig or in KUBECONFIG."),
        ("- a list", None, "it is not a kubeconfig, or lacks a part"),
    ],
)
async def test_a_kubeconfig_that_will_not_do_is_told_with_the_next_step(
    text: str | None, context: str | None, reported: str, tmp_path: Path
):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect(path, context):
            pass

    assert f"The kubeconfig {path} cannot be used: {reported}" in str(raised.value)


async def test_a_directory_is_no_kubeconfig(tmp_path: Path):
    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect(tmp_path):
            pass

    assert "it is a directory. Name another file with --kubeconfig or in KUBECONFIG." in str(raised.value)


def is_running(directory: Path) -> bool:
    """Whether the plugin that wrote its number to "pid" still runs."""
    return Path("/proc", (directory / "pid").read_text().strip()).exists()


def plugin(directory: Path, script: str) -> dict[str, Any]:
    path = directory / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "args": ["get-token"]}


async def test_a_plugin_is_told_what_it_needs(tmp_path: Path):
    script = (
        'printf \'{"status": {"token": "%s %s %s"}}\' "$1" "$REGION" "$(echo "$KUBERNETES_EXEC_INFO" | tr -d \'"{}\')"'
    )
    asked = {**plugin(tmp_path, script), "env": [{"name": "REGION", "value": "eu"}]}
    status = await run_plugin(asked, server="https://lab")

    assert status["token"].startswith("get-token eu apiVersion: client.authentication.k8s.io/v1")


async def test_a_plugin_may_give_a_certificate(cluster: SmallCluster, tmp_path: Path):
    """Against a server that takes tokens only: the connection stands, and is anonymous."""
    certificate = (cluster.pki.directory / "server.crt").read_text()
    key = (cluster.pki.directory / "server.key").read_text()
    status = {"status": {"clientCertificateData": certificate, "clientKeyData": key}}
    (tmp_path / "status.json").write_text(json.dumps(status))
    asked = plugin(tmp_path, f"cat {tmp_path / 'status.json'}")
    authority = base64.b64encode(cluster.pki.ca_pem.encode()).decode()
    path = kubeconfig(tmp_path, cluster.url, cluster={"certificate-authority-data": authority}, exec=asked)
    async with Api.connect(path) as api:
        version: dict[str, Any] = await api.get("/version", dict[str, Any])

    assert version["gitVersion"].startswith("v1.")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hello", "printed something else than JSON"),
        ("echo '[]'", "printed no credentials"),
        ("echo '{\"status\": 7}'", "printed no credentials"),
        ("exit 4", "exit code 4"),
    ],
)
async def test_a_plugin_that_talks_nonsense(script: str, said: str, tmp_path: Path):
    with pytest.raises(UnreachableError, match=said) as raised:
        await run_plugin(plugin(tmp_path, script), server="https://lab")

    assert raised.value.kind == "credentials"


async def test_a_plugin_without_credentials(tmp_path: Path):
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin(tmp_path, "echo '{\"status\": {}}'"))
    with pytest.raises(UnreachableError, match="it gave neither a token nor a certificate"):
        async with Api.connect(path):
            pass


async def test_a_plugin_that_hangs_is_ended(tmp_path: Path):
    script = f"echo $$ > {tmp_path / 'pid'}; exec sleep 60"
    with pytest.raises(UnreachableError, match=r"did not end within 0\.5 s"):
        await run_plugin(plugin(tmp_path, script), server="https://lab", deadline_s=0.5)

    assert not is_running(tmp_path)


async def test_a_plugin_that_is_cancelled_is_ended(tmp_path: Path):
    fifo = tmp_path / "begun"
    asked = plugin(tmp_path, f"echo $$ > {tmp_path / 'pid'}; touch {fifo}; exec sleep 60")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_plugin(asked, server="https://lab"))
        async with asyncio.timeout(5):
            while not fifo.exists():  # noqa: ASYNC110 - another process says so by a file
                await asyncio.sleep(0.01)
        task.cancel()

    assert not is_running(tmp_path)
