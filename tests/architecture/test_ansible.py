"""The roles in deploy/ansible, read by the real ansible-core and ansible-lint, and in check mode against the lab."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.render.plans import plan_ansible
from tests.architecture.tree import ROOT
from tests.conftest import LabUnderTest
from tests.render.test_plans import example

ROLES = ROOT / "deploy" / "ansible"
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


def run(home: Path, *command: str, place: Path = ROLES, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of this virtualenv, with everything that it writes below `home`."""
    given = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    given |= {"ANSIBLE_HOME": str(home / "ansible"), "CNIBOT_STATE_DIR": str(home / "state")}
    return subprocess.run(
        command, cwd=place, env=given | environment, capture_output=True, text=True, check=False, timeout=180
    )


def test_the_roles_are_well_formed(tmp_path: Path) -> None:
    done = run(tmp_path, "ansible-playbook", "--syntax-check", "install.yml", "cilium.yml")

    assert done.returncode == 0, done.stderr


def test_the_linter_has_no_complaint(tmp_path: Path) -> None:
    done = run(tmp_path, "ansible-lint", "--offline", "--nocolor", "--profile", "production")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plan_as_a_playbook_is_well_formed(tmp_path: Path) -> None:
    """With a value and a title that Ansible would take for templates of its own."""
    (tmp_path / "plan.yml").write_text(plan_ansible(example("{{ boom }}", "correct {{ boom }}")), encoding="utf-8")

    done = run(tmp_path, "ansible-playbook", "--syntax-check", "plan.yml", place=tmp_path)

    assert done.returncode == 0, done.stderr


def test_check_mode_installs_nothing(tmp_path: Path) -> None:
    """There is no kubectl and no helm on the way, so what would run would fail."""
    done = run(tmp_path, "ansible-playbook", "--check", "install.yml", PATH=f"{BIN}:/usr/bin:/bin")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout


def test_without_a_pod_range_or_a_plan_nothing_begins(tmp_path: Path) -> None:
    done = run(tmp_path, "ansible-playbook", "--check", "cilium.yml")

    assert done.returncode != 0
    assert "Give cilium_pod_range to propose a plan" in done.stdout


@pytest.mark.lab
def test_check_mode_reads_the_cluster_and_ends_at_what_would_break(calico_lab: LabUnderTest, tmp_path: Path) -> None:
    """Cilium with the range that Calico's pods have: the founding mistake."""
    values = tmp_path / "values.yaml"
    values.write_text("ipam: {operator: {clusterPoolIPv4PodCIDRList: [10.42.0.0/16]}}\n", encoding="utf-8")
    given = ("--extra-vars", f"cilium_pod_range=10.42.0.0/16 cilium_values={values}")

    done = run(tmp_path, "ansible-playbook", "--check", "cilium.yml", *given, KUBECONFIG=str(calico_lab.kubeconfig))

    assert done.returncode != 0
    assert "preflight-cilium" in done.stdout
    assert "10.42.0.0/16" in done.stdout
    assert "Propose the plan" not in done.stdout
