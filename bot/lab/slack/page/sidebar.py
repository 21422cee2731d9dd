"""Channels, the app's Home, and who sits at the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup
from nicegui.elements.html import Html

from bot.lab.slack.model import User
from bot.lab.slack.page.controls import menu_button, menu_item
from bot.lab.slack.page.elements import button, html, icon, tag
from bot.lab.slack.page.people import person, role
from bot.lab.slack.page.reading import Mark

HOME = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A channel as the sidebar shows it."""

    id: str
    name: str
    is_shared: bool
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class SidebarState:
    """What the sidebar shows."""

    team: str
    user: User
    people: tuple[tuple[str, str, str], ...]
    """Id, name and what is said of each person."""
    lines: tuple[Line, ...]
    app_name: str
    place: str

    @property
    def frame(self) -> tuple[object, ...]:
        """What makes it another sidebar; the rest changes in place, so that no click meets a button just replaced."""
        return self.team, self.user.id, self.people, self.app_name, tuple(line.id for line in self.lines)


class Sidebar:
    """``go(place)`` is called with a channel's id or `HOME`, ``sit(user_id)`` when another person sits down."""

    def __init__(self, go: Callable[[str], None], sit: Callable[[str], None], darken: Callable[[], None]) -> None:
        self._go = go
        self._sit = sit
        self._darken = darken
        self._frame: tuple[object, ...] = ()
        self._places: dict[str, Html] = {}
        self._box = tag("nav", "side", aria_label="Channels")

    def show(self, state: SidebarState) -> None:
        """Draw what changed."""
        if state.frame != self._frame:
            self._frame = state.frame
            self._box.clear()
            with self._box:
                self._draw(state)
        for line in state.lines:
            self._update(self._places[line.id], _label(line), state.place == line.id, is_unread=line.mark.is_unread)
        face = Markup('<span class="face tiny-face" style="--face:#0f766e">C</span><span>{}</span>')
        self._update(self._places[HOME], face.format(state.app_name), state.place == HOME, is_unread=False)

    def _draw(self, state: SidebarState) -> None:
        with tag("div", "team"):
            html(Markup('<span class="team-mark" aria-hidden="true">L</span><b>{}</b>').format(state.team))
            button(icon("moon"), self._darken, "tool", aria_label="Light or dark", title="Light or dark")
        html("Channels", "h2")
        self._places = {line.id: self._place(line.id, data_channel=line.name) for line in state.lines}
        html("Apps", "h2")
        self._places[HOME] = self._place(HOME)
        tag("div", "space")
        self._seat(state)

    def _place(self, place: str, **attributes: str) -> Html:
        return button("", lambda: self._go(place), "place", **attributes)

    @staticmethod
    def _update(drawn: Html, label: Markup, is_here: bool, *, is_unread: bool) -> None:  # noqa: FBT001
        if drawn.content != label:
            drawn.content = label
        for name, is_so in (("here", is_here), ("unread", is_unread)):
            drawn.classes(add=name if is_so else "", remove="" if is_so else name)
        drawn.props.set_optional("aria-current", "page" if is_here else None)

    def _seat(self, state: SidebarState) -> None:
        about = role(state.user) or state.user.title
        label = Markup('{}<span class="who"><b>{}</b><small>{}</small></span>{}').format(
            person(state.user).face, state.user.name, about, icon("chevron")
        )
        with menu_button(label, "sitter", aria_label="Change who you are"):
            for user_id, name, said in state.people:
                line = Markup('<span class="who"><b>{}</b><small>{}</small></span>').format(name, said)
                menu_item(line, lambda user_id=user_id: self._sit(user_id))


def _label(line: Line) -> Markup:
    unread = Markup('<span class="sr">unread</span>') if line.mark.is_unread else Markup()
    mentions = Markup('<span class="count">{}<span class="sr"> mentions</span></span>')
    count = mentions.format(line.mark.mentions) if line.mark.mentions else Markup()
    return Markup("{}<span>{}</span>{}{}").format(icon("globe" if line.is_shared else "hash"), line.name, unread, count)
