"""rich_text blocks.

Source: https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

from __future__ import annotations

from bot.lab.slack.validate.walk import Check, enum, fields, flag, integer, items, kinds, string, url

_STYLE = fields(
    {},
    dict.fromkeys(("bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink"), flag),
)
_KIND = {"type": string()}
_STYLED = {"style": _STYLE}
_BORDER = {"border": integer(0, 1)}

_INLINE: dict[str, Check] = {
    "text": fields({**_KIND, "text": string()}, _STYLED),
    "link": fields({**_KIND, "url": url(schemes="https?|mailto|tel")}, {"text": string(), "unsafe": flag, **_STYLED}),
    "emoji": fields({**_KIND, "name": string()}, {"unicode": string(), "skin_tone": integer(1, 6), **_STYLED}),
    "user": fields({**_KIND, "user_id": string()}, _STYLED),
    "usergroup": fields({**_KIND, "usergroup_id": string()}, _STYLED),
    "channel": fields({**_KIND, "channel_id": string()}, _STYLED),
    "team": fields({**_KIND, "team_id": string()}, _STYLED),
    "color": fields({**_KIND, "value": string()}),
    "date": fields(
        {**_KIND, "timestamp": integer(), "format": string()}, {"url": url(), "fallback": string(), **_STYLED}
    ),
    "broadcast": fields({**_KIND, "range": enum("here", "channel", "everyone")}, _STYLED),
}
_ELEMENTS = items(kinds(_INLINE), least=0)
_SECTION = fields({**_KIND, "elements": _ELEMENTS})
_PARTS: dict[str, Check] = {
    "rich_text_section": _SECTION,
    "rich_text_list": fields(
        {**_KIND, "style": enum("bullet", "ordered"), "elements": items(kinds({"rich_text_section": _SECTION}))},
        {"indent": integer(0, 8), "offset": integer(0), **_BORDER},
    ),
    "rich_text_preformatted": fields(
        {**_KIND, "elements": items(kinds({name: _INLINE[name] for name in ("text", "link")}), least=0)},
        {**_BORDER, "language": string()},
    ),
    "rich_text_quote": fields({**_KIND, "elements": _ELEMENTS}, _BORDER),
}
FIELDS: dict[str, Check] = {"elements": items(kinds(_PARTS))}
RICH_TEXT = kinds({"rich_text": fields({**_KIND, **FIELDS}, {"block_id": string(255)})})
"""A rich_text block inside something else: a table's cell, a task's details."""
