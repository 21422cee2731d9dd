"""Live progress of a diagnosis on a terminal, node by node; nothing where nobody watches."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bot.diagnosis.request import OnProgress, Progress, silent
from bot.domain.errors import bounded
from bot.domain.redact import redact

MOST_NODES = 12
_DONE = {"done": Text("✓", style="green"), "failed": Text("✗", style="red")}


class _Board:
    """The stages and nodes so far, drawn anew at each refresh."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last: dict[tuple[str, str], Progress] = {}
        self._spinner = Spinner("dots")

    def add(self, progress: Progress) -> None:
        self._last[progress.stage, progress.subject] = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table.grid(padding=(0, 1))
        rows = list(self._last.values())
        for row in rows[: MOST_NODES + 2]:
            table.add_row(
                _DONE.get(row.state, self._spinner),
                row.subject or row.stage,
                bounded(redact(row.sentence, "terminal"), 100),
            )
        yield table
        if len(rows) > MOST_NODES + 2:
            ready = sum(row.state != "started" for row in rows)
            yield Text(f"  … {ready} of {len(rows)} done", style="dim")
        yield Text(f"  {time.monotonic() - self._began:.1f} s", style="dim")


@contextmanager
def watching(console: Console, *, is_wanted: bool) -> Generator[OnProgress]:
    """A progress callback that draws on `console` until the block ends, and then leaves no trace."""
    if not (is_wanted and console.is_terminal):
        yield silent
        return
    board = _Board()
    with Live(board, console=console, transient=True, refresh_per_second=10):
        yield board.add
