"""Views: modals and the Home tab.

Source: https://docs.slack.dev/reference/views
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from bot.lab.slack.validate import texts
from bot.lab.slack.validate.blocks import blocks
from bot.lab.slack.validate.problem import Problem
from bot.lab.slack.validate.walk import Walk, enum, fields, flag, string
from bot.lab.types import Json

BLOCKS_MOST = 100
VIEW_MOST_BYTES = 250_000
_COMMON = {"callback_id": string(255), "private_metadata": string(3000, least=0), "external_id": string(255, least=0)}
_MODAL = fields(
    {"type": enum("modal"), "title": texts.plain_text(24), "blocks": blocks(BLOCKS_MOST)},
    {
        **_COMMON,
        "submit": texts.plain_text(24),
        "close": texts.plain_text(24),
        "clear_on_close": flag,
        "notify_on_close": flag,
        "submit_disabled": flag,
    },
)
_HOME = fields({"type": enum("home"), "blocks": blocks(BLOCKS_MOST)}, _COMMON)


def validate_view(view: Any) -> list[Problem]:
    """Why Slack would refuse this modal or Home tab; empty when it is fine."""
    if not isinstance(view, dict):
        return [Problem(error="invalid_arguments", sentence="must provide an object", pointer="/view")]
    given: Json = cast("Json", view)
    kind = given.get("type")
    if kind not in ("modal", "home"):  # a stranger's type may be unhashable
        return [Problem(error="invalid_arguments", sentence=f"unsupported type: {kind}", pointer="/view/type")]
    walk = Walk(surface="modal" if kind == "modal" else "home", error="invalid_arguments")
    (_MODAL if kind == "modal" else _HOME)(walk, given, "/view")
    if kind == "modal" and not given.get("submit") and _has_input(given):
        walk.fail("/view", "submit is required when an input is within blocks")
    if len(json.dumps(given).encode()) > VIEW_MOST_BYTES:
        return [Problem(error="view_too_large", sentence=f"more than {VIEW_MOST_BYTES} bytes", pointer="/view")]
    return walk.problems


def _has_input(view: Mapping[str, Any]) -> bool:
    given: Any = view.get("blocks")
    if not isinstance(given, list):
        return False
    return any(isinstance(one, dict) and cast("Json", one).get("type") == "input" for one in cast("list[Any]", given))
