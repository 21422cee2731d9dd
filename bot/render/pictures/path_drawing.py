"""Drawing the packet's way, top down as it is read. Imports matplotlib: for the drawing child alone."""

from bot.render.pictures.canvas import (
    AMBER,
    AMBER_PALE,
    FAINT,
    GREEN,
    GREY,
    INK,
    PAPER,
    RED,
    RED_PALE,
    Paper,
    box,
    circle,
    cross,
    tick,
)
from bot.render.pictures.path_model import Station, Way

MARGIN = 0.35
WIDTH = 6.8
RADIUS = 0.17
LINE_HEIGHT = 0.2
_LEFT = MARGIN + 2 * RADIUS + 0.24
"""Where the words begin."""

_COLOR = {"ok": GREEN, "broken": RED, "suspect": AMBER, "unknown": FAINT}
_PANEL = {"broken": RED_PALE, "suspect": AMBER_PALE}


def draw_way(way: Way) -> bytes:
    """A PNG of the way."""
    ruler = Paper(1, 1)
    room = WIDTH - MARGIN - 0.05 - _LEFT
    details = [ruler.lines(station.detail, 9.5, room, 3) for station in way.stations]
    heights = [0.62 + LINE_HEIGHT * len(lines) for lines in details]
    top = MARGIN + 0.66
    paper = Paper(WIDTH, top + sum(heights) + MARGIN - 0.12)
    size = 15.0
    while size > 11 and ruler.text_width(way.title, size, weight="bold") > WIDTH - 2 * MARGIN:
        size -= 0.5
    title = ruler.fitting(way.title, size, WIDTH - 2 * MARGIN, weight="bold")
    paper.write(MARGIN, MARGIN + 0.04, title, size, weight="bold")
    paper.write(MARGIN, MARGIN + 0.34, ruler.fitting(way.subtitle, 9.5, WIDTH - 2 * MARGIN), 9.5, color=GREY)

    middles = [top + sum(heights[:index]) + 0.31 for index in range(len(heights))]
    for station, y, height in zip(way.stations, middles, heights, strict=True):
        if station.state in _PANEL:
            panel = box(WIDTH - 2 * MARGIN + 0.2, height - 0.08, 0.1)
            paper.stamp(panel, [(WIDTH / 2, y - 0.31 + height / 2)], fill=_PANEL[station.state])
    for index, y in enumerate(middles[1:]):
        _draw_link(paper, way.stations[index], way.stations[index + 1], middles[index], y)
    for station, y, lines in zip(way.stations, middles, details, strict=True):
        _draw_station(paper, station, y, lines)
    return paper.png()


def _draw_link(paper: Paper, above: Station, below: Station, start: float, end: float) -> None:
    """Where the packet went: a full line; where nothing came any more: a broken one."""
    x = MARGIN + RADIUS + 0.04
    went = above.state == "ok" and below.state != "unknown"
    line = [(x, start + RADIUS), (x, end - RADIUS)]
    if went:
        paper.stroke([line], GREEN, 3.5)
    else:
        paper.stroke([line], FAINT, 2.5, (0, (0.6, 2.4)))


def _draw_station(paper: Paper, station: Station, y: float, lines: list[str]) -> None:
    x = MARGIN + RADIUS + 0.04
    is_reached = station.state != "unknown"
    color = _COLOR[station.state]
    paper.stamp(circle(RADIUS), [(x, y)], fill=color if is_reached else PAPER, edge=color, line=2)
    _draw_mark(paper, station, x, y)
    is_special = station.state in _PANEL
    weight = "bold" if is_special else "normal"
    right = WIDTH - MARGIN - 0.05
    name = paper.fitting(station.name, 11.5, right - _LEFT - paper.text_width(station.words, 9.5) - 0.2, weight=weight)
    paper.write(_LEFT, y, name, 11.5, color=INK if is_reached else GREY, weight=weight)
    color = INK if is_special else GREEN if station.state == "ok" else GREY
    paper.write(right, y, station.words, 9.5, ha="right", color=color, weight=weight)
    for index, line in enumerate(lines):
        paper.write(_LEFT, y + 0.25 + LINE_HEIGHT * index, line, 9.5, color=INK)


def _draw_mark(paper: Paper, station: Station, x: float, y: float) -> None:
    """A sign for each state, so that none is distinguished by its colour alone."""
    size = RADIUS * 0.42
    match station.state:
        case "ok":
            paper.stroke(tick(x, y, size), PAPER, 2.6)
        case "broken":
            paper.stroke(cross(x, y, size), PAPER, 2.6)
        case "suspect":
            paper.write(x, y + 0.005, "?", 13, ha="center", weight="bold")
        case "unknown":
            pass
