"""Each sink shows no secrets, and less where the operator says so: in one more is struck out, in none less."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from rich.console import Console
from typer.testing import CliRunner

from bot import logs
from bot.cli import app, common
from bot.cli.common import say, say_aside
from bot.diagnosis.judge import judge_recording
from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.recording import record, save
from bot.domain.errors import ConfigurationError
from bot.domain.plan_journal import AuditEntry
from bot.domain.redact import SINKS, Sink, redact_more
from bot.domain.report import Report, Unobserved
from bot.incidents.chronicle import Chronicle
from bot.incidents.worker import open_worker
from bot.render.incident_page import page
from bot.render.incidents import encoded as incident_json
from bot.render.incidents import post_mortem
from bot.render.json import encoded, encoded_yaml
from bot.render.markdown import markdown
from bot.render.pictures.artist import Artist
from bot.render.terminal import show
from bot.settings import Settings, load_settings
from bot.slack import views
from bot.slack.views.text import escape, fence
from bot.store.audit import Head, sealed
from tests.architecture.tree import ROOT, python_files
from tests.contracts.scripted_server import kubeconfig
from tests.probes.build import FakeCluster
from tests.render.chronicles import a_chronicle

PASSWORD = "hunter2hunter2"
ADDRESS = "192.0.2.77"
PATTERN = r"192\.0\.2\.\d+"
WHY = f"the proxy {ADDRESS} said password={PASSWORD}"


@pytest.fixture(autouse=True)
def as_ever() -> Iterator[None]:
    """What one test has struck out is shown again in the next."""
    yield
    redact_more({})


@pytest.fixture(scope="module")
def evidence() -> Any:
    cluster = FakeCluster("calico")
    cluster.node("node-1")
    cluster.seen(cluster.pod("shop/a", "node-1"))
    found = cluster.evidence()
    more = Unobserved(what="node node-2", why=WHY, kind="node", subject="node node-2")
    return record(
        dataclasses.replace(found, unobserved=(*found.unobserved, more)),
        started_at="2026-01-02T03:04:05Z",
        took_s=1.0,
        playbook="namespace",
    )


@pytest.fixture(scope="module")
def report(evidence: Any) -> Report:
    return judge_recording(evidence, load_knowledge())


def on_terminal(report: Report) -> str:
    file = io.StringIO()
    show(Console(file=file, width=200), report, details=True)
    return file.getvalue()


def told(report: Report) -> Chronicle:
    """An incident whose report this is, with a note of what was said."""
    return a_chronicle(report, text=WHY)


Shown = Mapping[Sink, Callable[[], str]]


@pytest.fixture
def shown(report: Report, evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shown:
    """What each sink makes of it, all its forms together."""

    def recorded() -> str:
        save(evidence, tmp_path / "evidence.json")
        return (tmp_path / "evidence.json").read_text(encoding="utf-8")

    def logged() -> str:
        logs.configure()
        try:
            structlog.get_logger().warning("library.said", message=WHY, error=OSError(WHY))
        finally:
            structlog.reset_defaults()
        return capsys.readouterr().err

    def said() -> str:
        say(WHY)
        say_aside(WHY)
        both = capsys.readouterr()
        return both.out + both.err + on_terminal(report)

    return {
        "slack": lambda: views.evidence_file(report)[1].decode() + escape(WHY),
        "terminal": said,
        "json": lambda: encoded(report) + encoded_yaml(report) + incident_json(told(report)),
        "markdown": lambda: markdown(report) + post_mortem(told(report)),
        "recording": recorded,
        "log": logged,
        "page": lambda: page(told(report)),
    }


@pytest.mark.parametrize("sink", SINKS)
def test_in_one_sink_more_is_struck_out_and_in_the_others_as_much_as_ever(sink: Sink, shown: Shown) -> None:
    redact_more({sink: [PATTERN]})

    for name, form in shown.items():
        text = form()
        assert (ADDRESS in text) is (name != sink), name
        assert PASSWORD not in text
        assert "[redacted]" in text


def test_no_setting_shows_a_secret(shown: Shown) -> None:
    redact_more({sink: [] for sink in SINKS})

    assert [name for name, form in shown.items() if PASSWORD in form()] == []


async def test_pictures_are_slacks(tmp_path: Path, report: Report) -> None:
    """What the child process draws has passed the same place."""
    heard = tmp_path / "heard"
    redact_more({"slack": ["node-1"]})
    ways = msgspec.convert({**msgspec.to_builtins(report), "connectivity": WAYS}, Report)

    await Artist(tmp_path, program=("sh", "-c", f"cat >{heard}")).draw(ways)

    assert "node-2" in heard.read_text(encoding="utf-8")
    assert "node-1" not in heard.read_text(encoding="utf-8")


WAYS = [
    {"source": source, "target": target, "state": "failed", "tested": 2, "failed": 2}
    for source, target in (("node-1", "node-2"), ("node-2", "node-1"))
]


def test_a_command_of_which_something_is_struck_out_is_not_shown_half() -> None:
    command = f"kubectl --server https://{ADDRESS} get pods"
    redact_more({"slack": [PATTERN]})

    assert ADDRESS not in fence([command])


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


async def test_the_process_that_diagnoses_logs_no_more_than_the_bot() -> None:
    redact_more({"log": [PATTERN]})
    async with open_worker(program=("sh", "-c", "cat >/dev/null", "sh")) as worker:
        begun = await worker._begin()  # pyright: ignore[reportPrivateUsage]
        arguments = command_of(begun.process.pid)

    assert json.dumps([PATTERN]) in arguments


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"slack": ["("]}, "no regular expression"),
        ({"page": ["x*"]}, "matches where nothing is"),
        ({"paper": ["x"]}, "Input should be 'slack'"),
    ],
)
def test_a_setting_that_strikes_nothing_or_everything_is_refused(
    given: dict[str, list[str]], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNIBOT_REDACT", json.dumps(given))

    with pytest.raises(ConfigurationError, match=why):
        load_settings()


def test_the_settings_are_those_of_all_sinks(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> None:
    monkeypatch.setattr(common, "load_settings", lambda: Settings(redact=dict.fromkeys(SINKS, (PATTERN,))))
    common.begin()

    assert [name for name, form in shown.items() if ADDRESS in form()] == []


# Sinks of newer code.


def test_the_audit_seals_no_secret() -> None:
    """What is sealed can never be struck out again: its hash would no longer be that of the entry."""
    entry = AuditEntry(number=0, at=0.0, event="approved", plan="p-1", who="alice", detail=WHY, previous="")

    assert PASSWORD not in sealed(entry, Head()).detail


def test_the_doctor_repeats_no_secret_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\necho 'password={PASSWORD}' >&2\nexit 1\n")
    script.chmod(0o755)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}
    clusters = {"prod": {"kubeconfig": str(kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin))}}
    monkeypatch.setenv("CNIBOT_CLUSTERS", json.dumps(clusters))
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path))

    for form in ("text", "json"):
        done = CliRunner().invoke(app, ["doctor", "--output", form])
        assert done.exit_code == 1
        assert PASSWORD not in done.output
        assert "password=[redacted]" in done.output


def test_where_an_alert_leads_is_said_without_the_secrets_of_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    labels = {"alertname": f"password={PASSWORD}", "namespace": "shop"}
    path.write_text(json.dumps({"version": "4", "alerts": [{"status": "firing", "labels": labels}]}))

    for form in ("text", "json"):
        done = CliRunner().invoke(app, ["alerts", "route", "--file", str(path), "--output", form])
        assert done.exit_code == 0, done.output
        assert PASSWORD not in done.output


def test_a_mistake_in_a_charts_values_names_the_line_and_not_what_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(f"clustermesh: {PASSWORD}: x")
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path))

    done = CliRunner().invoke(app, ["plan", "preflight-cilium", str(path)])

    assert done.exit_code == 2
    assert PASSWORD not in done.output
    assert "line 1, column" in done.output


OF_THE_LAB = {"gym", "gym_generated", "demo", "story", "rollback_story", "lab", "workspace"}
PRINTS = {"print", "typer.echo", "sys.stdout.write", "sys.stderr.write", "click.echo"}


def test_commands_print_in_one_place() -> None:
    """`say` strikes secrets out; what is exact says so by its name."""
    own = {"say", "say_exactly", "say_aside", "unforeseen_explained"}
    found: list[str] = []
    for path in python_files("bot/cli"):
        if path.stem in OF_THE_LAB:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name == "common.py":
            tree.body = [each for each in tree.body if getattr(each, "name", "") not in own]
        calls = (ast.unparse(each.func) for each in ast.walk(tree) if isinstance(each, ast.Call))
        found += [f"{path.relative_to(ROOT)}: {call}" for call in calls if call in PRINTS]

    assert found == ["bot/cli/__init__.py: typer.echo"] * 3  # the version, and help
