"""deploy/monitoring: promtool accepts and plays the rules, their metrics exist, and what they say leaks no exporter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import REGISTRY

import bot.slack.gauges
import bot.slack.handlers.firing
import bot.slack.metrics
import bot.web.alertmanager
from bot.incidents import metrics
from tests.architecture.manifests import the
from tests.architecture.tree import ROOT

PROMTOOL = shutil.which("promtool")
MODULES = [bot.slack.gauges, bot.slack.handlers.firing, bot.slack.metrics, bot.web.alertmanager, metrics]
"""Where the metrics are defined."""
RUNBOOKS = "https://github.com/cnibot/cnibot/blob/main/docs/runbooks"
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None and not os.environ.get("CNIBOT_CI"), reason="no promtool here: .ci/setup monitoring"
)


def promtool(*arguments: str, directory: Path | None = None) -> "subprocess.CompletedProcess[str]":
    assert PROMTOOL, "CI installs it: .ci/setup monitoring"
    return subprocess.run([PROMTOOL, *arguments], check=False, cwd=directory, capture_output=True, text=True)


def spec(*, for_promtool: bool = False) -> dict[str, Any]:
    """The rules. Debian 12's promtool (2.42) has not heard of `keep_firing_for` (2.43)."""
    found = cast("dict[str, Any]", the("PrometheusRule", "cnibot")["spec"])
    if for_promtool and "2.42" in promtool("--version").stdout:
        for rule in rules(found):
            rule.pop("keep_firing_for", None)
    return found


def rules(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in of["groups"] for rule in group["rules"]]


@needs_promtool
def test_promtool_plays_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec(for_promtool=True)), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("rules_test.yaml"), tmp_path / "test.yaml")
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = promtool(*command, directory=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_one_of_ours() -> None:
    assert all(module.__name__ in sys.modules for module in MODULES)
    known = {f"{metric.name}{'_total' if metric.type == 'counter' else ''}" for metric in REGISTRY.collect()}
    named = {name for rule in rules(spec()) for name in re.findall(r"\bcnibot_[a-z_]+", rule["expr"])}

    assert named
    assert named <= known


@pytest.mark.parametrize("rule", rules(spec()), ids=lambda rule: rule["alert"])
def test_labels_are_set_by_aggregation_and_nobody_waits_long(rule: dict[str, Any]) -> None:
    outer = rule["expr"].lstrip()

    assert re.match(r"(?:sum|max) by \((?:cluster|cause|node|job|outcome|peer|, )+\)|absent\(", outer), outer
    assert rule.get("for", "0m") in {"0m", "1m", "2m"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert {"summary", "description"} <= rule["annotations"].keys()


@pytest.mark.parametrize("rule", rules(spec()), ids=lambda rule: rule["alert"])
def test_each_alert_has_a_runbook_which_exists(rule: dict[str, Any]) -> None:
    page = ROOT / "docs/runbooks" / f"{rule['alert']}.md"
    text = page.read_text(encoding="utf-8")

    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"
    assert [line for line in text.splitlines() if line.startswith("#")] == [f"# {rule['alert']}", "## Look", "## Do"]
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_no_runbook_is_left_over() -> None:
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in rules(spec())}
