"""Blocks: the long-standing ones. Every block is checked here; the newer kinds are in `new_blocks`.

Source: https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from bot.lab.slack.message import elements
from bot.lab.slack.validate import new_blocks, rich_text, texts
from bot.lab.slack.validate.elements import IN_ACTIONS, IN_CONTEXT, IN_INPUT, IN_SECTION
from bot.lab.slack.validate.walk import (
    Check,
    Surface,
    Walk,
    as_object,
    enum,
    exactly_one_of,
    fields,
    flag,
    items,
    one_of,
    string,
    url,
)
from bot.lab.types import Json

_ID = {"type": string(), "block_id": string(255)}
_EVERYWHERE: frozenset[Surface] = frozenset({"message", "modal", "home"})


def _input_element(walk: Walk, value: Any, pointer: str) -> None:
    IN_INPUT(walk, value, pointer)
    if isinstance(value, dict) and cast("Json", value).get("type") == "file_input" and walk.surface != "modal":
        walk.fail(f"{pointer}/type", "file_input is only supported in modals")


_BLOCKS: Mapping[str, Check] = {
    "section": fields(
        {},
        {
            **_ID,
            "text": texts.text(3000),
            "fields": items(texts.text(2000), 10),
            "accessory": IN_SECTION,
            "expand": flag,
        },
        one_of("text", "fields"),
    ),
    "header": fields({"text": texts.plain_text(150)}, _ID),
    "divider": fields({}, _ID),
    "image": fields(
        {"alt_text": string(2000)},
        {**_ID, "image_url": url(), "slack_file": texts.SLACK_FILE, "title": texts.plain_text(2000)},
        exactly_one_of("image_url", "slack_file"),
    ),
    "context": fields({"elements": items(IN_CONTEXT, 10)}, _ID),
    "actions": fields({"elements": items(IN_ACTIONS, 25)}, _ID),
    "input": fields(
        {"label": texts.plain_text(2000), "element": _input_element},
        {**_ID, "hint": texts.plain_text(2000), "optional": flag, "dispatch_action": flag},
    ),
    "rich_text": fields(rich_text.FIELDS, _ID),
    "file": fields({"external_id": string(), "source": enum("remote")}, _ID),
    "video": fields(
        {"alt_text": string(), "title": texts.plain_text(199), "thumbnail_url": url(), "video_url": url()},
        {
            **_ID,
            "author_name": string(49),
            "description": texts.plain_text(199),
            "provider_icon_url": url(),
            "provider_name": string(),
            "title_url": url(schemes="https"),
        },
    ),
}
_SURFACES: Mapping[str, frozenset[Surface]] = {"file": frozenset({"message"}), **new_blocks.SURFACES}


def _table() -> Mapping[str, Check]:
    return {**_BLOCKS, **new_blocks.blocks(block)}


def block(walk: Walk, value: Any, pointer: str) -> None:
    """One block, and what is unique about it: its block_id in the message, its action_ids in the block."""
    given = as_object(walk, value, pointer)
    if given is None:
        return
    kind = given.get("type")
    check = _ALL.get(kind) if isinstance(kind, str) else None
    if kind is None:
        walk.fail(pointer, "missing required field: type")
    elif check is None:
        walk.fail(f"{pointer}/type", f"unsupported type: {kind}")
    else:
        if walk.surface not in _SURFACES.get(str(kind), _EVERYWHERE):
            walk.fail(f"{pointer}/type", f"unsupported type: {kind} (not in a {walk.surface})")
        check(walk, given, pointer)
        _unique(walk, given, pointer)


def _unique(walk: Walk, given: Json, pointer: str) -> None:
    block_id = given.get("block_id")
    if isinstance(block_id, str) and block_id:
        if block_id in walk.block_ids:
            walk.fail(f"{pointer}/block_id", f"block_id already exists: {block_id}")
        walk.block_ids.add(block_id)
    if given.get("type") in {"container", "carousel"}:
        return  # their blocks are inspected one by one
    seen: set[str] = set()
    for _, element in elements([given]):
        action_id = str(element["action_id"])
        if action_id in seen:
            walk.fail(pointer, f"action_id already exists in the block: {action_id}")
        seen.add(action_id)


_ALL: Mapping[str, Check] = _table()
Blocks = Callable[[Walk, Any, str], None]


def blocks(most: int, *, least: int = 0) -> Check:
    """A list of blocks."""
    return items(block, most, least=least)
