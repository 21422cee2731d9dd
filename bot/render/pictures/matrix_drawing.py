"""Drawing the connectivity matrix. Imports matplotlib: for the drawing child alone."""

from dataclasses import dataclass
from itertools import product

from bot.render.pictures.canvas import (
    AMBER,
    AMBER_PALE,
    FAINT,
    GREEN,
    GREEN_PALE,
    GREY,
    INK,
    PAPER,
    RED,
    Paper,
    box,
    circle,
    cross,
    half_circle,
    tick,
)
from bot.render.pictures.matrix_model import Cell, Matrix, State

MARGIN = 0.35
LEAST_WIDTH = 6.4

_CORNER = "from ↓   to →"

_FILL = {"ok": GREEN_PALE, "failed": RED, "partial": AMBER_PALE, "large": AMBER_PALE, "unknown": PAPER}
_EDGE = {"ok": GREEN_PALE, "failed": RED, "partial": AMBER, "large": AMBER, "unknown": FAINT}
_LEGEND: tuple[tuple[State, str], ...] = (
    ("ok", "reached"),
    ("partial", "fails now and then"),
    ("failed", "fails"),
    ("unknown", "not tested"),
)
_LARGE: tuple[State, str] = ("large", "large packets vanish")
"""Shown where a direction is so: most faults take packets of any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Sizes for a number of nodes: a cell's side in inches, a label's letters in points."""

    cell: float
    letters: float

    @property
    def has_counts(self) -> bool:
        """Whether there is room for numbers."""
        return self.cell >= 0.5


def _scale(nodes: int) -> _Scale:
    for most, cell, letters in ((6, 0.72, 11.0), (12, 0.56, 10.0), (20, 0.38, 9.0), (32, 0.29, 8.0)):
        if nodes <= most:
            return _Scale(cell=cell, letters=letters)
    return _Scale(cell=0.225, letters=7.0)


def draw_matrix(matrix: Matrix) -> bytes:
    """A PNG of the matrix."""
    count = len(matrix.names)
    scale = _scale(count)
    ruler = Paper(1, 1)
    widths = [ruler.text_width(name, scale.letters, weight="bold") for name in matrix.names]
    is_slanted = max(widths) > scale.cell * 0.95
    side = scale.cell * count
    corner = ruler.text_width(_CORNER, min(scale.letters, 8.5))
    left = MARGIN + max(*widths, corner) + 0.12
    heads = max(widths) * 0.71 + 0.25 if is_slanted else 0.34
    top = MARGIN + 0.62 + heads
    title_width = ruler.text_width(matrix.title, 15, weight="bold") + 2 * MARGIN
    width = max(LEAST_WIDTH, left + side + (max(widths) * 0.71 if is_slanted else 0) + MARGIN, title_width)
    paper = Paper(width, top + side + (1.02 if matrix.note else 0.78))

    paper.write(MARGIN, MARGIN + 0.04, matrix.title, 15, weight="bold")
    paper.write(MARGIN, MARGIN + 0.34, ruler.fitting(matrix.subtitle, 9.5, width - 2 * MARGIN), 9.5, color=GREY)
    _label(paper, matrix, scale, left=left, top=top, is_slanted=is_slanted)
    cells = [
        (matrix.cells[row][column], left + (column + 0.5) * scale.cell, top + (row + 0.5) * scale.cell)
        for row, column in product(range(count), repeat=2)
    ]
    _draw_cells(paper, cells, scale)
    _draw_legend(paper, top + side + 0.42, *([_LARGE] if any(cell.lost_bytes for cell, *_ in cells) else []))
    if matrix.note:
        paper.write(MARGIN, top + side + 0.74, matrix.note, 9, color=GREY, style="italic")
    return paper.png()


def _label(paper: Paper, matrix: Matrix, scale: _Scale, *, left: float, top: float, is_slanted: bool) -> None:
    """Names of rows and columns; those with failures stand out, in weight as well as in colour."""
    paper.write(left - 0.1, top - 0.13, _CORNER, min(scale.letters, 8.5), ha="right", color=GREY)
    for index, (name, is_bad) in enumerate(zip(matrix.names, matrix.bad, strict=True)):
        style = {"color": INK, "weight": "bold"} if is_bad else {"color": GREY, "weight": "normal"}
        middle = (index + 0.5) * scale.cell
        paper.write(left - 0.1, top + middle, name, scale.letters, ha="right", **style)
        if is_slanted:
            slant = {"rotation": 45, "rotation_mode": "anchor", "ha": "left", "va": "baseline"}
            paper.write(left + middle, top - 0.09, name, scale.letters, **style, **slant)
        else:
            paper.write(left + middle, top - 0.15, name, scale.letters, ha="center", **style)


def _draw_cells(paper: Paper, cells: list[tuple[Cell, float, float]], scale: _Scale) -> None:
    half = scale.cell * 0.46
    shape = box(2 * half, 2 * half, half * 0.28)
    for state in ("ok", "unknown", "partial", "large", "failed"):
        places = [(x, y) for cell, x, y in cells if cell.state == state]
        if not places:
            continue
        paper.stamp(shape, places, fill=_FILL[state], edge=_EDGE[state], line=0.9)
        has_count = scale.has_counts and state in {"failed", "partial", "large"}
        _draw_marks(paper, state, [(x, y - half * 0.26) for x, y in places] if has_count else places, half)
    for cell, x, y in cells:
        if scale.has_counts and cell.state in {"failed", "partial"} and cell.tested:
            color = PAPER if cell.state == "failed" else INK
            paper.write(x, y + half * 0.58, f"{cell.failed} of {cell.tested}", 7.5, ha="center", color=color)
        if scale.has_counts and cell.lost_bytes:
            paper.write(x, y + half * 0.58, f"≥ {cell.lost_bytes} B", 7.5, ha="center")


def _draw_marks(paper: Paper, state: State, places: list[tuple[float, float]], half: float) -> None:
    """A sign for each state, so that none is distinguished by its colour alone."""
    size = half * 0.42
    width = max(half * 9, 0.9)
    match state:
        case "ok":
            paper.stroke([line for x, y in places for line in tick(x, y, size)], GREEN, width)
        case "failed":
            paper.stroke([line for x, y in places for line in cross(x, y, size)], PAPER, width * 1.3)
        case "partial":
            paper.stamp(circle(size), places, fill=PAPER, edge=INK, line=max(half * 5, 0.7))
            paper.stamp(half_circle(size), places, fill=INK)
        case "large":  # a small packet passes, a large one does not
            paper.stroke([line for x, y in places for line in tick(x - size, y, size * 0.6)], GREEN, width)
            paper.stroke([line for x, y in places for line in cross(x + size, y, size * 0.55)], RED, width)
        case "unknown":
            paper.stroke([[(x - size * 0.5, y), (x + size * 0.5, y)] for x, y in places], FAINT, width)


def _draw_legend(paper: Paper, y: float, *more: tuple[State, str]) -> None:
    x = MARGIN + 0.12
    scale = _Scale(cell=0.26, letters=9)
    for state, words in (*_LEGEND, *more):
        _draw_cells(paper, [(Cell(state=state), x, y)], scale)
        paper.write(x + 0.22, y, words, 9, color=INK)
        x += 0.22 + paper.text_width(words, 9) + 0.42
