"""Lists: as a table where a person looks, a line for each where a program reads."""

import io
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.cli.common import say_rows


def test_a_list_that_nobody_looks_at_has_one_whole_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cnibot causes list | grep arp` must show whole titles, however narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "40")
    done = CliRunner().invoke(app, ["causes", "list"])

    rows = done.output.splitlines()
    assert done.exit_code == 0
    assert "arp-filtered" in done.output
    assert [row for row in rows if row != row.rstrip() or row.startswith(" ")] == []
    assert any(row.endswith("The application does not listen on the port that its pods declare") for row in rows)


def test_on_a_terminal_a_list_keeps_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    say_rows([("a", "a sentence of which the end has no room on the first line")])

    assert len(shown.getvalue().splitlines()) == 2
    assert max(map(len, shown.getvalue().splitlines())) <= 40


def test_help_that_nobody_looks_at_is_neither_framed_nor_wrapped() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot"],
        env={**os.environ, "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    rows = done.stdout.splitlines()
    assert done.returncode == 0
    assert "  doctor        Try everything that the bot needs: rules, store, Slack, clusters and the rights there." in (
        done.stdout
    )
    assert [row for row in rows if row != row.rstrip() or "│" in row] == []
