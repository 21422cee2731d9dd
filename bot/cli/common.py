"""What every command shares: errors in one sentence, exit codes, rules loaded once."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from bot.domain.errors import BotError, ConfigurationError, UnknownNamespaceError, UnknownPodError
from bot.logs import configure
from bot.rules.problems import RulesError
from bot.settings import Settings, load_settings

if TYPE_CHECKING:
    from bot.incidents.knowledge import Knowledge

HEALTHY, PROBLEM, USAGE, NO_DIAGNOSIS = 0, 1, 2, 3
"""The exit codes of the contract."""

PlaybooksDirs = Annotated[
    list[Path] | None,
    typer.Option("--playbooks-dir", help="A directory of your own playbooks and causes. Repeatable.", file_okay=False),
]


@contextmanager
def errors_explained() -> Generator[None]:
    """Turn what can go wrong in the world into one sentence and the contract's exit code."""
    try:
        yield
    except (UnknownNamespaceError, UnknownPodError, ConfigurationError, RulesError) as error:
        fail(str(error), USAGE)
    except BotError as error:
        fail(str(error), NO_DIAGNOSIS)
    except KeyboardInterrupt:
        fail("interrupted; node agents of this diagnosis were removed.", 130)


def fail(sentence: str, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end."""
    Console(stderr=True, soft_wrap=True).print(f"cnibot: {sentence}", markup=False, highlight=False)
    raise typer.Exit(code)


def knowledge_of(settings: Settings, more: list[Path] | None) -> "Knowledge":
    """The rules that judge: the shipped ones, those of the settings, those of this command."""
    from bot.incidents.knowledge import load_knowledge  # noqa: PLC0415 only commands that judge need it

    return load_knowledge((*settings.playbooks_dirs, *(more or ())))


def begin() -> Settings:
    """The settings, with logging set up by them."""
    settings = load_settings()
    configure(settings.log_level)
    return settings
