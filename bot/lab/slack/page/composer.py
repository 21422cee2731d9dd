"""The field in which a person types, with what fits offered above it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from markupsafe import Markup
from nicegui import ui
from nicegui.events import GenericEventArguments

from bot.lab.slack.page.elements import button, html, icon, tag
from bot.lab.slack.page.typing import Hint, Offer, offers
from bot.lab.slack.workspace_state import WorkspaceState

Send = Callable[[str], Awaitable[bool]]

_KEYS = """(event) => {
  const open = event.target.closest('.composer').querySelector('.offer');
  const steering = open && ['ArrowUp', 'ArrowDown', 'Tab', 'Escape'].includes(event.key) && !event.shiftKey;
  const sending = event.key === 'Enter' && !event.shiftKey && !event.isComposing;
  if (!steering && !sending) return;
  event.preventDefault();
  emit(event.key, event.target.value);
}"""


class Composer:
    """``send(text)`` tells whether the text was taken; if not, it stays in the field."""

    def __init__(self, state: WorkspaceState, hints: tuple[Hint, ...], send: Send) -> None:
        self.state = state
        self.hints = hints
        self.send = send
        self._offers: list[Offer] = []
        self._at = 0
        with tag("div", "composer"):
            self._box = tag("div", "offers", role="listbox", aria_label="What fits")
            with tag("div", "field"):
                self._input = ui.textarea(on_change=lambda event: self._typed(str(event.value or ""))).classes("typing")
                for name in ("autogrow", "borderless", "dense"):
                    self._input.props[name] = True
                self._input.props["rows"] = "1"
                self._input.on("keydown", self._pressed, js_handler=_KEYS)
                button(
                    icon("send"), lambda: self._submit(self._input.value or ""), "send", aria_label="Send", title="Send"
                )

    def placed(self, label: str) -> None:
        """Say where what is typed goes."""
        self._input.props["placeholder"] = label
        self._input.props["aria-label"] = label
        self._typed(self._input.value or "")

    def focus(self) -> None:
        """Put the cursor here."""
        self._input.run_method("focus")

    async def _pressed(self, event: GenericEventArguments) -> None:
        arguments: list[Any] = event.args
        key, text = str(arguments[0]), str(arguments[1])
        match key:
            case "ArrowUp" | "ArrowDown" if self._offers:
                self._at = (self._at + (1 if key == "ArrowDown" else -1)) % len(self._offers)
                self._draw()
            case "Tab" if self._offers:
                self._take(self._offers[self._at])
            case "Escape":
                self._offers = []
                self._draw()
            case "Enter":
                await self._submit(text)
            case _:
                pass

    async def _submit(self, text: str) -> None:
        if text.strip() and await self.send(text.rstrip()):
            self._input.value = ""

    def _typed(self, text: str) -> None:
        self._offers = offers(text, self.state, self.hints)
        self._at = 0
        self._draw()

    def _take(self, offer: Offer) -> None:
        self._input.value = offer.insert
        self.focus()

    def _draw(self) -> None:
        self._box.clear()
        with self._box:
            for at, offer in enumerate(self._offers):
                usage, _, note = offer.note.partition("\n")
                label = Markup('<b>{}</b> <span class="usage">{}</span><small>{}</small>').format(
                    offer.title, usage, note
                )
                classes = "offer chosen" if at == self._at else "offer"
                line = html(label, "button", classes, type="button", role="option", tabindex="-1")
                line.props["aria-selected"] = "true" if at == self._at else "false"
                line.on("mousedown.prevent", lambda _, offer=offer: self._take(offer), args=[])
