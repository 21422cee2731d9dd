"""A list of messages that is redrawn where it changed and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nicegui.element import Element

from bot.lab.slack.page.elements import button, tag
from bot.lab.slack.page.entries import Entry

Draw = Callable[[Entry], None]
_SHOWN: Final = 50
"""Messages that are drawn at first: the workspace shares our event loop, and drawing one takes about 4 ms."""


class Timeline:
    """Messages in order, oldest first; the page's script keeps it scrolled to the end while the reader is there."""

    def __init__(self, label: str) -> None:
        self._most = _SHOWN
        with tag("div", "scroll", tabindex="0"), tag("div", "timeline"):
            self.beginning = tag("div", "beginning")
            """What stands before the first message."""
            self._earlier = button("Show earlier messages", self._show_earlier, "btn earlier")
            self._column = tag("div", "messages", role="log", aria_live="polite", aria_label=label)
        self._rows: dict[str, tuple[Element, str]] = {}
        self._all: list[Entry] = []
        self._draw: Draw = _nothing

    def show(self, entries: list[Entry], draw: Draw) -> None:
        """Show the newest of these and no others."""
        self._all, self._draw = entries, draw
        shown = entries[-self._most :]
        wanted = {entry.key for entry in shown}
        for key in [key for key in self._rows if key not in wanted]:
            self._rows.pop(key)[0].delete()
        for at, entry in enumerate(shown):
            self._show_one(entry, at, draw)
        self._earlier.set_visibility(len(entries) > len(shown))
        self.beginning.set_visibility(len(entries) <= len(shown))

    def _show_earlier(self) -> None:
        self._most += _SHOWN
        self.show(self._all, self._draw)

    def clear(self) -> None:
        """Forget everything: another person looks, or at another place."""
        self._most = _SHOWN
        self._column.clear()
        self._rows.clear()

    def _show_one(self, entry: Entry, at: int, draw: Draw) -> None:
        row, drawn = self._rows.get(entry.key, (None, ""))
        signature = entry.signature
        if row is None:
            with self._column:
                row = tag("div", "row-of-message")
            if at != len(self._rows):
                row.move(target_index=at)
        elif signature == drawn:
            return
        self._rows[entry.key] = (row, signature)
        row.clear()
        with row:
            draw(entry)


def _nothing(_entry: Entry) -> None:
    """Until something is shown."""
