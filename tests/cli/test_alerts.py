"""`cnibot alerts route` and `check`, as a person runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app

PAYLOAD = {
    "version": "4",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "KubeNodeNotReady", "severity": "warning", "node": "hive-04"}},
        {"status": "resolved", "labels": {"alertname": "Watchdog\x1b[2J", "severity": "none"}},
    ],
}


def run(*arguments: str, given: str | None = None) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["alerts", *arguments], input=given)
    return answer.exit_code, answer.output


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(PAYLOAD), encoding="utf-8")
    return path


def test_each_alert_is_explained(payload: Path) -> None:
    code, said = run("route", "--file", str(payload))

    assert code == 0
    assert said.splitlines() == [
        "KubeNodeNotReady firing (warning) -> node hive-04  [rule 3]",
        "  It names a node.",
        "Watchdog?[2J resolved (none) -> nothing  [rule 1]",
        "  Ignored: it always fires, or needs no action.",
    ]


def test_json_from_standard_input() -> None:
    code, said = run("route", "--file", "-", "--output", "json", given=json.dumps(PAYLOAD))

    assert code == 0
    assert [one["scope"] for one in json.loads(said)] == [{"kind": "node", "name": "hive-04"}, None]


def test_your_routes_go_first(payload: Path, tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes:\n  - matchers: ['node=~\"hive-.+\"']\n    ignore: a lab\n", encoding="utf-8")

    code, said = run("route", "--file", str(payload), "--routes", str(routes))

    assert code == 0
    assert f"KubeNodeNotReady firing (warning) -> nothing  [{routes}:2]" in said


def test_mistakes_in_routes_end_with_2(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes:\n  - matchers: ['node']\n    ignore: a lab\n", encoding="utf-8")

    code, said = run("check", "--routes", str(routes))

    assert code == 2
    assert f"{routes}:2: routes.0.matchers.0: 'node' is no matcher" in said


@pytest.mark.parametrize("text", ["{}", "no json", ""])
def test_what_is_no_payload_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")

    code, said = run("route", "--file", str(path))

    assert code == 2
    assert "it is no webhook payload of Alertmanager's" in said
