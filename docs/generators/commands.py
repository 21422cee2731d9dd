"""docs/reference/commands.md: every command with its arguments and options, from the command line itself."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer
import typer.main

from bot.cli import app
from bot.lab.cluster.commands import app as lab_app

INTRO = """# Commands

Exit codes of `diagnose` and `replay`: 0 healthy, 1 a problem was found, 2 a mistake in the command, 3 could not
diagnose.
"""


def section(command: Any, name: str, parent: Any) -> Iterator[str]:
    """A command's page part; a group's, with those below it."""
    context = typer.Context(command, info_name=name, parent=parent)
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
        yield f"\n## {context.command_path}\n\n```\n{usage}\n```\n"
        yield f"\n{inspect.cleandoc(command.help or '')}\n\n"
        records = [parameter.get_help_record(context) for parameter in command.params if not parameter.hidden]
        yield from (f"- `{names}`: {' '.join(text.split())}\n" for names, text in filter(None, records))
    for child, item in below.items():
        if not item.hidden and child != "lab":
            yield from section(item, child, context)


def pages() -> dict[str, str]:
    """The page. The lab's commands stand behind a command that loads them late, so they are read from their own app."""
    main = typer.main.get_command(app)
    lab = typer.main.get_command(lab_app)
    text = "".join((INTRO, *section(main, "cnibot", None), *section(lab, "cnibot lab", None)))
    return {"docs/reference/commands.md": text}
