"""The exit codes, which other people's scripts rely on: one table."""

from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from bot.aio.stopping import TerminatedError
from bot.cli import app
from bot.cli.common import errors_explained
from bot.diagnosis.recording import load, save
from bot.domain.errors import (
    ConfigurationError,
    DeadlineError,
    ForbiddenError,
    PodsHiddenError,
    UnauthorizedError,
    UnknownNamespaceError,
    UnknownPodError,
    UnreachableError,
)
from bot.domain.facts import Rung
from bot.rules.problems import RulesError

RECORDINGS = Path(__file__).parents[1] / "recordings"
HEALTHY = f"replay {RECORDINGS}/flannel-healthy-shop.json.gz"

TABLE = [
    # 0: healthy, or done
    (0, ""),
    (0, "--help"),
    (0, "--version"),
    (0, "version"),
    (0, HEALTHY),
    (0, f"{HEALTHY} --output json"),
    (0, f"{HEALTHY} --output markdown"),
    (0, f"{HEALTHY} --output yaml"),
    (0, "causes list"),
    (0, "causes show calico-proxy-arp-off"),
    (0, "known-issues list"),
    (0, "known-issues check"),
    (0, "playbooks list"),
    (0, "playbooks check"),
    (0, "probes list"),
    # 1: a problem was found, or something that was checked does not work
    (1, f"replay {RECORDINGS}/bridge-ip-forward-0.json.gz"),
    (1, f"replay {RECORDINGS}/bridge-ip-forward-0.json.gz --output json"),
    # 2: a mistake in the command, its files or the settings
    (2, "no-such-command"),
    (2, "diagnose"),
    (2, "diagnose shop --access root"),
    (2, "diagnose shop --no-such-flag"),
    (2, "diagnose shop --kubeconfig {tmp}/none"),
    (2, "diagnose shop --kubeconfig {kubeconfig} --context none"),
    (2, "diagnose shop --kubeconfig {kubeconfig} --playbook none"),
    (2, "replay {tmp}/none.json"),
    (2, "replay {kubeconfig}"),
    (2, f"{HEALTHY} --playbook none"),
    (2, "causes show none"),
    (2, "known-issues show none"),
    (2, "playbooks show none"),
    (2, "playbooks check --playbooks-dir {broken}"),
    (2, "known-issues check --playbooks-dir {broken}"),
    (2, "serve"),
    # 3: could not diagnose
    (3, "diagnose shop --kubeconfig {kubeconfig}"),
    (3, "diagnose -n shop --kubeconfig {kubeconfig}"),
    (3, "replay {unseen}"),
]
"""What a person types, without Slack's tokens and with a kubeconfig whose server nobody runs."""

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dead
clusters: [{name: dead, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: dead, user: {token: t}}]
contexts: [{name: dead, context: {cluster: dead, user: dead}}]
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files to name, and an environment that says nothing of this machine's own cluster or bot."""
    broken = tmp_path / "broken"
    (broken / "causes").mkdir(parents=True)
    (broken / "causes" / "mine.yaml").write_text("id: [", encoding="utf-8")
    seen = load(RECORDINGS / "flannel-healthy-shop.json.gz")
    unseen = tmp_path / "unseen.json"
    save(msgspec.structs.replace(seen, reports={}, rungs={}, access=Rung.API), unseen)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG, encoding="utf-8")
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return {"tmp": str(tmp_path), "broken": str(broken), "kubeconfig": str(kubeconfig), "unseen": str(unseen)}


@pytest.mark.parametrize(("code", "typed"), TABLE)
def test_what_a_command_ends_with(code: int, typed: str, places: dict[str, str]) -> None:
    done = CliRunner().invoke(app, typed.format(**places).split())

    assert done.exit_code == code, done.output
    assert isinstance(done.exception, SystemExit | None), done.exc_info


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (2, ConfigurationError("kubeconfig", "it is empty")),
        (2, RulesError(())),
        (2, UnknownNamespaceError("shpo", ("shop",))),
        (2, UnknownPodError("shop", "wbe", ("web",))),
        (3, DeadlineError("The API server did not answer", 5)),
        (3, ForbiddenError("list", "pods", "shop")),
        (3, PodsHiddenError("shop", "list pods in namespace shop")),
        (3, UnauthorizedError("https://api", "expired")),
        (3, UnreachableError("https://api", "refused", "connection refused")),
        (130, KeyboardInterrupt()),
        (143, TerminatedError()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_an_error_ends_with(code: int, error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_explained():
        raise error

    assert ended.value.exit_code == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("cnibot: ")
