"""`cnibot doctor`: what works, and what to do about what does not."""

import asyncio
import dataclasses
import enum
import json
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bot.cli.common import begin, errors_explained, say, say_rows
from bot.domain.redact import redact, redacted

if TYPE_CHECKING:
    from bot.domain.checks import Check
    from bot.domain.permissions import Permission


class DoctorOutput(enum.StrEnum):
    """The forms of its answer."""

    TEXT = "text"
    JSON = "json"


_MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "failed": ("FAIL", "bold red")}


def doctor(
    *,
    permissions: Annotated[
        bool, typer.Option("--permissions", help="What each probe, rung and action may do, and what is lost without.")
    ] = False,
    output: Annotated[DoctorOutput, typer.Option("--output", "-o", help="Output format.")] = DoctorOutput.TEXT,
) -> None:
    """Try everything that the bot needs: rules, store, Slack, clusters and the rights there. It changes nothing.

    Exit code 0: the bot can work (warnings included). 1: something does not work. 2: the settings cannot be read.
    """
    from bot.app.doctor import installation_checks  # noqa: PLC0415 `cnibot --help` needs none of it

    if permissions:
        _permissions(output)
    with errors_explained():
        checks = asyncio.run(installation_checks(begin()))
    if output is DoctorOutput.JSON:
        answer = {"ok": all(check.ok for check in checks), "checks": [_plain(each) for each in checks]}
        say(json.dumps(redacted(answer, "json")), sink="json")
    else:
        _show(checks)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _permissions(output: DoctorOutput) -> NoReturn:
    """Exit code 1 when in one of the clusters nothing can be diagnosed."""
    from bot.app.permissions import all_permissions  # noqa: PLC0415

    with errors_explained():
        found = asyncio.run(all_permissions(begin()))
    if output is DoctorOutput.JSON:
        rows = {name: [_row(each) for each in some] for name, some in found.items()}
        say(json.dumps(redacted(rows, "json")), sink="json")
    else:
        for name, some in found.items():
            _show_permissions(name, some)
    raise typer.Exit(1 if any(each.is_blind for some in found.values() for each in some) else 0)


def _row(permission: "Permission") -> dict[str, object]:
    return {
        "kind": permission.part.kind,
        "name": permission.part.name,
        "answer": permission.answer,
        "denied": [str(need) for need in permission.denied],
        "unknown": [str(need) for need in permission.unknown],
        "lost": permission.lost,
    }


def _show_permissions(name: str, permissions: "list[Permission]") -> None:
    styles = {"allowed": "green", "partly": "yellow", "denied": "bold red", "unknown": "yellow"}
    rows: list[tuple[str | Text, ...]] = [("", "name", "may it", "not allowed, and what is lost")]
    for each in permissions:
        needs = each.denied or each.unknown
        lost = ". ".join(filter(None, (", ".join(map(str, needs)), each.lost)))
        rows.append((each.part.kind, each.part.name, Text(each.answer, styles[each.answer]), lost))
    say(f"Cluster {name}")
    say_rows(rows)


def _plain(check: "Check") -> dict[str, object]:
    return dataclasses.asdict(check)


def _show(checks: "list[Check]") -> None:
    console = Console()
    for check in checks:
        word, style = _MARKS[check.state]
        says = f"  {redact(check.says, 'terminal')}" if check.says else ""
        console.print(Text.assemble((f"{word:<5}", style), check.name, (says, "dim")), soft_wrap=True)
        for sentence in filter(None, (check.problem, check.remedy)):
            told = redact(sentence, "terminal")
            if console.is_terminal:
                console.print(Padding(Text(told), (0, 0, 0, 6), expand=False))
            else:
                say(f"      {told}")
