"""`cnibot doctor`: what works, and what to do about what does not."""

import asyncio
import dataclasses
import enum
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bot.cli.common import begin, errors_explained

if TYPE_CHECKING:
    from bot.domain.checks import Check


class DoctorOutput(enum.StrEnum):
    """The forms of its answer."""

    TEXT = "text"
    JSON = "json"


_MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "failed": ("FAIL", "bold red")}


def doctor(
    output: Annotated[DoctorOutput, typer.Option("--output", "-o", help="The form.")] = DoctorOutput.TEXT,
) -> None:
    """Try everything that the bot needs: rules, store, Slack, clusters and the rights there. It changes nothing.

    Exit code 0: the bot can work (warnings included). 1: something does not work. 2: the settings cannot be read.
    """
    from bot.app.examining import examine  # noqa: PLC0415 `cnibot --help` needs none of it

    with errors_explained():
        checks = asyncio.run(examine(begin()))
    if output is DoctorOutput.JSON:
        typer.echo(json.dumps({"ok": all(check.ok for check in checks), "checks": [_plain(each) for each in checks]}))
    else:
        _show(checks)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _plain(check: "Check") -> dict[str, object]:
    return dataclasses.asdict(check)


def _show(checks: "list[Check]") -> None:
    console = Console(soft_wrap=False)
    for check in checks:
        word, style = _MARKS[check.state]
        console.print(
            Text.assemble((f"{word:<5}", style), check.name, (f"  {check.says}" if check.says else "", "dim"))
        )
        for sentence in filter(None, (check.problem, check.remedy)):
            console.print(Padding(Text(sentence), (0, 0, 0, 6)))
