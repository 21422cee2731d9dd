"""`rich_text` blocks to HTML.

Source: https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from markupsafe import Markup, escape

from bot.lab.slack.page import mrkdwn
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.emoji import emoji_html
from bot.lab.slack.page.shape import inner, items, number, string
from bot.lab.types import Json

_STYLES: Final = {
    "code": Markup("<code>{}</code>"),
    "strike": Markup("<s>{}</s>"),
    "underline": Markup("<u>{}</u>"),
    "italic": Markup("<i>{}</i>"),
    "bold": Markup("<b>{}</b>"),
}


def rich_text(block: Json, directory: Directory, now: datetime) -> Markup:
    """Sections, lists, quotes and preformatted text, in order."""
    return Markup().join(_part(part, directory, now) for part in items(block, "elements"))


def _part(part: Json, directory: Directory, now: datetime) -> Markup:
    match part.get("type"):
        case "rich_text_list":
            return _list(part, directory, now)
        case "rich_text_preformatted":
            return Markup("<pre>{}</pre>").format(_inline(part, directory, now))
        case "rich_text_quote":
            return Markup("<blockquote>{}</blockquote>").format(_broken(part, directory, now))
        case _:
            return Markup("<p>{}</p>").format(_broken(part, directory, now))


def _list(part: Json, directory: Directory, now: datetime) -> Markup:
    entries = Markup().join(
        Markup("<li>{}</li>").format(_broken(item, directory, now)) for item in items(part, "elements")
    )
    indent = min(int(number(part, "indent")), 8)
    if part.get("style") == "ordered":
        start = int(number(part, "offset")) + 1
        return Markup('<ol class="indent-{}" start="{}">{}</ol>').format(indent, start, entries)
    return Markup('<ul class="indent-{}">{}</ul>').format(indent, entries)


def _broken(part: Json, directory: Directory, now: datetime) -> Markup:
    return Markup("<br>").join(_inline(part, directory, now).split("\n"))


def _inline(part: Json, directory: Directory, now: datetime) -> Markup:
    return Markup().join(_element(element, directory, now) for element in items(part, "elements"))


def _element(element: Json, directory: Directory, now: datetime) -> Markup:
    html = _bare(element, directory, now)
    style = inner(element, "style")
    for name, tag in _STYLES.items():
        if style.get(name):
            html = tag.format(html)
    return html


def _bare(element: Json, directory: Directory, now: datetime) -> Markup:
    match element.get("type"):
        case "link":
            return mrkdwn.link(string(element, "url"), string(element, "text") or string(element, "url"))
        case "emoji":
            return emoji_html(string(element, "name"))
        case "user" | "usergroup" | "channel" | "broadcast":
            return _mention(element, directory)
        case "date":
            return _date(element, directory, now)
        case "color":
            return _colour(string(element, "value"))
        case _:
            return escape(string(element, "text"))


def _mention(element: Json, directory: Directory) -> Markup:
    match element.get("type"):
        case "user":
            user = string(element, "user_id")
            return mrkdwn.mention("@", directory.user(user), is_me=directory.is_me(user))
        case "usergroup":
            group = string(element, "usergroup_id")
            return mrkdwn.mention("@", directory.group(group), is_me=directory.is_me(group))
        case "channel":
            return mrkdwn.mention("#", directory.channel(string(element, "channel_id")), is_me=False)
        case _:
            return mrkdwn.mention("@", string(element, "range"), is_me=True)


def _date(element: Json, directory: Directory, now: datetime) -> Markup:
    template = string(element, "format") or "{date}"
    shown = mrkdwn.date(number(element, "timestamp"), template, directory, now)
    url = string(element, "url")
    return mrkdwn.link(url, shown) if url else shown


def _colour(value: str) -> Markup:
    if not re.fullmatch(r"#[0-9a-fA-F]{3,8}", value):
        return escape(value)
    return Markup('<span class="swatch" style="background:{0}"></span>{0}').format(value)
