"""The `helm` program: what it gets, and that it ends when we say so."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest
import yaml

from bot.cluster.client.cluster_access import ClusterAccess
from bot.cluster.helm.program import HelmFailedError, HelmMissingError, roll_back_release

ACCESS = ClusterAccess(kubeconfig="/a/config:/b/config", context="prod", server="https://10.0.0.1:6443")


def program(directory: Path, *lines: str, version: str = "v4.2.3") -> str:
    """A helm that says which version it is, and else does this."""
    script = directory / "helm"
    script.write_text("\n".join(["#!/bin/sh", f'case "$1" in version) echo {version}; exit;; esac', *lines]) + "\n")
    script.chmod(0o755)
    return str(script)


def ends(pid: int) -> bool:
    """Whether the process ends, which the kernel brings about in its own time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)


async def roll_back(
    helm: str, access: ClusterAccess = ACCESS, *, is_dry_run: bool = False, within_s: float = 20
) -> None:
    await roll_back_release(
        helm, access, "calico", 3, namespace="kube-system", timeout_s=300, deadline_s=within_s, is_dry_run=is_dry_run
    )


async def test_it_gets_arguments_the_kubeconfig_in_use_and_none_of_our_or_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CNIBOT_SLACK_TOKEN", "HELM_DRIVER", "HELM_KUBEAPISERVER", "HELM_NAMESPACE", "HELM_MAX_HISTORY"):
        monkeypatch.setenv(name, "elsewhere")
    seen = tmp_path / "seen"
    helm = program(tmp_path, f'env > {seen}; echo "$@" >> {seen}')

    await roll_back(helm)
    said = seen.read_text()
    assert "rollback calico 3 --namespace kube-system --timeout 300s --kube-context prod\n" in said
    assert "KUBECONFIG=/a/config:/b/config\n" in said
    assert "HELM_NO_PLUGINS=1\n" in said
    assert "elsewhere" not in said

    await roll_back(helm, is_dry_run=True)
    assert "--dry-run=server" in seen.read_text()


async def test_helm_3_gets_the_dry_run_that_it_knows(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    helm = program(tmp_path, f'echo "$@" > {seen}', version="v3.19.0")

    await roll_back(helm, is_dry_run=True)
    assert "--dry-run --kube-context" in seen.read_text()


async def test_in_a_pod_it_gets_the_address_in_use_and_the_accounts_token_by_its_file(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    inside = ClusterAccess(kubeconfig="", context="in-cluster", server="https://192.168.1.7:6443", tls_name="10.43.0.1")
    await roll_back(program(tmp_path, f'cat "$KUBECONFIG" > {seen}; echo "# $@" >> {seen}'), inside)

    text = seen.read_text()
    config = yaml.safe_load(text)
    assert config["clusters"][0]["cluster"] == {
        "server": "https://192.168.1.7:6443",
        "certificate-authority": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        "tls-server-name": "10.43.0.1",
    }
    assert config["users"][0]["user"] == {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}
    assert "--kube-context" not in text


async def test_its_deadline_ends_it_and_whatever_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    helm = program(tmp_path, f"sleep 600 & echo $! $$ > {pids}; wait")

    with pytest.raises(HelmFailedError, match="did not end within") as failed:
        await roll_back(helm, within_s=1.0)

    assert failed.value.was_ended
    assert all(ends(int(pid)) for pid in pids.read_text().split())


async def test_what_it_complains_of_is_one_line_without_secrets(tmp_path: Path) -> None:
    helm = program(tmp_path, 'printf "Error: no\\nluck password=hunter2\\n" >&2; exit 3')

    with pytest.raises(HelmFailedError) as failed:
        await roll_back(helm)
    assert str(failed.value) == "helm rollback failed: Error: no luck password=[redacted]."
    assert not failed.value.was_ended


async def test_much_output_is_read_and_forgotten(tmp_path: Path) -> None:
    await roll_back(program(tmp_path, "head -c 20000000 /dev/zero"))


async def test_a_program_that_is_not_there_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(HelmMissingError, match="is not installed"):
        await roll_back(str(tmp_path / "nowhere"))
    odd = tmp_path / "odd"
    odd.write_text("#!/nowhere/sh\n")
    odd.chmod(0o755)
    with pytest.raises(HelmMissingError):
        await roll_back(str(odd))
    assert os.access(odd, os.X_OK)
