"""Mistakes of people and of clusters: a sentence and an exit code, never a traceback."""

import json
from pathlib import Path

import pytest

from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot


def test_a_misspelt_namespace_names_the_nearest(calico_lab: LabUnderTest) -> None:
    run = cnibot(calico_lab, "diagnose", "seldon-mush")

    assert run.returncode == 2
    assert "There is no namespace 'seldon-mush'. Did you mean seldon-mesh?" in run.stderr
    assert run.stdout == ""


def test_a_misspelt_pod_names_the_nearest(calico_lab: LabUnderTest) -> None:
    run = cnibot(calico_lab, "diagnose", "seldon-mesh", "--pod", "seldon-schedulr")

    assert run.returncode == 2
    assert "There is no pod 'seldon-schedulr' in namespace 'seldon-mesh'. Did you mean seldon-scheduler" in run.stderr


def test_a_misspelt_playbook_names_the_nearest(calico_lab: LabUnderTest) -> None:
    run = cnibot(calico_lab, "diagnose", "seldon-mesh", "--playbook", "dnss")

    assert run.returncode == 2
    assert "did you mean dns?" in run.stderr


def test_a_namespace_without_pods_is_said_to_have_none(calico_lab: LabUnderTest) -> None:
    run = cnibot(calico_lab, "diagnose", "default", "--output", "json")

    report = json.loads(run.stdout)
    assert run.returncode == 3
    assert report["verdict"]["status"] == "inconclusive"
    assert "Namespace default has no pods" in report["verdict"]["summary"]


def test_the_api_rung_does_not_call_an_unseen_network_healthy(calico_lab: LabUnderTest) -> None:
    run = cnibot(calico_lab, "diagnose", "seldon-mesh", "--access", "api", "--output", "json")

    report = json.loads(run.stdout)
    assert run.returncode == 3
    assert report["verdict"]["status"] == "inconclusive"
    assert report["exec_calls"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["diagnose", "x", "--kubeconfig", "/nowhere/config"], "/nowhere/config cannot be used"),
        (["replay", "/nowhere/file.json"], "/nowhere/file.json cannot be used: reading failed: No such file"),
        (["causes", "show", "calico-proxi-arp-off"], "Did you mean calico-proxy-arp-off?"),
    ],
)
def test_mistakes_in_a_command_are_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, calico_lab: LabUnderTest
) -> None:
    run = cnibot(calico_lab, *arguments)

    assert run.returncode == 2
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def test_an_unreachable_api_server_is_named_with_exit_code_3(calico_lab: LabUnderTest, tmp_path: Path) -> None:
    text = calico_lab.kubeconfig.read_text()
    port = text.split("https://127.0.0.1:")[1].split('"')[0]
    config = tmp_path / "config"
    config.write_text(text.replace(f"127.0.0.1:{port}", "127.0.0.1:1"))

    run = cnibot(calico_lab, "diagnose", "seldon-mesh", "--kubeconfig", str(config))

    assert run.returncode == 3
    assert "refuses connections" in run.stderr
    assert "Traceback" not in run.stderr


def test_expired_credentials_are_named_with_exit_code_3(calico_lab: LabUnderTest, tmp_path: Path) -> None:
    config = tmp_path / "config"
    known = json.loads(calico_lab.kubeconfig.read_text())
    known["users"][0]["user"]["token"] = "expired"
    config.write_text(json.dumps(known))

    run = cnibot(calico_lab, "diagnose", "seldon-mesh", "--kubeconfig", str(config))

    assert run.returncode == 3
    assert "does not accept the credentials" in run.stderr


def test_an_agent_image_that_does_not_exist_is_told_and_the_rest_is_still_judged(calico_lab: LabUnderTest) -> None:
    run = cnibot(
        calico_lab, "diagnose", "seldon-mesh", "--output", "json", env={"CNIBOT_AGENT_IMAGE": "example.org/none:1"}
    )

    report = json.loads(run.stdout)
    assert run.returncode == 3
    assert report["verdict"]["status"] == "inconclusive"
    [lost] = [each["why"] for each in report["coverage"]["unobserved"] if each["what"] == "rung agent"]
    assert "and 2 more, seen by rung cni-agent instead" in lost
    assert "ErrImagePull" in lost or "ImagePullBackOff" in lost
