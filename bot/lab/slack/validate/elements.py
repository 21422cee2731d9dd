"""Elements: buttons, menus, pickers, inputs, and where each may stand.

Source: https://docs.slack.dev/reference/block-kit/block-elements
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.lab.slack.validate import texts
from bot.lab.slack.validate.rich_text import RICH_TEXT
from bot.lab.slack.validate.walk import (
    Check,
    Walk,
    anything,
    enum,
    exactly_one_of,
    fields,
    flag,
    integer,
    items,
    kinds,
    matching,
    string,
    url,
)

_KIND = {"type": string()}
_ACTION = {"action_id": string(255)}
_CONFIRM = {**_ACTION, "confirm": texts.CONFIRM}
_FOCUS = {**_CONFIRM, "focus_on_load": flag, "placeholder": texts.plain_text(150)}
_STYLE = {"style": enum("primary", "danger")}
_SEVERAL = {"max_selected_items": integer(1)}
_IDS = items(string(), least=0)
_DATE = matching(r"\d{4}-\d{2}-\d{2}", "date")
_TIME = matching(r"\d{2}:\d{2}", "time")
_NUMERIC = matching(r"-?\d+(\.\d+)?", "number")
_RADIO_OPTIONS = items(texts.option(texts.text(75)), 10)


def _focus(walk: Walk, value: Any, pointer: str) -> None:
    """Only views have a cursor to place."""
    if walk.surface == "message" and value.get("focus_on_load"):
        walk.fail(f"{pointer}/focus_on_load", "focus_on_load is only supported in views")


def _stateful(optional: Mapping[str, Check], *more: Check, required: Mapping[str, Check] | None = None) -> Check:
    return fields({**_KIND, **(required or {})}, {**_FOCUS, **optional}, _focus, *more)


def _input(optional: Mapping[str, Check]) -> Check:
    return _stateful({"dispatch_action_config": texts.DISPATCH, **optional})


def _select(optional: Mapping[str, Check], *more: Check) -> Check:
    return _stateful(optional, *more)


_STATIC = {"options": texts.options(), "option_groups": texts.OPTION_GROUPS}
_OPTION = texts.option(texts.plain_text(75))

BUTTON = fields(
    {**_KIND, "text": texts.plain_text(75)},
    {
        **_CONFIRM,
        **_STYLE,
        "url": url(),
        "value": string(2000),
        "accessibility_label": string(75),
        "visible_to_user_ids": items(string(), 100),
    },
)
IMAGE = fields(
    {**_KIND, "alt_text": string(2000)},
    {"image_url": url(), "slack_file": texts.SLACK_FILE},
    exactly_one_of("image_url", "slack_file"),
)
OVERFLOW = fields({**_KIND, "options": items(texts.option(texts.plain_text(75), with_url=True), 5)}, _CONFIRM)
_FEEDBACK = fields({"text": texts.plain_text(75), "value": string(2000)}, {"accessibility_label": string(75)})

ELEMENTS: Mapping[str, Check] = {
    "button": BUTTON,
    "image": IMAGE,
    "overflow": OVERFLOW,
    "workflow_button": fields(
        {**_KIND, "text": texts.plain_text(75), "workflow": anything},
        {**_ACTION, **_STYLE, "accessibility_label": string(75)},
    ),
    "icon_button": fields(
        {**_KIND, "text": texts.plain_text(75), "icon": enum("trash")},
        {
            **_CONFIRM,
            "value": string(2000),
            "accessibility_label": string(75),
            "visible_to_user_ids": items(string(), 100),
        },
    ),
    "feedback_buttons": fields({**_KIND, "positive_button": _FEEDBACK, "negative_button": _FEEDBACK}, _ACTION),
    "static_select": _select({**_STATIC, "initial_option": _OPTION}, texts.CHOICES, texts.initial),
    "multi_static_select": _select(
        {**_STATIC, **_SEVERAL, "initial_options": items(_OPTION, 100)}, texts.CHOICES, texts.initial
    ),
    "external_select": _select({"initial_option": _OPTION, "min_query_length": integer(0)}),
    "multi_external_select": _select(
        {**_SEVERAL, "initial_options": items(_OPTION, 100), "min_query_length": integer(0)}
    ),
    "users_select": _select({"initial_user": string()}),
    "multi_users_select": _select({**_SEVERAL, "initial_users": _IDS}),
    "conversations_select": _select(
        {
            "initial_conversation": string(),
            "default_to_current_conversation": flag,
            "response_url_enabled": flag,
            "filter": texts.FILTER,
        }
    ),
    "multi_conversations_select": _select(
        {
            **_SEVERAL,
            "initial_conversations": _IDS,
            "default_to_current_conversation": flag,
            "filter": texts.FILTER,
        }
    ),
    "channels_select": _select({"initial_channel": string(), "response_url_enabled": flag}),
    "multi_channels_select": _select({**_SEVERAL, "initial_channels": _IDS}),
    "checkboxes": _stateful(
        {"initial_options": items(texts.option(texts.text(75)), 10)},
        texts.initial,
        required={"options": _RADIO_OPTIONS},
    ),
    "radio_buttons": _stateful(
        {"initial_option": texts.option(texts.text(75))}, texts.initial, required={"options": _RADIO_OPTIONS}
    ),
    "datepicker": _stateful({"initial_date": _DATE}),
    "timepicker": _stateful({"initial_time": _TIME, "timezone": string()}),
    "datetimepicker": _stateful({"initial_date_time": integer(1_000_000_000, 9_999_999_999)}),
    "plain_text_input": _input(
        {
            "initial_value": string(3000, least=0),
            "multiline": flag,
            "min_length": integer(0, 3000),
            "max_length": integer(1, 3000),
        }
    ),
    "email_text_input": _input({"initial_value": string()}),
    "url_text_input": _input({"initial_value": string()}),
    "number_input": fields(
        {**_KIND, "is_decimal_allowed": flag},
        {
            **_FOCUS,
            "dispatch_action_config": texts.DISPATCH,
            "initial_value": _NUMERIC,
            "min_value": _NUMERIC,
            "max_value": _NUMERIC,
        },
        _focus,
    ),
    "rich_text_input": _input({"initial_value": RICH_TEXT, "min_lines": integer(1), "max_lines": integer(1)}),
    "file_input": fields(_KIND, {**_ACTION, "filetypes": items(string()), "max_files": integer(1, 10)}),
}

_SELECTS = frozenset({
    "static_select", "external_select", "users_select", "conversations_select", "channels_select",
})  # fmt: skip
_MULTI_SELECTS = frozenset(f"multi_{name}" for name in _SELECTS)
_PICKERS = frozenset({"datepicker", "timepicker", "checkboxes", "radio_buttons"})
_INPUTS = frozenset({
    "plain_text_input", "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input",
    "datetimepicker",
})  # fmt: skip

IN_ACTIONS = kinds(
    ELEMENTS, only=_SELECTS | _PICKERS | {"button", "overflow", "datetimepicker", "workflow_button", "rich_text_input"}
)
IN_SECTION = kinds(
    ELEMENTS, only=_SELECTS | _MULTI_SELECTS | _PICKERS | {"button", "overflow", "image", "workflow_button"}
)
IN_INPUT = kinds(ELEMENTS, only=_SELECTS | _MULTI_SELECTS | _PICKERS | _INPUTS)
IN_CONTEXT = kinds({"image": IMAGE, **{name: texts.text(3000) for name in ("plain_text", "mrkdwn")}})
IN_CONTEXT_ACTIONS = kinds(ELEMENTS, only=frozenset({"icon_button", "feedback_buttons"}))
IN_CARD = kinds(ELEMENTS, only=frozenset({"button"}))
