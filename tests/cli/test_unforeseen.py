"""What no command foresaw: one sentence and exit code 3, which scripts cannot mistake for a found problem."""

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.diagnosis import diagnose


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every diagnosis end in an error that nobody foresaw."""

    async def fails(*_: object, **__: object) -> Coroutine[Any, Any, None]:
        raise error

    monkeypatch.setattr(diagnose, "diagnose_cluster", fails)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("the plug is out"), "RuntimeError: the plug is out"),
        (asyncio.CancelledError(), "CancelledError"),
        (RecursionError(), "RecursionError"),
        (MemoryError(), "MemoryError"),
        (ExceptionGroup("two", [ValueError("one")]), "ExceptionGroup: two (1 sub-exception)"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_ends_with_3_and_one_sentence(error: BaseException, says: str, monkeypatch: pytest.MonkeyPatch):
    failing_with(error, monkeypatch)

    done = CliRunner().invoke(app, ["diagnose", "shop", "--kubeconfig", "unread"])

    assert done.exit_code == 3
    assert done.stderr == f"cnibot: internal error ({says}). `cnibot --debug …` prints where.\n"


def test_debug_prints_the_traceback_too(monkeypatch: pytest.MonkeyPatch):
    failing_with(RuntimeError("the plug is out"), monkeypatch)

    done = CliRunner().invoke(app, ["--debug", "diagnose", "shop", "--kubeconfig", "unread"])

    assert done.exit_code == 3
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("cnibot: internal error (RuntimeError: the plug is out).\n")


def test_a_mistake_in_the_command_stays_one():
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2


def test_output_that_nobody_reads_is_no_found_problem():
    program = [sys.executable, "-m", "bot", "causes", "list"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (3, b"")
