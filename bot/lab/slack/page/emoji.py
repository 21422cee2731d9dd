"""Emoji by their short names."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup
from rich.emoji import Emoji

_MORE: Final = {
    "large_green_circle": "🟢",
    "large_yellow_circle": "🟡",
    "large_orange_circle": "🟠",
    "large_purple_circle": "🟣",
    "hammer_and_wrench": "🛠️",
    "double_vertical_bar": "⏸️",
    "thinking_face": "🤔",
    "simple_smile": "🙂",
}
"""Slack's names that rich does not know."""


def emoji(name: str) -> str | None:
    """The character, or None for a name nobody knows."""
    bare = name.split("::skin-tone", 1)[0]
    if bare in _MORE:
        return _MORE[bare]
    found = Emoji.replace(f":{bare}:")
    return None if found.startswith(":") else found


def emoji_html(name: str) -> Markup:
    """The character with its name as the title; the name between colons where there is none."""
    character = emoji(name)
    if character is None:
        return Markup(":{}:").format(name)
    return Markup('<span class="emoji" role="img" aria-label="{0}" title=":{0}:">{1}</span>').format(name, character)
