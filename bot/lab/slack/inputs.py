"""The state of a view: what its inputs hold, in the form that apps get it (`view.state.values`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.lab.slack.errors import UserClientError
from bot.lab.slack.message import elements
from bot.lab.types import Json

_INITIAL: dict[str, tuple[str, str]] = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
    "file_input": ("files", "initial_files"),
}
"""The key of the value in the state, and the element's own key for its first value."""
INTERACTIVE = frozenset({"button", "overflow", "icon_button", "feedback_buttons", "workflow_button", *_INITIAL})
"""Types of elements that have an action_id."""
Typed = str | int | Sequence[str] | None
"""What a person gives: text, the value of an option, an id, or several."""


def initial_values(blocks: list[Json]) -> Json:
    """The state of a fresh view: every stateful element, empty or with its initial value."""
    values: Json = {}
    for block, element in elements(blocks):
        kind = str(element.get("type"))
        if kind not in _INITIAL:
            continue
        key, initial = _INITIAL[kind]
        empty: Any = [] if key == "selected_options" or (key.startswith("selected_") and key.endswith("s")) else None
        state: Json = {"type": kind, key: element.get(initial, empty)}
        values.setdefault(block["block_id"], {})[element["action_id"]] = state
    return values


def state_of(element: Json, typed: Typed) -> Json:
    """The state of an element after a person chose or typed. Raises `UserClientError` for what the client cannot do."""
    kind = str(element.get("type"))
    if kind not in _INITIAL:
        raise UserClientError(f"nothing can be typed into a {kind}")
    key, _ = _INITIAL[kind]
    if key == "selected_option":
        return {"type": kind, key: None if typed is None else option(element, str(typed))}
    if key == "selected_options":
        return {"type": kind, key: [option(element, value) for value in _several(typed)]}
    if key.startswith("selected_") and key.endswith("s"):
        return {"type": kind, key: _several(typed)}
    return {"type": kind, key: typed if typed is None or isinstance(typed, int) else str(typed)}


def option(element: Json, value: str) -> Json:
    """The option with this value."""
    groups: list[Json] = element.get("option_groups") or []
    options: list[Json] = [*(element.get("options") or []), *(one for group in groups for one in group["options"])]
    for one in options:
        if one.get("value") == value:
            return one
    raise UserClientError(f"there is no option {value!r} in {element.get('action_id')}")


def _several(typed: Typed) -> list[str]:
    if typed is None:
        return []
    return [str(typed)] if isinstance(typed, str | int) else [str(one) for one in typed]


def fill(blocks: list[Json], values: Json, typed: Mapping[str, Typed]) -> None:
    """Put what a person typed, by action_id, into the state. Raises `UserClientError` for an unknown action_id."""
    found = {str(element["action_id"]): (block, element) for block, element in elements(blocks)}
    for action_id, one in typed.items():
        if action_id not in found:
            raise UserClientError(f"there is no input {action_id} in the view, only {sorted(found)}")
        block, element = found[action_id]
        values.setdefault(block["block_id"], {})[action_id] = state_of(element, one)


def client_errors(blocks: list[Json], values: Json) -> dict[str, str]:
    """What Slack's client refuses by itself before it submits, by block_id."""
    errors: dict[str, str] = {}
    for block in blocks:
        if block.get("type") != "input":
            continue
        element: Json = block["element"]
        state: Json = values.get(block["block_id"], {}).get(element.get("action_id"), {})
        problem = _problem(block, element, state)
        if problem:
            errors[block["block_id"]] = problem
    return errors


def _problem(block: Json, element: Json, state: Json) -> str:
    value = next((given for name, given in state.items() if name != "type"), None)
    if value in (None, "", []):
        return "" if block.get("optional") else "Please complete this required field."
    if isinstance(value, str) and element.get("type") == "plain_text_input":
        least, most = int(element.get("min_length") or 0), int(element.get("max_length") or 3000)
        if not least <= len(value) <= most:
            return f"Please enter between {least} and {most} characters."
    return ""
