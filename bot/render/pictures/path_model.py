"""The packet's way as values: its stations, how each stands, and all of it in words."""

from dataclasses import dataclass
from typing import Literal

from bot.domain.errors import bounded
from bot.domain.report import PathHop, Report
from bot.render.marks import failing_pairs, scope_words

MOST_STATIONS = 12
MOST_ALT = 1900

_WORDS = {"ok": "passes", "broken": "ends here", "suspect": "may end here", "unknown": "not reached"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One station."""

    name: str
    state: Literal["ok", "broken", "unknown", "suspect"]
    words: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is drawn."""

    title: str
    subtitle: str
    stations: tuple[Station, ...]
    alt_text: str


def way_of(report: Report) -> Way | None:
    """The packet's way in a report; None when nothing is wrong with it."""
    if not report.path:
        return None
    stations = tuple(_station(hop) for hop in report.path[:MOST_STATIONS])
    title = _title(stations, _lost_size(report))
    cause = f" · {report.verdict.cause}" if report.verdict.cause else ""
    reported = [f"{one.name} {one.words}" + (f" ({one.detail})" if one.detail else "") for one in stations]
    return Way(
        title=title,
        subtitle=bounded(f"{scope_words(report)}{cause}", 110),
        stations=stations,
        alt_text=bounded(f"The packet's way: {title}. Station by station: {'; '.join(reported)}.", MOST_ALT),
    )


def _station(hop: PathHop) -> Station:
    return Station(
        name=bounded(hop.name, 60) or "?", state=hop.state, words=_WORDS[hop.state], detail=bounded(hop.detail, 240)
    )


def _lost_size(report: Report) -> int | None:
    """The size from which packets vanish, where all that are smaller pass everywhere."""
    if failing_pairs(report):
        return None
    return min((way.lost_bytes for way in report.connectivity if way.lost_bytes), default=None)


def _title(stations: tuple[Station, ...], size: int | None) -> str:
    whose = f"The way of packets of {size} bytes" if size else "The packet's way"
    for station in stations:
        if station.state == "broken":
            return f"{whose} ends at {station.name}"
        if station.state == "suspect":
            return f"{whose} may end at {station.name}"
    return whose
