"""Blocks of 2025 and 2026: markdown, tables, charts, cards, tasks, containers.

Source: https://docs.slack.dev/reference/block-kit/blocks (each block's page, for its limits)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from bot.lab.slack.validate import rich_text, texts
from bot.lab.slack.validate.elements import IMAGE, IN_CARD, IN_CONTEXT_ACTIONS, OVERFLOW
from bot.lab.slack.validate.walk import (
    Check,
    Surface,
    Walk,
    enum,
    fields,
    flag,
    integer,
    items,
    kinds,
    number,
    one_of,
    string,
    url,
)
from bot.lab.types import Json

MARKDOWN_MOST = 12_000
"""All markdown blocks of a message together."""
TABLE_CHARACTERS, DATA_TABLE_CHARACTERS = 10_000, 20_000
_ID = {"type": string(), "block_id": string(255)}
_MESSAGE: frozenset[Surface] = frozenset({"message"})
SURFACES: Mapping[str, frozenset[Surface]] = {
    "markdown": _MESSAGE,
    "table": _MESSAGE,
    "context_actions": _MESSAGE,
    "task_card": _MESSAGE,
    "plan": _MESSAGE,
    "card": _MESSAGE,
    "carousel": _MESSAGE,
    "data_visualization": _MESSAGE,
    "container": _MESSAGE,
    "alert": frozenset({"modal"}),
    "data_table": frozenset({"message", "home"}),
}
_RAW: Mapping[str, Check] = {"raw_text": texts.RAW_TEXT, "raw_number": texts.RAW_NUMBER}
_CELL = kinds({**_RAW, "rich_text": rich_text.RICH_TEXT})
_HEADER_CELL = kinds({"raw_text": texts.RAW_TEXT})


def characters(value: Any) -> int:
    """How much text a value holds, in all its `text` fields."""
    if isinstance(value, list):
        return sum(characters(one) for one in cast("list[Any]", value))
    if not isinstance(value, dict):
        return 0
    node: Json = cast("Json", value)
    text = node.get("text")
    own = len(text) if isinstance(text, str) else 0
    return own + sum(characters(inner) for inner in node.values())


def _cells(most: int) -> Check:
    def check(walk: Walk, value: Any, pointer: str) -> None:
        if characters(value.get("rows")) > most:
            walk.fail(f"{pointer}/rows", f"must be less than {most + 1} characters in all cells")

    return check


def _rectangle(walk: Walk, value: Any, pointer: str) -> None:
    rows: Any = value.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in cast("list[Any]", rows)):
        return
    given = cast("list[list[Any]]", rows)
    if len({len(row) for row in given}) > 1:
        walk.fail(f"{pointer}/rows", "all rows must have the same number of cells")
    for index, cell in enumerate(given[0] if given else []):
        _HEADER_CELL(walk, cell, f"{pointer}/rows/0/{index}")


_POINT = fields({"label": string(20), "value": number})
_SERIES = fields({"name": string(20), "data": items(_POINT, 20)})
_AXES = fields({"categories": items(string(20), 20)}, {"x_label": string(50), "y_label": string(50)})
_XY = fields({"type": string(), "series": items(_SERIES, 12), "axis_config": _AXES})
_CHART = kinds(
    {
        "pie": fields({"type": string(), "segments": items(_POINT, 12)}),
        "bar": _XY,
        "area": _XY,
        "line": _XY,
    }
)
_CARD_FIELDS: Mapping[str, Check] = {
    "hero_image": kinds({"image": IMAGE}),
    "icon": kinds({"image": IMAGE}),
    "title": texts.text(150),
    "subtitle": texts.text(150),
    "body": texts.text(200),
    "actions": items(IN_CARD, 3),
}
_CARD = fields({}, {**_ID, **_CARD_FIELDS}, one_of("hero_image", "title", "actions", "body"))
_SOURCE = fields({"type": enum("url"), "url": url(), "text": string()})
_TASK_FIELDS: Mapping[str, Check] = {
    "task_id": string(255),
    "title": string(),
    "status": enum("pending", "in_progress", "complete", "error"),
}
_TASK = fields(
    _TASK_FIELDS,
    {**_ID, "details": rich_text.RICH_TEXT, "output": rich_text.RICH_TEXT, "sources": items(_SOURCE, least=0)},
)
_COLUMN = fields({}, {"align": enum("left", "center", "right"), "is_wrapped": flag})


def _header_divider(walk: Walk, value: Any, pointer: str) -> None:
    if value.get("is_collapsible") and value.get("has_header_divider"):
        walk.fail(f"{pointer}/has_header_divider", "cannot be set when is_collapsible is true")
    if value.get("default_collapsed") and not value.get("is_collapsible"):
        walk.fail(f"{pointer}/default_collapsed", "requires is_collapsible")


_IN_CONTAINER = frozenset({
    "actions", "context", "divider", "file", "header", "image", "input", "rich_text", "section", "table", "video",
})  # fmt: skip


def blocks(block: Check) -> Mapping[str, Check]:
    """The table of these blocks; `block` checks a block inside a container or carousel."""

    def inside(walk: Walk, value: Any, pointer: str) -> None:
        kind = cast("Json", value).get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind not in _IN_CONTAINER:
            walk.fail(f"{pointer}/type", f"unsupported type: {kind} (not in a container)")
        else:
            block(walk, value, pointer)

    def card(walk: Walk, value: Any, pointer: str) -> None:
        if isinstance(value, dict) and cast("Json", value).get("type") != "card":
            walk.fail(f"{pointer}/type", "must be a card")
        else:
            block(walk, value, pointer)

    return {
        "markdown": fields({"text": string(MARKDOWN_MOST)}, _ID),
        "table": fields(
            {"rows": items(items(_CELL, 20), 100)},
            {**_ID, "column_settings": items(_COLUMN, 20, least=0)},
            _cells(TABLE_CHARACTERS),
        ),
        "data_table": fields(
            {"rows": items(items(_CELL, 20), 201, least=2), "caption": string()},
            {**_ID, "page_size": integer(1, 100), "row_header_column_index": integer(0, 19)},
            _rectangle,
            _cells(DATA_TABLE_CHARACTERS),
        ),
        "data_visualization": fields({"title": string(50), "chart": _CHART}, _ID),
        "context_actions": fields({"elements": items(IN_CONTEXT_ACTIONS, 5)}, _ID),
        "alert": fields(
            {"text": texts.text(200)}, {**_ID, "level": enum("default", "info", "warning", "error", "success")}
        ),
        "card": _CARD,
        "carousel": fields({"elements": items(card, 10)}, _ID),
        "task_card": _TASK,
        "plan": fields({"title": string()}, {**_ID, "tasks": items(kinds({"task_card": _TASK}), 50)}),
        "container": fields(
            {"child_blocks": items(inside, 10)},
            {
                **_ID,
                "title": texts.plain_text(150),
                "rich_text_title": rich_text.RICH_TEXT,
                "subtitle": texts.text(150),
                "width": enum("narrow", "standard", "wide", "full"),
                "icon": kinds({"image": IMAGE}),
                "is_collapsible": flag,
                "default_collapsed": flag,
                "has_header_divider": flag,
            },
            one_of("title", "rich_text_title"),
            _header_divider,
        ),
        "auth_provider": fields(
            {"value": string(150), "name": texts.plain_text(75), "is_connected": flag},
            {
                **_ID,
                "description": texts.plain_text(150),
                "icon_url": url(),
                "auth_url": url(),
                "disconnect_url": url(),
                "connected_identity": texts.plain_text(75),
                "connected_context": texts.plain_text(75),
                "accessory": kinds({"overflow": OVERFLOW}),
                "fallback": items(block, 50),
            },
        ),
    }
