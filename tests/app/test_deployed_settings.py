"""What deploy/ tells the bot is what the bot understands."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from bot.cluster.access.node_agents import CLEANUP_S
from bot.settings import Settings, load_settings
from tests.architecture.manifests import pod_specs, the

SPEC = pod_specs()["Deployment/cnibot"]
(CONTAINER,) = SPEC["containers"]
MOUNTS = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings in the pod, with its files in a directory of ours."""
    (tmp_path / "config.yaml").write_text(the("ConfigMap", "cnibot")["data"]["config.yaml"], encoding="utf-8")
    for variable in CONTAINER["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    monkeypatch.setenv("CNIBOT_CONFIG", str(tmp_path / "config.yaml"))
    return load_settings()


def test_every_variable_and_the_file_are_understood(deployed: Settings) -> None:
    settings = {name.removeprefix("CNIBOT_").lower() for name in (each["name"] for each in CONTAINER["env"])}

    assert settings - {"home", "config"} <= set(Settings.model_fields)
    assert list(deployed.clusters) == ["default"]
    assert deployed.slack_mode == "socket"
    assert deployed.grants == ()


def test_the_example_of_a_grant_is_one(deployed: Settings) -> None:
    text = cast("str", the("ConfigMap", "cnibot")["data"]["config.yaml"])
    commented = "\n".join(line[2:] for line in text.splitlines() if line.startswith(("# - ", "#   ")))
    grants = cast("list[Any]", yaml.safe_load(commented))

    assert len(Settings.model_validate({**dict(deployed), "grants": grants}).grants) == 2


def test_files_are_where_the_volumes_are(deployed: Settings) -> None:
    assert deployed.slack_bot_token_file is not None
    assert deployed.slack_app_token_file is not None
    assert str(deployed.slack_bot_token_file.parent) == str(deployed.slack_app_token_file.parent) == MOUNTS["slack"]
    assert str(deployed.state_dir) == MOUNTS["state"]


def test_probes_ask_where_the_bot_answers(deployed: Settings) -> None:
    probes = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    asked = {(probe["host"], probe["port"]) for probe in probes.values()}
    assert asked == {(deployed.health_host, deployed.health_port)}
    assert probes["livenessProbe"]["path"] == "/healthz"
    assert probes["readinessProbe"]["path"] == "/readyz"


def test_the_kubelet_waits_for_what_the_bot_finishes(deployed: Settings) -> None:
    assert CONTAINER["args"] == ["serve"]
    assert SPEC["terminationGracePeriodSeconds"] >= deployed.drain_s + CLEANUP_S + 5
