"""What the documentation tells people to type and to configure: each command exists as it is written, and runs where it
needs no cluster; Alertmanager takes its snippet; each setting is one.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bot.cli import app
from bot.settings import Settings
from tests.architecture.tree import ROOT
from tests.stories.alertmanager import AMTOOL, needs_alertmanager

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "extend").glob("*.md"), ROOT / "README.md"])
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"""(?:^ *(?:\$ +)?|\$\()cnibot (?P<words>(?:'[^'\n]*'|[^|;>)\n'])*)""", re.MULTILINE)
OFFLINE = (
    "alerts route", "causes list", "causes show", "known-issues check", "playbooks check", "playbooks list",
    "probes list", "probes show", "version",
)  # fmt: skip
"""What needs neither a cluster, nor Slack, nor a state."""
OTHERS = {"CNIBOT_CONFIG", "CNIBOT_CI"}
"""Read beside the settings."""
PAYLOAD = {"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "A", "node": "node-1"}}]}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each block of code."""
    yield from FENCED.findall(page.read_text(encoding="utf-8"))


def commands() -> list[str]:
    """The words after `cnibot`, of every command in a block."""
    found = [
        match["words"].split(" #")[0].strip()
        for page in PAGES
        for language, text in blocks(page)
        if language in {"", "sh", "console", "bash"}
        for match in COMMAND.finditer(text)
    ]
    return sorted({*found})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the commands name."""
    (tmp_path / "DIR").mkdir()
    (tmp_path / "payload.json").write_text(json.dumps(PAYLOAD), encoding="utf-8")
    for name in ("values.yaml", "report.json", "shop.json.gz"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", commands())
def test_each_command_is_one(words: str) -> None:
    """A command and options that there are: the parser looks at them all before it helps."""
    args = shlex.split(words)
    typed = args[: args.index("--")] if "--" in args else args
    said = CliRunner().invoke(app, [*(word for word in typed if word != "--help"), "--help"])

    assert said.exit_code == 0, said.output


@pytest.mark.parametrize("words", ["diagnose shop --no-such-option", "no-such-command", "plan no-such-command"])
def test_what_is_none_is_noticed(words: str) -> None:
    assert CliRunner().invoke(app, [*words.split(), "--help"]).exit_code == 2


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", [one for one in commands() if one.startswith(OFFLINE)])
def test_each_command_that_needs_no_cluster_runs(words: str) -> None:
    said = CliRunner().invoke(app, shlex.split(words))

    assert said.exit_code == 0, said.output


def test_there_are_commands() -> None:
    assert len(commands()) > 20


@needs_alertmanager
def test_alertmanager_takes_the_snippet(tmp_path: Path) -> None:
    assert AMTOOL
    (text,) = (text for _, text in blocks(ROOT / "docs" / "alerts.md") if "receivers:" in text)
    whole = yaml.safe_load(text)
    whole["route"]["receiver"] = "cnibot"  # the snippet adds a branch to a tree that has a root
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    checked = subprocess.run([AMTOOL, "check-config", str(path)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_setting_is_one(page: Path) -> None:
    known = {f"CNIBOT_{name.upper()}" for name in Settings.model_fields} | OTHERS
    named = set(re.findall(r"\bCNIBOT_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))

    assert named - known == set()


def test_the_example_of_other_senders_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ *CNIBOT_ALERT_EXTRACTORS=(.*)$", text, re.MULTILINE)
    extractors = json.loads(line)
    given = Settings.model_validate({"alert_channels": list(extractors), "alert_extractors": extractors})

    assert given.alert_extractors
