"""Arguments of a Web API call, from whichever encoding the client chose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from bot.lab.slack.decoding import decode
from bot.lab.slack.errors import SlackError
from bot.lab.types import Json


class Arguments:
    """The arguments by name; JSON values may have come as objects or as strings."""

    def __init__(self, values: Json) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string; a number becomes one (`ts` is often sent as a number)."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise SlackError("invalid_arguments", f"[ERROR] must be a string [json-pointer:/{name}]")

    def text_or_empty(self, name: str) -> str:
        """The string; '' for whatever is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    @property
    def channel(self) -> str:
        """The channel that a call is about, under either name; '' when about none."""
        return self.text_or_empty("channel") or self.text_or_empty("channel_id")

    def required(self, name: str) -> str:
        """Raises `invalid_arguments` as Slack words it."""
        value = self.text(name)
        if not value:
            raise SlackError("invalid_arguments", f"[ERROR] missing required field: {name}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """'true' and '1' are true."""
        return self.text(name, "true" if default else "false").lower() in {"true", "1"}

    def number(self, name: str, default: int, most: int) -> int:
        """At least 1, at most `most`."""
        try:
            return max(1, min(most, int(self.text(name) or default)))
        except ValueError:
            raise SlackError("invalid_arguments", f"[ERROR] must be an integer [json-pointer:/{name}]") from None

    def json(self, name: str, error: str = "invalid_json") -> Any:
        """The value, decoded when it came as a string; None when absent or empty."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return decode(value)
        except ValueError:
            raise SlackError(error) from None


async def read(request: web.Request) -> Arguments:
    """Query, form, multipart and JSON alike. Raises `SlackError` for what is not readable."""
    values: Json = dict(request.query)
    if request.method == "POST":
        values |= await _body(request)
    return Arguments(values)


async def _body(request: web.Request) -> Json:
    if request.content_type == "application/json":
        return _object(await request.read())
    if request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        try:
            form = await request.post()
        except (ValueError, LookupError, AssertionError):
            raise SlackError("invalid_form_data") from None
        return _strings(form)
    if await request.read():
        raise SlackError("invalid_post_type")
    return {}


def _object(raw: bytes) -> Json:
    if not raw:
        return {}
    try:
        value: Any = decode(raw)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(value, dict):
        raise SlackError("json_not_object")
    return cast("Json", value)


def _strings(form: Mapping[str, object]) -> Json:
    return {name: value for name, value in form.items() if isinstance(value, str)}
