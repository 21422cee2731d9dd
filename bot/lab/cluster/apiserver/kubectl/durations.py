"""Ages as kubectl shows them: `14s`, `5m30s`, `3h`, `2d4h`."""

from datetime import datetime

from bot.lab.cluster.apiserver.timestamps import parse

UNKNOWN = "<unknown>"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago a moment was."""
    return human((now - parse(timestamp)).total_seconds()) if timestamp else UNKNOWN


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400
_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)
"""Below so many seconds: the unit and its letter, and a smaller unit that is shown beside it (0: none)."""


def human(duration_s: float) -> str:
    """A duration in at most two units, as k8s.io/apimachinery/pkg/util/duration rounds it."""
    seconds = int(duration_s)
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    for below, unit, letter, small_unit, small_letter in _STEPS:
        if seconds < below:
            small = seconds % unit // small_unit if small_unit else 0
            return f"{seconds // unit}{letter}" + (f"{small}{small_letter}" if small else "")
    return f"{seconds // _YEAR}y"
