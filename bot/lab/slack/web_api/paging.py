"""Cursors, limits and time ranges of list methods."""

import base64
from collections.abc import Sequence
from typing import TypeVar

from bot.lab.slack.errors import SlackError
from bot.lab.slack.message import Message
from bot.lab.slack.web_api.arguments import Arguments

Item = TypeVar("Item")


def page(args: Arguments, items: Sequence[Item], *, most: int) -> tuple[list[Item], str]:
    """The page that the cursor names, and the next cursor ('' at the end)."""
    start = _start(args.text("cursor"))
    limit = args.number("limit", 100, most)
    end = start + limit
    cursor = base64.b64encode(f"next:{end}".encode()).decode() if end < len(items) else ""
    return list(items[start:end]), cursor


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        kind, _, number = base64.b64decode(cursor, validate=True).decode().partition(":")
        start = int(number)
    except ValueError:
        raise SlackError("invalid_cursor") from None
    if kind != "next" or start < 0:
        raise SlackError("invalid_cursor")
    return start


def between(args: Arguments, messages: list[Message]) -> list[Message]:
    """Messages from `oldest` to `latest`, both left out unless `inclusive`."""
    oldest, latest = _time(args, "oldest"), _time(args, "latest")
    inclusive = args.flag("inclusive")

    def within(message: Message) -> bool:
        ts = float(message.ts)
        after = oldest is None or ts > oldest or (inclusive and ts == oldest)
        return after and (latest is None or ts < latest or (inclusive and ts == latest))

    return [message for message in messages if within(message)]


def _time(args: Arguments, name: str) -> float | None:
    text = args.text(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None
