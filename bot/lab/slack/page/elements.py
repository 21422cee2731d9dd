"""NiceGUI elements as this page uses them: plain HTML tags with classes, and text that is always a text node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from markupsafe import Markup, escape
from nicegui import ui
from nicegui.element import Element
from nicegui.elements.html import Html

Handler = Callable[[], Awaitable[object] | None]


def tag(name: str, classes: str = "", **attributes: str) -> Element:
    """An HTML tag; use it with ``with``. Attribute names take ``_`` for ``-``."""
    element = ui.element(name).classes(classes)
    for key, value in attributes.items():
        element.props[key.strip("_").replace("_", "-")] = value
    return element


def html(content: str | Markup, name: str = "div", classes: str = "", **attributes: str) -> Html:
    """A tag around HTML of ours; a plain `str` is escaped. The browser cleans it once more (DOMPurify)."""
    element = ui.html(escape(content), tag=name).classes(classes)
    for key, value in attributes.items():
        element.props[key.strip("_").replace("_", "-")] = value
    return element


def button(label: str | Markup, handler: Handler, classes: str = "btn", **attributes: str) -> Html:
    """A native button: keyboards and screen readers know what it is."""
    element = html(label, "button", classes, type="button", **attributes)
    element.on("click", lambda _: handler(), args=[])
    return element


def icon(name: str, classes: str = "") -> Markup:
    """A symbol drawn in the text's colour; screen readers pass over it."""
    return Markup('<svg class="icon {}" viewBox="0 0 24 24" aria-hidden="true">{}</svg>').format(classes, _ICONS[name])


_ICONS = {
    "hash": Markup('<path d="M5 9h15M4 15h15M10 3 8 21M16 3l-2 18"/>'),
    "reply": Markup('<path d="M4 5h16v11H10l-5 4v-4H4z"/>'),
    "more": Markup('<path d="M12 5.5v.01M12 12v.01M12 18.5v.01" stroke-width="3"/>'),
    "close": Markup('<path d="M6 6l12 12M18 6 6 18"/>'),
    "eye": Markup('<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z"/><circle cx="12" cy="12" r="3"/>'),
    "flask": Markup('<path d="M9 3h6M10 3v6L4.5 18.5A1.7 1.7 0 0 0 6 21h12a1.7 1.7 0 0 0 1.5-2.5L14 9V3M7 15h10"/>'),
    "menu": Markup('<path d="M4 6h16M4 12h16M4 18h16"/>'),
    "send": Markup('<path d="M4 12 3 4l18 8-18 8 1-8zm0 0h9"/>'),
    "moon": Markup('<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>'),
    "bolt": Markup('<path d="M13 2 4 14h7l-1 8 9-12h-7z"/>'),
    "smile": Markup('<circle cx="12" cy="12" r="9"/><path d="M8 14s1.5 2.5 4 2.5 4-2.5 4-2.5M9 9.5v.01M15 9.5v.01"/>'),
    "bell": Markup('<path d="M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4"/>'),
    "file": Markup('<path d="M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6"/>'),
    "globe": Markup(
        '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"/>'
    ),
    "chevron": Markup('<path d="M6 9l6 6 6-6"/>'),
    "back": Markup('<path d="M15 5l-7 7 7 7"/>'),
    "check": Markup('<path d="M5 13l4 4L19 7"/>'),
}  # fmt: skip
