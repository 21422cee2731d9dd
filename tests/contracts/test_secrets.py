"""Secrets stay where they are: whatever a cluster's objects, a plugin or a file put before us, no sink shows them."""

import dataclasses
import io
import json
import os
import stat
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from typer.testing import CliRunner

from bot import logs
from bot.aio.children import child_environment
from bot.cli import app
from bot.cluster.client.api import Api
from bot.diagnosis import diagnose
from bot.diagnosis.judge import judge_recording
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import Recording, load, record, save
from bot.domain.errors import ConfigurationError, UnreachableError
from bot.domain.report import Unobserved
from bot.incidents.worker import open_worker
from bot.render.json import encoded
from bot.render.markdown import markdown
from bot.render.terminal import show
from bot.settings import load_settings
from bot.slack import views
from tests.contracts.scripted_server import kubeconfig
from tests.probes.build import FakeCluster

TOKEN = "xoxb-" + "123456789012-abcdefghijkl"
PASSWORD = "hunter2hunter2"
SECRETS = (TOKEN, PASSWORD)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def leaky() -> Recording:
    """Evidence in which a cluster says secrets where nobody expects them."""
    cluster = FakeCluster("calico")
    cluster.node("node-1")
    cluster.seen(cluster.pod("shop/a", "node-1"))
    evidence = cluster.evidence()
    why = f"the proxy https://admin:{PASSWORD}@proxy:3128 refused the header Authorization: Bearer {TOKEN}"
    said = (*evidence.unobserved, Unobserved(what="node node-2", why=why, kind="node", subject="node node-2"))
    return record(
        dataclasses.replace(evidence, unobserved=said),
        started_at="2026-01-02T03:04:05Z",
        took_s=1.0,
        playbook="namespace",
    )


def test_no_form_of_a_report_shows_them(knowledge: Knowledge):
    report = judge_recording(leaky(), knowledge)
    terminal = io.StringIO()
    show(Console(file=terminal, width=200), report, details=True)
    name, evidence_file = views.evidence_file(report)

    for shown in (encoded(report), markdown(report), terminal.getvalue(), str(evidence_file), name):
        assert not any(secret in shown for secret in SECRETS)
    assert "[redacted]" in encoded(report)


def test_a_recording_is_written_without_them_and_for_its_owner_alone(knowledge: Knowledge, tmp_path: Path):
    path = tmp_path / "evidence.json"

    save(leaky(), path)

    assert not any(secret in path.read_text() for secret in SECRETS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert judge_recording(load(path), knowledge) == judge_recording(leaky(), knowledge)


def test_log_lines_are_without_them(capsys: pytest.CaptureFixture[str]):
    logs.configure("debug")
    log = structlog.get_logger()
    try:
        log.error("library.said", message=f"token={TOKEN}", error=OSError(f"redis://:{PASSWORD}@store"), n=3)
        try:
            int(f"Authorization: Bearer {TOKEN}")
        except ValueError:
            log.exception("handler.failed", body={"password": PASSWORD})
    finally:
        structlog.reset_defaults()

    said = capsys.readouterr().err
    assert "library.said" in said
    assert "ValueError" in said
    assert not any(secret in said for secret in SECRETS)


def test_errors_on_the_terminal_are_without_them(monkeypatch: pytest.MonkeyPatch):
    async def fails(*_: object, **__: object) -> None:
        raise UnreachableError("https://api", "credentials", f"login said password={PASSWORD}")

    monkeypatch.setattr(diagnose, "diagnose_cluster", fails)

    done = CliRunner().invoke(app, ["diagnose", "shop", "--kubeconfig", "unread"])

    assert done.exit_code == 3
    assert "login said password=[redacted]" in done.stderr


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own secrets, where settings take them from."""
    monkeypatch.setenv("CNIBOT_SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("CNIBOT_REDIS_URL", f"redis://:{PASSWORD}@store")
    monkeypatch.setenv("LANG_OF_THE_MACHINE", "C")


@pytest.mark.usefixtures("ours")
async def test_a_credential_plugin_does_not_inherit_ours(tmp_path: Path):
    script = tmp_path / "login"
    script.write_text("#!/bin/sh\nenv >&2\nexit 1\n")
    script.chmod(0o755)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}

    with pytest.raises(UnreachableError) as raised:
        async with Api.connect(kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)):
            pass

    assert "LANG_OF_THE_MACHINE=C" in raised.value.detail
    assert "KUBERNETES_EXEC_INFO" in raised.value.detail
    assert "CNIBOT_" not in raised.value.detail


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode()


@pytest.mark.usefixtures("ours")
async def test_the_process_that_diagnoses_does_not_inherit_ours():
    async with open_worker(program=("sh", "-c", "cat >/dev/null")) as worker:
        environment = environment_of((await worker._begin()).process.pid)  # pyright: ignore[reportPrivateUsage]

    assert "LANG_OF_THE_MACHINE=C" in environment
    assert "CNIBOT_" not in environment


@pytest.mark.usefixtures("ours")
def test_no_program_inherits_ours():
    kept = child_environment()

    assert kept["LANG_OF_THE_MACHINE"] == "C"
    assert kept["PATH"] == os.environ["PATH"]
    assert not any(name.startswith("CNIBOT_") for name in kept)


@pytest.mark.parametrize(
    "text", [f"slack_bot_token: {TOKEN}: x", f"redis_url: *{PASSWORD}", f"a: [{PASSWORD}\nb: {{", f"{PASSWORD}"]
)
def test_a_mistake_in_the_settings_names_the_line_and_not_what_stands_there(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    monkeypatch.setenv("CNIBOT_CONFIG", str(path))

    with pytest.raises(ConfigurationError) as raised:
        load_settings()

    assert not any(secret in str(raised.value) for secret in SECRETS)
    assert raised.value.__cause__ is None  # whose words are the line itself


async def test_a_mistake_in_a_kubeconfig_names_the_line_and_not_what_stands_there(tmp_path: Path):
    path = tmp_path / "config"
    path.write_text(f"users:\n- name: a\n  user: {{token: {TOKEN}: x\n")

    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect(str(path)):
            pass

    assert "line 3, column" in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_the_settings_show_themselves_without_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CNIBOT_SLACK_BOT_TOKEN", TOKEN)

    assert TOKEN not in repr(load_settings()) + json.dumps(load_settings().model_dump(mode="json"))
