"""The unit of the bot outside of its clusters: systemd takes it, and its secrets are nobody else's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

UNIT = ROOT / "deploy" / "systemd" / "cnibot.service"
TEXT = UNIT.read_text(encoding="utf-8")
VALUES = re.findall(r"^(\w+)=(.*)$", TEXT, re.MULTILINE)


def values(name: str) -> list[str]:
    """What is given under a name, in order."""
    return [value for key, value in VALUES if key == name]


def test_the_user_of_the_moment_reads_secrets_as_credentials_alone() -> None:
    """A file of root's that only root may read is none that a dynamic user can open."""
    assert values("DynamicUser") == ["yes"]
    loaded = dict(value.split(":", 1) for value in values("LoadCredential"))
    named = set(re.findall(r"_FILE=%d/([\w-]+)", " ".join(values("Environment"))))

    assert named == {"slack-bot-token", "slack-app-token"}
    assert loaded == {**{name: f"/etc/cnibot/{name}" for name in named}, "kubeconfig": "/etc/cnibot/kubeconfigs/"}
    told = re.findall(r"kubeconfig: (\S+?)}", TEXT)
    assert told == [f"/run/credentials/{UNIT.name}/kubeconfig_prod"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_has_no_complaint(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace("/opt/cnibot/bin/cnibot", sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", str(unit)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])
