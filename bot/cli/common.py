"""What every command shares: one way to print, errors in one sentence, exit codes, rules loaded once."""

import os
import sys
import traceback
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from bot.aio.stopping import TerminatedError
from bot.cluster.client.api_addresses import ApiAddresses, use_addresses
from bot.domain.errors import BotError, ConfigurationError, UnknownNamespaceError, UnknownPodError, bounded
from bot.domain.redact import Sink, redact, redact_more
from bot.logs import configure
from bot.rules.problems import RulesError
from bot.settings import Settings, load_settings

if TYPE_CHECKING:
    from bot.diagnosis.knowledge import Knowledge
    from bot.store import Store

HEALTHY, PROBLEM, USAGE, NO_DIAGNOSIS = 0, 1, 2, 3
"""The exit codes of the contract."""

PlaybooksDirs = Annotated[
    list[Path] | None,
    typer.Option("--playbooks-dir", help="A directory of your own playbooks and causes. Repeatable.", file_okay=False),
]


@contextmanager
def errors_explained() -> Generator[None]:
    """Turn what can go wrong around cnibot into one sentence and the contract's exit code."""
    try:
        yield
    except (UnknownNamespaceError, UnknownPodError, ConfigurationError, RulesError) as error:
        fail(str(error), USAGE)
    except BotError as error:
        fail(str(error), NO_DIAGNOSIS)
    except TerminatedError:
        fail("ended by SIGTERM; node agents of this diagnosis were removed.", 143)
    except KeyboardInterrupt:
        fail("interrupted; node agents of this diagnosis were removed.", 130)


@contextmanager
def unforeseen_explained(*, is_debugging: bool) -> Generator[None]:
    """Turn whatever no command foresaw into one sentence and exit code 3: scripts read 1 as "a problem was found"."""
    try:
        yield
    except (TyperException, typer.Exit):
        raise
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Rich has met it, and says 1
            raise typer.Exit(NO_DIAGNOSIS) from None
        raise
    except KeyboardInterrupt:
        fail("interrupted.", 130)
    except BrokenPipeError:
        # Nobody reads on: what is still buffered must not fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(NO_DIAGNOSIS) from None
    except BaseException as error:  # noqa: BLE001 a cancellation that nobody ordered is one, too
        if is_debugging:
            sys.stderr.write(redact(traceback.format_exc(), "terminal"))
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "" if is_debugging else " `cnibot --debug …` prints where."
        fail(f"internal error ({bounded(what)}).{hint}", NO_DIAGNOSIS)


def fail(sentence: str, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end."""
    say_aside(f"cnibot: {sentence}")
    raise typer.Exit(code)


def say(text: str, *, sink: Sink = "terminal", end: str = "\n") -> None:
    """Print what a command answers, without secrets. A form for programs or tickets is a sink of its own."""
    sys.stdout.write(redact(text, sink) + end)


def say_exactly(text: str) -> None:
    """Print what is used as it stands, and worth nothing with a word struck out: a script, a link, a sealed entry."""
    sys.stdout.write(text)


def say_rows(rows: Iterable[Sequence[str | Text]]) -> None:
    """Print columns; on a terminal cells are wrapped to its width, elsewhere each row is one line, as kubectl's are."""
    cells = [[_clean(cell) for cell in row] for row in rows]
    console = Console()
    if console.is_terminal:
        table = Table.grid(padding=(0, 2))
        for row in cells:
            table.add_row(*row)
        console.print(table)
        return
    widths = [max(len(cell.plain) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        say("  ".join(cell.plain.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _clean(cell: str | Text) -> Text:
    """Without secrets, and on one line."""
    style = cell.style if isinstance(cell, Text) else ""
    return Text(" ".join(redact(str(cell), "terminal").splitlines()), style)


def say_aside(text: str) -> None:
    """Print on standard error what is no answer, without secrets."""
    Console(stderr=True, soft_wrap=True).print(redact(text, "terminal"), markup=False, highlight=False)


def knowledge_of(settings: Settings, more: list[Path] | None) -> "Knowledge":
    """The rules that judge: the shipped ones, those of the settings, those of this command."""
    from bot.diagnosis.knowledge import load_knowledge  # noqa: PLC0415 only commands that judge need it

    return load_knowledge((*settings.playbooks_dirs, *(more or ())))


@asynccontextmanager
async def the_store(settings: Settings) -> "AsyncGenerator[Store]":
    """The bot's store: the one of the settings; without any, that of a bot that runs here, else one of our own."""
    from bot.store import StoreInUseError, open_store  # noqa: PLC0415 only commands that read it need it

    url = settings.secret("redis_url") or None
    try:
        async with open_store(url, settings.state_dir) as store:
            yield store
            return
    except StoreInUseError:
        running = settings.state_dir / "store" / "redis.sock"
    async with open_store(f"unix://{running}", settings.state_dir) as store:
        yield store


def begin() -> Settings:
    """The settings, with what the whole process shares set up by them: logging, where API servers are."""
    settings = load_settings()
    redact_more(settings.redact)
    configure(settings.log_level)
    use_addresses(ApiAddresses(settings.api_addresses, settings.state_dir))
    return settings
