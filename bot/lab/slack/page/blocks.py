"""Block Kit to HTML: what a block shows. What a person can press stands in `controls`.

A pure function of the block, the names and the time. A block that is not drawn says so: nothing vanishes.

Source: https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.mrkdwn import link, mrkdwn, plain
from bot.lab.slack.page.rich_text import rich_text
from bot.lab.slack.page.shape import inner, items, rows, string
from bot.lab.types import Json

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Who looks and when. ``picture(url)`` is the page's own address for a picture, None where it has none."""

    directory: Directory
    now: datetime
    picture: Callable[[str], str | None] = lambda _: None


def text_html(text: Any, context: Context) -> Markup:
    """A text object: `plain_text` as it stands, `mrkdwn` formatted; nothing for anything else."""
    match text:
        case {"type": "mrkdwn", "text": str(content)}:
            return mrkdwn(content, context.directory, context.now)
        case {"type": "plain_text", "text": str(content)}:
            return plain(content)
        case _:
            return Markup()


def block_html(block: Json, context: Context) -> Markup:
    """A block that nobody can press, or the part of one that only shows something."""
    drawn = _DRAWN.get(str(block.get("type")))
    if drawn is None:
        return Markup('<p class="undrawn">(a block of the type “{}” that this page does not draw)</p>').format(
            block.get("type")
        )
    return drawn(block, context)


def _header(block: Json, context: Context) -> Markup:
    return Markup('<h3 class="block-header">{}</h3>').format(text_html(block.get("text"), context))


def _section(block: Json, context: Context) -> Markup:
    text = block.get("text")
    html = Markup('<div class="text">{}</div>').format(text_html(text, context)) if text else Markup()
    fields = items(block, "fields")
    if fields:
        cells = Markup().join(Markup('<div class="text">{}</div>').format(text_html(one, context)) for one in fields)
        html += Markup('<div class="fields">{}</div>').format(cells)
    return html


def _context(block: Json, context: Context) -> Markup:
    parts = Markup().join(_context_part(part, context) for part in items(block, "elements"))
    return Markup('<div class="block-context">{}</div>').format(parts)


def _context_part(part: Json, context: Context) -> Markup:
    if part.get("type") == "image":
        return Markup('<span class="tiny">{}</span>').format(image_html(part, context))
    return Markup('<span class="text">{}</span>').format(text_html(part, context))


def _divider(_block: Json, _context: Context) -> Markup:
    return Markup('<hr class="block-divider">')


def _image(block: Json, context: Context) -> Markup:
    title = text_html(block.get("title"), context)
    caption = Markup("<figcaption>{}</figcaption>").format(title) if title else Markup()
    return Markup('<figure class="block-image">{}{}</figure>').format(caption, image_html(block, context))


def image_html(image: Json, context: Context) -> Markup:
    """The picture where the page has it, else what it shows in words: the page fetches nothing from elsewhere."""
    file = inner(image, "slack_file")
    url = string(image, "image_url") or string(file, "url") or string(file, "id")
    alt = string(image, "alt_text")
    address = context.picture(url)
    if address is None:
        where = link(url, urlsplit(url).netloc or "elsewhere") if url.startswith("http") else escape("elsewhere")
        return Markup('<span class="no-picture">🖼 {} <small>({})</small></span>').format(alt, where)
    return Markup('<img src="{}" alt="{}" loading="lazy">').format(address, alt)


def _rich_text(block: Json, context: Context) -> Markup:
    return Markup('<div class="rich">{}</div>').format(rich_text(block, context.directory, context.now))


def _markdown(block: Json, _context: Context) -> Markup:
    rendered: str = _MARKDOWN.render(string(block, "text"))
    return Markup('<div class="markdown">{}</div>').format(Markup(rendered))  # noqa: S704 its HTML is off


def _table(block: Json, context: Context) -> Markup:
    aligns = [_align(setting) for setting in rows(block, "column_settings")]
    lines = [
        Markup("<tr>{}</tr>").format(_cells(items({"row": row}, "row"), aligns, _CELLS[number > 0], context))
        for number, row in enumerate(rows(block, "rows"))
    ]
    body = Markup("<thead>{}</thead><tbody>{}</tbody>").format(Markup().join(lines[:1]), Markup().join(lines[1:]))
    return Markup('<div class="block-table"><table>{}</table></div>').format(body)


_CELLS: Final = (Markup('<th class="{}">{}</th>'), Markup('<td class="{}">{}</td>'))


def _align(setting: object) -> str:
    align = string(cast("Json", setting), "align") if isinstance(setting, dict) else ""
    return align if align in {"center", "right"} else "left"


def _cells(cells: list[Json], aligns: list[str], tag: Markup, context: Context) -> Markup:
    return Markup().join(
        tag.format(aligns[at] if at < len(aligns) else "left", _cell(cell, context)) for at, cell in enumerate(cells)
    )


def _cell(cell: Json, context: Context) -> Markup:
    if cell.get("type") == "rich_text":
        return rich_text(cell, context.directory, context.now)
    return plain(string(cell, "text"))


def _alert(block: Json, context: Context) -> Markup:
    asked = string(block, "level")
    level = asked if asked in {"info", "success", "warning", "error"} else "default"
    return Markup('<div class="block-alert {}" role="note">{}</div>').format(
        level, text_html(block.get("text"), context)
    )


def _container(block: Json, context: Context) -> Markup:
    inner = Markup().join(block_html(child, context) for child in items(block, "child_blocks"))
    title = text_html(block.get("title"), context) or escape("More")
    return Markup('<details class="block-container"><summary>{}</summary>{}</details>').format(title, inner)


_MARKS: Final = {"complete": "✅", "in_progress": "⏳", "error": "❌", "pending": "○"}


def _task_card(block: Json, context: Context) -> Markup:
    mark = _MARKS.get(str(block.get("status")), "○")
    more = Markup().join(_rich_text(inner(block, part), context) for part in ("details", "output"))
    return Markup('<div class="block-task"><span>{}</span><div><b>{}</b>{}</div></div>').format(
        mark, string(block, "title"), more
    )


def _plan(block: Json, context: Context) -> Markup:
    tasks = Markup().join(_task_card(task, context) for task in items(block, "tasks"))
    return Markup('<div class="block-plan"><b>{}</b>{}</div>').format(string(block, "title"), tasks)


_DRAWN: Final[dict[str, Callable[[Json, Context], Markup]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "divider": _divider,
    "image": _image,
    "rich_text": _rich_text,
    "markdown": _markdown,
    "table": _table,
    "alert": _alert,
    "container": _container,
    "task_card": _task_card,
    "plan": _plan,
}
