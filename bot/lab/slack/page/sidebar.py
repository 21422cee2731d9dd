"""Channels, the app's Home, and who sits at the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup
from nicegui import ui

from bot.lab.slack.model import Channel, User
from bot.lab.slack.page.controls import menu_item
from bot.lab.slack.page.elements import button, html, icon, tag
from bot.lab.slack.page.people import person, role
from bot.lab.slack.page.reading import Mark

HOME = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What the sidebar shows; it is drawn again when this differs."""

    team: str
    user: User
    user_name: str
    people: tuple[tuple[str, str, str], ...]
    """Id, name and what is said of each person."""
    channels: tuple[tuple[str, str, bool, Mark], ...]
    """Id, name, is shared, marks."""
    app_name: str
    place: str


class Sidebar:
    """``go(place)`` is called with a channel's id or `HOME`, ``sit(user_id)`` when another person sits down."""

    def __init__(self, go: Callable[[str], None], sit: Callable[[str], None], darken: Callable[[], None]) -> None:
        self._go = go
        self._sit = sit
        self._darken = darken
        self._drawn: Shelf | None = None
        self._box = tag("nav", "side", aria_label="Channels")

    def show(self, shelf: Shelf) -> None:
        """Draw what changed."""
        if shelf == self._drawn:
            return
        self._drawn = shelf
        self._box.clear()
        with self._box:
            with tag("div", "team"):
                html(Markup('<span class="team-mark" aria-hidden="true">L</span><b>{}</b>').format(shelf.team))
                button(icon("moon"), self._darken, "tool", aria_label="Light or dark", title="Light or dark")
            html("Channels", "h2")
            for channel_id, name, is_shared, mark in shelf.channels:
                self._channel(channel_id, name, mark, is_shared=is_shared, is_here=channel_id == shelf.place)
            html("Apps", "h2")
            here = " here" if shelf.place == HOME else ""
            label = Markup('<span class="face tiny-face" style="--face:#0f766e">C</span><span>{}</span>')
            button(label.format(shelf.app_name), lambda: self._go(HOME), f"place{here}")
            tag("div", "space")
            self._seat(shelf)

    def _channel(self, channel_id: str, name: str, mark: Mark, *, is_shared: bool, is_here: bool) -> None:
        sign = icon("globe" if is_shared else "hash")
        count = Markup('<span class="count">{}</span>').format(mark.mentions) if mark.mentions else Markup()
        unread = Markup('<span class="sr">unread</span>') if mark.is_unread else Markup()
        classes = ["place", "here" if is_here else "", "unread" if mark.is_unread else ""]
        label = Markup("{}<span>{}</span>{}{}").format(sign, name, unread, count)
        drawn = button(label, lambda: self._go(channel_id), " ".join(classes), data_channel=name)
        if is_here:
            drawn.props["aria-current"] = "page"

    def _seat(self, shelf: Shelf) -> None:
        face = person(shelf.user).face
        about = role(shelf.user) or shelf.user.title
        label = Markup('{}<span class="who"><b>{}</b><small>{}</small></span>{}').format(
            face, shelf.user_name, about, icon("chevron")
        )
        with (
            tag("div", "seat"),
            button(label, _nothing, "sitter", aria_label="Change who you are", aria_haspopup="menu"),
            ui.menu(),
        ):
            for user_id, name, said in shelf.people:
                line = Markup('<span class="who"><b>{}</b><small>{}</small></span>').format(name, said)
                menu_item(line, lambda user_id=user_id: self._sit(user_id))


def shelf_channels(channels: list[Channel], marks: list[Mark]) -> tuple[tuple[str, str, bool, Mark], ...]:
    """The channels as the sidebar takes them."""
    return tuple(
        (channel.id, channel.name, channel.is_ext_shared, mark) for channel, mark in zip(channels, marks, strict=True)
    )


def _nothing() -> None:
    """The menu opens by itself."""
