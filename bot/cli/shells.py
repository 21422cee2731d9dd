"""What a shell offers while a command is typed: `cnibot completion SHELL`, and the names behind the commands."""

import enum
from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

from bot.cli.common import say_exactly
from bot.domain.errors import ConfigurationError
from bot.settings import load_settings

PROGRAM = "cnibot"


class Shell(enum.StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", show_default=False)]) -> None:
    """Print the script that completes cnibot's commands: source <(cnibot completion bash).

    zsh: source <(cnibot completion zsh), after compinit. fish: cnibot completion fish | source.
    """
    variable = f"_{PROGRAM.upper()}_COMPLETE"
    say_exactly(get_completion_script(prog_name=PROGRAM, complete_var=variable, shell=shell.value))


def playbooks(incomplete: str) -> list[str]:
    """The playbooks' names."""
    return _beginning(incomplete, _files(""))


def causes(incomplete: str) -> list[str]:
    """The causes' ids."""
    return _beginning(incomplete, _files("causes"))


def known_issues(incomplete: str) -> list[str]:
    """The known issues' ids."""
    return _beginning(incomplete, _files("known-issues"))


def probes(incomplete: str) -> list[str]:
    """The probes' names."""
    from bot.probes.catalogue import PROBES  # noqa: PLC0415 heavy, and only this needs it

    return _beginning(incomplete, (each.name for each in PROBES))


Names = Callable[[str], list[str]]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _files(folder: str) -> list[str]:
    """The rules' names, which their files have, too: loading them all would take longer than a keystroke may."""
    from bot.rules.source import data_directory  # noqa: PLC0415 `cnibot --help` needs none of it

    try:
        own = load_settings().playbooks_dirs
    except ConfigurationError:
        own = ()
    return [path.stem for root in (data_directory(), *own) for path in (root / folder).glob("*.yaml")]
