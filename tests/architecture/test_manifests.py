"""deploy/ is what an API server accepts, and what the bot promises: it works while the network is broken."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] # it has annotations, and no py.typed
import pytest
import yaml

from bot.cluster.access.agent_pod import LABELS, NAME, agent_namespace, agent_pod_spec, on_demand_pod
from tests.architecture.manifests import KUSTOMIZATIONS, MANIFESTS, Manifest, documents, manifests, pod_specs, the
from tests.architecture.tree import ROOT

VERSIONS = ("1.28", "1.31", "1.37")
"""Kubernetes releases whose schemas the manifests must satisfy: old clusters break too."""

VERSION = cast("str", tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def schema_complaint(item: Manifest, version: str) -> str | None:
    """Why an API server of that version would refuse the object, unknown fields included.

    Of the Prometheus Operator's kinds Kubernetes has no schema; promtool plays their rules (tests/monitoring).
    """
    if item["apiVersion"].startswith("monitoring.coreos.com/"):
        return None
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{item['kind']}/{item['metadata']['name']}: {error.message}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_satisfy_the_schemas(version: str) -> None:
    assert [complaint for _, item in manifests() if (complaint := schema_complaint(item, version))] == []


def test_schemas_notice_a_misspelt_field() -> None:
    bot = the("Deployment", "cnibot")
    bot["spec"]["template"]["spec"]["hostNetwrok"] = True

    assert "hostNetwrok" in str(schema_complaint(bot, VERSIONS[-1]))


@pytest.mark.parametrize("directory", KUSTOMIZATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_kustomizations_name_files_that_exist_and_leave_none_out(directory: Path) -> None:
    (kustomization,) = documents(directory / "kustomization.yaml")
    named = set(kustomization.get("resources", [])) | {patch["path"] for patch in kustomization.get("patches", [])}
    here = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}

    assert {name for name in named if not (directory / name).exists()} == set()
    assert here <= named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("directory", KUSTOMIZATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_kubectl_builds_the_kustomization(directory: Path) -> None:
    command = ["kubectl", "kustomize", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    built = [cast("Manifest", item) for item in yaml.safe_load_all(done.stdout)]

    assert built
    assert [complaint for item in built if (complaint := schema_complaint(item, VERSIONS[-1]))] == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("name", [".", "cli", "node-agents"])
def test_an_overlay_pins_our_image_by_its_digest_as_the_readme_says(name: str, tmp_path: Path) -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    (images,) = re.findall(r"kustomization `(images: .*?)`", readme, re.DOTALL)
    shutil.copytree(MANIFESTS / name, tmp_path / "base")
    overlay = images.replace("sha256:…", digest) + "\nresources: [base]\n"
    (tmp_path / "kustomization.yaml").write_text(overlay, encoding="utf-8")

    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    assert set(re.findall(r"^ +-? ?image: (.*)$", done.stdout, re.MULTILINE)) == {f"ghcr.io/cnibot/cnibot@{digest}"}


@pytest.mark.parametrize(("workload", "spec"), pod_specs().items(), ids=pod_specs())
def test_pods_need_nothing_of_the_network_under_suspicion(workload: str, spec: dict[str, Any]) -> None:
    assert spec["hostNetwork"] is True, workload
    assert spec["dnsPolicy"] == "Default"
    assert {"operator": "Exists"} in spec["tolerations"]
    assert spec["priorityClassName"].startswith("system-")
    assert all(container["imagePullPolicy"] == "IfNotPresent" for container in spec["containers"])
    assert all(container["resources"]["limits"]["memory"] for container in spec["containers"])


@pytest.mark.parametrize(("workload", "spec"), pod_specs().items(), ids=pod_specs())
def test_images_are_of_this_version(workload: str, spec: dict[str, Any]) -> None:
    images = {container["image"] for container in spec["containers"]}

    assert images == {f"ghcr.io/cnibot/cnibot:{VERSION}"}, workload


def test_bot_is_restricted_in_all_but_the_host_network() -> None:
    spec = pod_specs()["Deployment/cnibot"]
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not spec.get("hostPID")
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


def test_node_agents_have_no_rights_on_the_api() -> None:
    bound = {
        subject["name"]
        for _, item in manifests()
        if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        for subject in item["subjects"]
    }

    agents = pod_specs()["DaemonSet/cnibot-node-agent"]

    assert agents["serviceAccountName"] == "default"
    assert agents["automountServiceAccountToken"] is False
    assert bound == {"cnibot"}


def test_standing_node_agents_are_the_pods_that_are_made_on_demand() -> None:
    """One description, in the code: what runs in the night is what was tried in the day."""
    template = the("DaemonSet", NAME)["spec"]["template"]

    assert template["spec"] == agent_pod_spec()
    assert template["metadata"]["labels"] == LABELS


def test_the_daemon_set_does_not_take_pods_made_on_demand_for_its_own() -> None:
    """Its controller would adopt what its selector matches, and delete it as surplus."""
    selector = the("DaemonSet", NAME)["spec"]["selector"]["matchLabels"]
    made = on_demand_pod("a", "node-1", namespace="cnibot", image="i", run="1", owner="me", ttl_s=60)

    assert not selector.items() <= made["metadata"]["labels"].items()
    assert selector.items() <= the("DaemonSet", NAME)["spec"]["template"]["metadata"]["labels"].items()


def test_namespace_is_the_one_that_cnibot_would_make() -> None:
    assert the("Namespace", "cnibot") == agent_namespace()


def test_everything_is_in_our_namespace() -> None:
    cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
    elsewhere = [
        (file, item["metadata"]["name"])
        for file, item in manifests()
        if item["kind"] not in cluster_wide and item["metadata"].get("namespace") != "cnibot"
    ]

    assert elsewhere == []
    assert MANIFESTS.is_dir()
