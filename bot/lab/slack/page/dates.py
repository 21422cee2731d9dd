"""Moments as a chat shows them, and the tokens of Slack's ``<!date^…>``.

Source: https://docs.slack.dev/messaging/formatting-message-text#date-formatting
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_TOKEN: Final = re.compile(r"\{(\w+)\}")


def clock(moment: datetime) -> str:
    """``14:05``."""
    return moment.strftime("%H:%M")


def full(moment: datetime) -> str:
    """``Monday, 23 November 2026, 14:05:09``: what hovering a time shows."""
    return f"{_long(moment)}, {moment:%H:%M:%S}"


def day(moment: datetime, now: datetime) -> str:
    """The line between days: Today, Yesterday, or the date."""
    return _pretty(moment, now) or _long(moment)


def ago(moment: datetime, now: datetime) -> str:
    """``3 minutes ago``."""
    seconds = int((now - moment).total_seconds())
    for size, word in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if abs(seconds) >= size:
            count = abs(seconds) // size
            span = f"{count} {word}{'s' if count > 1 else ''}"
            return f"{span} ago" if seconds > 0 else f"in {span}"
    return "just now"


def formatted(template: str, moment: datetime, now: datetime) -> str:
    """A ``<!date^…>`` template with its tokens filled in; unknown tokens stay as they are."""
    return _TOKEN.sub(lambda found: _TOKENS.get(found[1], lambda _m, _n: found[0])(moment, now), template)


def _long(moment: datetime) -> str:
    return f"{moment:%A}, {moment.day} {moment:%B %Y}"


def _date(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _short(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def _pretty(moment: datetime, now: datetime) -> str:
    days = (now.date() - moment.date()).days
    return {0: "Today", 1: "Yesterday", -1: "Tomorrow"}.get(days, "")


_TOKENS: Final[dict[str, Callable[[datetime, datetime], str]]] = {
    "date_num": lambda moment, _: moment.strftime("%Y-%m-%d"),
    "date": lambda moment, _: _date(moment),
    "date_short": lambda moment, _: _short(moment),
    "date_long": lambda moment, _: _long(moment),
    "date_pretty": lambda moment, now: _pretty(moment, now).lower() or _date(moment),
    "date_short_pretty": lambda moment, now: _pretty(moment, now).lower() or _short(moment),
    "date_long_pretty": lambda moment, now: _pretty(moment, now).lower() or _long(moment),
    "time": lambda moment, _: clock(moment),
    "time_secs": lambda moment, _: moment.strftime("%H:%M:%S"),
    "ago": ago,
}
