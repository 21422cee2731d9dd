"""Slack's own markup to HTML. Every character of a message passes through `markupsafe`: no text becomes a tag.

Source: https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from bot.lab.slack.page import dates
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.emoji import emoji_html

_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel"})
_FENCE: Final = re.compile(r"```(.*?)```", re.DOTALL)
_QUOTE: Final = re.compile(r"^(?:&gt;|>)[ ]?")
_INLINE: Final = re.compile(
    r"`(?P<code>[^`\n]{1,2000})`"
    r"|<(?P<token>[^<>\n]{1,3000})>"
    r"|(?<![\w*])\*(?P<bold>(?=\S)[^*\n]{1,1000}(?<=\S))\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic>(?=\S)[^_\n]{1,1000}(?<=\S))_(?![\w_])"
    r"|(?<![\w~])~(?P<strike>(?=\S)[^~\n]{1,1000}(?<=\S))~(?![\w~])"
    r"|(?P<url>https?://[^\s<>|`]{1,2000}[^\s<>|`.,;:!?)\]'\"*_~])"
    r"|:(?P<emoji>[a-z0-9_+'-]{1,64}(?:::skin-tone-[2-6])?):",
)
_STYLES: Final = {"bold": Markup("<b>{}</b>"), "italic": Markup("<i>{}</i>"), "strike": Markup("<s>{}</s>")}
_TOKEN: Final = re.compile(r"<([^<>\n]{1,3000})>")


def mrkdwn(text: str, directory: Directory, now: datetime) -> Markup:
    """A message's text as HTML: code, links, mentions, dates, emoji, quotes."""
    line = _Line(directory, now)
    parts: list[Markup] = []
    for index, piece in enumerate(_FENCE.split(text)):
        if index % 2:
            parts.append(Markup("<pre>{}</pre>").format(_plain(piece.strip("\n"), directory, now)))
        else:
            trimmed = piece.removeprefix("\n") if index else piece
            parts.append(_lines(trimmed, line))
    return Markup().join(parts)


def plain(text: str) -> Markup:
    """A ``plain_text`` object: emoji and line ends, nothing else."""
    pieces: list[Markup] = []
    at = 0
    for found in re.finditer(r":([a-z0-9_+'-]{1,64}):", text):
        pieces += [_broken(text[at : found.start()]), emoji_html(found[1])]
        at = found.end()
    return Markup().join([*pieces, _broken(text[at:])])


def unescaped(text: str) -> str:
    """What the three entities that Slack knows stand for."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def link(url: str, label: str | Markup) -> Markup:
    """A link that opens elsewhere; only its label where the address is not a web, mail or telephone address."""
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        scheme = ""
    if scheme not in _SCHEMES:
        return escape(label)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(url, label)


def mention(kind: str, name: str, *, is_me: bool) -> Markup:
    """``@alice`` or ``#incidents``, set off from the text."""
    return Markup('<span class="mention{}">{}{}</span>').format(" me" if is_me else "", kind, name)


def date(seconds: float, template: str, directory: Directory, now: datetime) -> Markup:
    """A moment in the viewer's zone, the full date as its title."""
    moment = directory.at(seconds)
    return Markup('<time title="{}">{}</time>').format(dates.full(moment), dates.formatted(template, moment, now))


class _Line:
    """Formats what stands on one line."""

    def __init__(self, directory: Directory, now: datetime) -> None:
        self.directory = directory
        self.now = now

    def html(self, text: str) -> Markup:
        pieces: list[Markup] = []
        at = 0
        for found in _INLINE.finditer(text):
            pieces += [escape(unescaped(text[at : found.start()])), self._formatted(found)]
            at = found.end()
        return Markup().join([*pieces, escape(unescaped(text[at:]))])

    def _formatted(self, found: re.Match[str]) -> Markup:
        kind, content = str(found.lastgroup), found[found.lastgroup or 0]
        match kind:
            case "code":
                return Markup("<code>{}</code>").format(_plain(content, self.directory, self.now))
            case "token":
                return token(content, self.directory, self.now)
            case "url":
                return link(unescaped(content), unescaped(content))
            case "emoji":
                return emoji_html(content)
            case _:
                return _STYLES[kind].format(self.html(content))


def token(inner: str, directory: Directory, now: datetime) -> Markup:
    """What stands between ``<`` and ``>``: a mention, a date or a link."""
    body, _, label = inner.partition("|")
    label = unescaped(label)
    match body[:1]:
        case "@":
            return mention("@", directory.users.get(body[1:]) or label or "unknown", is_me=directory.is_me(body[1:]))
        case "#":
            return mention("#", directory.channels.get(body[1:]) or label or "unknown", is_me=False)
        case "!":
            return _command(body[1:], label, directory, now)
        case _:
            url = unescaped(body)
            return link(url, label or url.removeprefix("mailto:")) if label or ":" in url else escape(f"<{url}>")


def _command(body: str, label: str, directory: Directory, now: datetime) -> Markup:
    name, *arguments = body.split("^")
    if name == "subteam" and arguments:
        group = arguments[0]
        handle = directory.groups.get(group) or label.removeprefix("@") or "unknown"
        return mention("@", handle, is_me=directory.is_me(group))
    if name == "date" and len(arguments) >= 2 and re.fullmatch(r"\d{1,12}", arguments[0]):
        shown = date(int(arguments[0]), unescaped(arguments[1]), directory, now)
        return link(unescaped(arguments[2]), shown) if len(arguments) > 2 else shown
    if name in {"here", "channel", "everyone"}:
        return mention("@", name, is_me=True)
    return escape(label or f"<{name}>")


def _plain(text: str, directory: Directory, now: datetime) -> Markup:
    """Text in code: tokens show what they stand for, nothing is set in bold."""
    pieces = _TOKEN.split(text)
    return Markup().join(
        token(piece, directory, now) if index % 2 else escape(unescaped(piece)) for index, piece in enumerate(pieces)
    )


def _broken(text: str) -> Markup:
    return Markup("<br>").join(escape(line) for line in text.split("\n"))


def _lines(text: str, line: _Line) -> Markup:
    """Lines with breaks between, and quoted ones gathered."""
    if not text:
        return Markup()
    groups: list[tuple[bool, list[Markup]]] = []
    for raw in text.split("\n"):
        is_quote = _QUOTE.match(raw) is not None
        html = line.html(_QUOTE.sub("", raw) if is_quote else raw)
        if groups and groups[-1][0] == is_quote:
            groups[-1][1].append(html)
        else:
            groups.append((is_quote, [html]))
    drawn: Callable[[list[Markup]], Markup] = Markup("<br>").join
    return Markup().join(
        Markup("<blockquote>{}</blockquote>").format(drawn(of)) if quote else drawn(of) for quote, of in groups
    )
