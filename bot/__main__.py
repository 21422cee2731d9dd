"""`python -m bot`, and the console command `cnibot`."""

import sys
from typing import Any

from typer import core

from bot.cli import app

_UNBROKEN = 100_000
"""Columns of whoever is no terminal: a program wraps nothing."""


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    if sys.stdout.isatty():
        app(prog_name="cnibot")
    else:
        plain: Any = core
        plain.HAS_RICH = False  # help in frames, padded and wrapped, is for eyes
        app(prog_name="cnibot", terminal_width=_UNBROKEN)


if __name__ == "__main__":
    main()
