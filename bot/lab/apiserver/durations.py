"""Ages as kubectl shows them: `14s`, `5m30s`, `3h`, `2d4h`."""

from datetime import datetime

from bot.lab.apiserver.timestamps import parse

UNKNOWN = "<unknown>"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago a moment was."""
    return human((now - parse(timestamp)).total_seconds()) if timestamp else UNKNOWN


def human(duration_s: float) -> str:
    """A duration in at most two units, as k8s.io/apimachinery/pkg/util/duration rounds it."""
    seconds = int(duration_s)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if days < 365 * 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
