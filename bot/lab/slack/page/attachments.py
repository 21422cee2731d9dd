"""Legacy attachments, the form in which Alertmanager posts, to HTML.

Source: https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from bot.lab.slack.page import dates
from bot.lab.slack.page.blocks import Context
from bot.lab.slack.page.mrkdwn import link, mrkdwn, plain
from bot.lab.slack.page.shape import items, rows, string
from bot.lab.types import Json

_COLOURS: Final = {"good": "#2eb67d", "warning": "#daa038", "danger": "#d72638"}


def attachment_html(attachment: Json, context: Context) -> Markup:
    """Pretext, then a bar in the attachment's colour beside title, text, fields and footer; its blocks come after."""
    parts = [
        _block("author", mrkdwn(string(attachment, "author_name"), context.directory, context.now)),
        _block("title", _title(attachment)),
        _block("text", _formatted(attachment, "text", context)),
        _fields(attachment, context),
        _block("footer", _footer(attachment, context)),
    ]
    body = Markup().join(parts)
    if not body and not items(attachment, "blocks"):
        body = _block("text", escape(string(attachment, "fallback")))
    if body:
        body = Markup('<div class="attachment" style="--bar:{}">{}</div>').format(colour_of(attachment), body)
    return _block("pretext", _formatted(attachment, "pretext", context)) + body


def _block(kind: str, html: Markup) -> Markup:
    return Markup('<div class="attachment-{}">{}</div>').format(kind, html) if html else html


def colour_of(attachment: Json) -> str:
    """The bar's colour, for a style."""
    colour = string(attachment, "color")
    if re.fullmatch(r"#?[0-9a-fA-F]{6}", colour):
        return f"#{colour.removeprefix('#')}"
    return _COLOURS.get(colour, "var(--line-strong)")


def _title(attachment: Json) -> Markup:
    title = plain(string(attachment, "title"))
    url = string(attachment, "title_link")
    return link(url, title) if url and title else title


def _formatted(attachment: Json, name: str, context: Context) -> Markup:
    """Attachments format only what ``mrkdwn_in`` names, and without it the text and the pretext."""
    text = string(attachment, name)
    if name in (rows(attachment, "mrkdwn_in") or ["text", "pretext"]):
        return mrkdwn(text, context.directory, context.now)
    return plain(text)


def _fields(attachment: Json, context: Context) -> Markup:
    cells = [
        Markup('<div class="{}"><b>{}</b><div>{}</div></div>').format(
            "short" if field.get("short") else "long",
            plain(string(field, "title")),
            mrkdwn(string(field, "value"), context.directory, context.now),
        )
        for field in items(attachment, "fields")
    ]
    return _block("fields", Markup().join(cells))


def _footer(attachment: Json, context: Context) -> Markup:
    footer = mrkdwn(string(attachment, "footer"), context.directory, context.now)
    moment = string(attachment, "ts")
    if not re.fullmatch(r"\d{1,12}(\.\d+)?", moment):
        return footer
    at = context.directory.at(float(moment))
    when = Markup('<time title="{}">{}</time>').format(
        dates.full(at), dates.formatted("{date_short_pretty} {time}", at, context.now)
    )
    return Markup(" · ").join([footer, when]) if footer else when
