"""Messages: blocks, attachments, metadata, and how long they may be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from bot.lab.slack.validate.blocks import blocks
from bot.lab.slack.validate.new_blocks import MARKDOWN_MOST
from bot.lab.slack.validate.problem import Problem
from bot.lab.slack.validate.walk import Check, Walk, anything, enum, fields, flag, items, string
from bot.lab.types import Json

BLOCKS_MOST = 50
ATTACHMENTS_MOST = 100
BLOCKS_JSON_MOST = 13_200
"""All blocks of a message as compact JSON. Slack documents no number; this is where it began to refuse.

Source: https://github.com/slackapi/bolt-js/issues/2509 and https://github.com/slackapi/bolt-js/issues/2867
"""
METADATA_MOST = 8000
_CHARTS_MOST = 2
_TEXT_OR_NUMBER: Check = anything
_FIELD = fields({}, {"title": string(least=0), "value": string(least=0), "short": flag})
_ATTACHMENT_TEXTS = (
    "fallback", "color", "pretext", "author_name", "author_link", "author_icon", "title", "title_link", "text",
    "image_url", "thumb_url", "footer", "footer_icon", "callback_id", "author_id", "author_subname", "from_url",
    "original_url", "service_name", "service_icon",
)  # fmt: skip
_OLD_ACTION = fields(
    {"type": enum("button", "select"), "text": string()},
    {
        "name": string(least=0),
        "url": string(least=0),
        "style": string(least=0),
        "value": string(2000, least=0),
        "confirm": anything,
        "options": anything,
    },
)
_ATTACHMENT_FIELDS: Mapping[str, Check] = {
    **{name: string(least=0) for name in _ATTACHMENT_TEXTS},
    "fields": items(_FIELD, least=0),
    "actions": items(_OLD_ACTION, 5, least=0),
    "mrkdwn_in": items(enum("text", "pretext", "fields", "title", "fallback"), least=0),
    "ts": _TEXT_OR_NUMBER,
    "id": anything,
    "blocks": blocks(BLOCKS_MOST),
}
_ATTACHMENT = fields({}, _ATTACHMENT_FIELDS)
_EVENT_TYPE = re.compile(r"[a-zA-Z0-9_.:-]{1,255}")


def validate_message(payload: Mapping[str, Any]) -> list[Problem]:
    """Why Slack would refuse this message; empty when it is fine.

    The payload has `text`, `blocks`, `attachments` and `metadata`, each optional, as for chat.postMessage. Problems
    with `is_warning` do not refuse it: `text` is missing beside blocks, or would be cut.
    """
    walk = Walk(surface="message")
    given = payload.get("blocks")
    if given is not None and given != []:
        _blocks(walk, given)
    _attachments(walk, payload.get("attachments"))
    _metadata(walk, payload.get("metadata"))
    return [*walk.problems, *_text(payload)]


def _blocks(walk: Walk, given: Any) -> None:
    if not isinstance(given, list):
        walk.fail("/blocks", "must provide an array", "invalid_blocks_format")
        return
    blocks(BLOCKS_MOST)(walk, given, "/blocks")
    known = [cast("Json", one) for one in cast("list[Any]", given) if isinstance(one, dict)]
    _together(walk, [*known, *_inside(known)])
    if not walk.problems and len(json.dumps(given, separators=(",", ":"), ensure_ascii=False)) > BLOCKS_JSON_MOST:
        walk.fail("/blocks", f"must be less than {BLOCKS_JSON_MOST + 1} characters as JSON", "msg_blocks_too_long")


def _inside(known: list[Json]) -> list[Json]:
    children = [one.get("child_blocks") for one in known]
    lists = [cast("list[Any]", one) for one in children if isinstance(one, list)]
    return [cast("Json", one) for given in lists for one in given if isinstance(one, dict)]


def _together(walk: Walk, known: list[Json]) -> None:
    """What a message may hold only so much of."""
    markdown = [one.get("text") for one in known if one.get("type") == "markdown"]
    if sum(len(text) for text in markdown if isinstance(text, str)) > MARKDOWN_MOST:
        walk.fail("/blocks", f"markdown blocks must be less than {MARKDOWN_MOST + 1} characters together")
    if sum(one.get("type") == "table" for one in known) > 1:
        walk.fail("/blocks", "only_one_table_allowed", "invalid_attachments")
    if sum(one.get("type") == "data_visualization" for one in known) > _CHARTS_MOST:
        walk.fail("/blocks", f"no more than {_CHARTS_MOST} data_visualization blocks allowed")


def _attachments(walk: Walk, given: Any) -> None:
    if given is None or given == []:
        return
    if not isinstance(given, list):
        walk.fail("/attachments", "must provide an array", "invalid_attachments")
        return
    attachments = cast("list[Any]", given)
    if len(attachments) > ATTACHMENTS_MOST:
        walk.fail("/attachments", f"no more than {ATTACHMENTS_MOST} items allowed", "too_many_attachments")
    found = len(walk.problems)
    for index, one in enumerate(attachments):
        _ATTACHMENT(walk, one, f"/attachments/{index}")
    walk.problems[found:] = [_as_attachments(problem) for problem in walk.problems[found:]]


def _as_attachments(problem: Problem) -> Problem:
    """Blocks in attachments are invalid blocks; everything else is an invalid attachment."""
    error = problem.error if "/blocks/" in problem.pointer else "invalid_attachments"
    return Problem(error=error, sentence=problem.sentence, pointer=problem.pointer)


def _metadata(walk: Walk, given: Any) -> None:
    if given is None or given == {}:
        return
    if not isinstance(given, dict):
        walk.fail("/metadata", "must provide an object", "invalid_metadata_format")
        return
    metadata: Json = cast("Json", given)
    kind, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(kind, str) or not _EVENT_TYPE.fullmatch(kind) or not isinstance(payload, dict):
        walk.fail("/metadata", "needs event_type and event_payload", "invalid_metadata_schema")
    elif len(json.dumps(payload)) > METADATA_MOST:
        walk.fail("/metadata", f"must be less than {METADATA_MOST} bytes", "metadata_too_large")


def _text(payload: Mapping[str, Any]) -> list[Problem]:
    """About `text`; only what is not text at all is refused."""
    text, has_blocks = payload.get("text"), bool(payload.get("blocks"))
    if text is not None and not isinstance(text, str):
        return [Problem(error="invalid_arguments", sentence="must be a string", pointer="/text")]
    if not text and has_blocks:
        missing = "the text that notifications and screen readers use is missing"
        return [Problem(error="missing_text_in_message", sentence=missing, pointer="/text", is_warning=True)]
    if text and len(text) > 40_000:
        cut = "longer than 40,000 characters, will be cut"
        return [Problem(error="message_truncated", sentence=cut, pointer="/text", is_warning=True)]
    return []
