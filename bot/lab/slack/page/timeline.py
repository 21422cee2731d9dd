"""A list of messages that is redrawn where it changed and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from nicegui.element import Element

from bot.lab.slack.page.elements import tag
from bot.lab.slack.page.entries import Entry

Draw = Callable[[Entry], None]


class Timeline:
    """Messages in order, oldest first; the page's script keeps it scrolled to the end while the reader is there."""

    def __init__(self, label: str) -> None:
        with tag("div", "scroll", tabindex="0"), tag("div", "timeline"):
            self.beginning = tag("div", "beginning")
            """What stands before the first message."""
            self._column = tag("div", "messages", role="log", aria_live="polite", aria_label=label)
        self._rows: dict[str, tuple[Element, str]] = {}

    def show(self, entries: list[Entry], draw: Draw) -> None:
        """Show these and no others."""
        wanted = {entry.key for entry in entries}
        for key in [key for key in self._rows if key not in wanted]:
            self._rows.pop(key)[0].delete()
        for at, entry in enumerate(entries):
            self._show_one(entry, at, draw)

    def clear(self) -> None:
        """Forget everything: another person looks, or at another place."""
        self._column.clear()
        self._rows.clear()

    def _show_one(self, entry: Entry, at: int, draw: Draw) -> None:
        row, signature = self._rows.get(entry.key, (None, ""))
        if row is None:
            with self._column:
                row = tag("div", "row-of-message")
            if at != len(self._rows):
                row.move(target_index=at)
        elif signature == entry.signature:
            return
        self._rows[entry.key] = (row, entry.signature)
        row.clear()
        with row:
            draw(entry)
