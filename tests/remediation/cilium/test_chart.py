"""The vendored chart: what is rendered is what was compared, and nothing of it goes unseen."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.actions.install_cilium import refuse_other_config
from bot.remediation.cilium.chart import Rendered, VendoredChart, chart_version, documents, in_order, render
from bot.remediation.cilium.values import CiliumValues, checked, expected_config, fresh_values
from tests.remediation.cilium.supplies import vendored

VALUES = CiliumValues(pod_range="10.42.0.0/16")


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> VendoredChart:
    return vendored(tmp_path_factory.mktemp("vendored"))


async def rendered(chart: VendoredChart, values: CiliumValues = VALUES, **changes: Any) -> Rendered:
    return await render(chart, fresh_values(values, 3) | changes, kubernetes="v1.36.2")


async def test_the_rendering_is_ordered_and_says_what_was_meant(chart: VendoredChart) -> None:
    done = await rendered(chart)

    kinds = [one["kind"] for one in done.manifests]
    assert kinds[0] == "Namespace"
    assert kinds[-2:] == ["DaemonSet", "Deployment"]
    assert (done.version, done.helm[:3], done.sha256) == ("1.20.0", "v4.", chart.sha256)
    refuse_other_config(done.manifests, expected_config(VALUES))


async def test_it_renders_the_same_each_time(chart: VendoredChart) -> None:
    assert await rendered(chart) == await rendered(chart)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"routingMode": "native"}, "routing-mode is 'native', not 'tunnel'"),
        ({"tunnelport": 8473, "tunnelPort": 0}, "tunnel-port is not set, not '8472'"),  # mistyped: taken silently
        ({"kubeProxyReplacement": True}, "kube-proxy-replacement is 'true', not 'false'"),
        ({"cni": {"customConf": True}}, "write-cni-conf-when-ready is not set"),
        ({"operator": {"replicas": 2}}, "set-cilium-node-taints is 'true', not not set"),
    ],
)
async def test_another_configuration_than_was_meant_is_refused(
    chart: VendoredChart, changes: dict[str, Any], said: str
) -> None:
    done = await rendered(chart, **changes)

    with pytest.raises(NotPlannedError, match="another configuration") as refused:
        refuse_other_config(done.manifests, expected_config(VALUES))
    assert said in str(refused.value)


async def test_a_rendering_with_a_secret_is_refused(chart: VendoredChart) -> None:
    with pytest.raises(NotPlannedError, match="Secret cilium-ca: plans make no such objects"):
        await rendered(chart, hubble={"enabled": True})


async def test_values_that_the_chart_refuses_are_told_in_its_words(chart: VendoredChart) -> None:
    with pytest.raises(NotPlannedError, match=r"helm template failed: .*integer"):
        await rendered(chart, tunnelPort="8473")


async def test_an_archive_that_was_exchanged_is_not_rendered(chart: VendoredChart, tmp_path: Path) -> None:
    other = tmp_path / "cilium.tgz"
    other.write_bytes(chart.archive.read_bytes() + b"\0")

    with pytest.raises(NotPlannedError, match="not the chart that the settings name"):
        await rendered(replace(chart, archive=other))


def archive(path: str, text: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(path)
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.mark.parametrize("version", ["1.17.9", "1.21.0", "1.20.0-rc.1", "1.20", ""])
def test_versions_that_were_not_looked_at_are_refused(version: str) -> None:
    with pytest.raises(NotPlannedError, match=r"1\.18 to 1\.20"):
        chart_version(archive("cilium/Chart.yaml", f"name: cilium\nversion: {version!r}\n"))


@pytest.mark.parametrize("version", ["1.18.0", "1.19.7", "1.20.12"])
def test_versions_that_are_known_pass(version: str) -> None:
    assert chart_version(archive("cilium/Chart.yaml", f"name: cilium\nversion: {version}\n")) == version


@pytest.mark.parametrize("content", [b"", b"no archive", archive("other/Chart.yaml", "name: cilium\n")])
def test_what_is_no_chart_of_cilium_is_refused(content: bytes) -> None:
    with pytest.raises(NotPlannedError, match="no chart of Cilium"):
        chart_version(content)


async def test_a_program_that_is_missing_or_too_old_is_named(chart: VendoredChart, tmp_path: Path) -> None:
    old = tmp_path / "helm"
    old.write_text("#!/bin/sh\necho v2.17.0\n")
    old.chmod(0o755)

    with pytest.raises(NotPlannedError, match="Install Helm 3 or 4"):
        await rendered(replace(chart, helm=str(old)))
    with pytest.raises(NotPlannedError, match="is not installed"):
        await rendered(replace(chart, helm=str(tmp_path / "nowhere")))


async def test_helm_gets_no_shell_and_nothing_of_the_cluster(chart: VendoredChart, tmp_path: Path) -> None:
    spy, seen = tmp_path / "helm", tmp_path / "seen"
    spy.write_text(f'#!/bin/sh\nenv > {seen}\necho "$@" >> {seen}\nexec {chart.helm} "$@"\n')
    spy.chmod(0o755)

    await rendered(replace(chart, helm=str(spy)))

    said = seen.read_text()
    assert "KUBECONFIG=/dev/null" in said
    assert "HELM_NO_PLUGINS=1" in said
    assert "CNIBOT_" not in said
    assert "--set" not in said
    assert hashlib.sha256(chart.archive.read_bytes()).hexdigest() == chart.sha256


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n",
        "apiVersion: apps/v1beta1\nkind: DaemonSet\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {helm.sh/hook: pre-install}}\n",
        "- a list\n",
        "kind: ConfigMap\n",
        "a: [",
    ],
)
def test_what_a_plan_does_not_make_stops_it(text: str) -> None:
    with pytest.raises(NotPlannedError):
        in_order(documents(text.encode()))


@pytest.mark.parametrize(
    "values",
    [
        {"pod_range": "10.42.0.1/16"},
        {"pod_range": "everything"},
        {"pod_range": "8.8.0.0/16"},
        {"pod_range": "10.42.0.0/28"},
        {"pod_range": "10.42.0.0/16", "tunnel_port": 0},
        {"pod_range": "10.42.0.0/16", "api_server": "https://a:6443"},
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(NotPlannedError):
        checked(CiliumValues(**values))
