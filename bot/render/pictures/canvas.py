"""What the pictures share: paper, colours, letters. Imports matplotlib: for the drawing child alone.

The colours are Okabe and Ito's, distinguishable with any kind of colour vision; every one comes with a mark or a word.
Source: https://jfly.uni-koeln.de/color/
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.path import Path
from PIL import Image

Point = tuple[float, float]

DPI = 160

INK = "#1d2b36"
GREY = "#66757f"
FAINT = "#87929b"
PAPER = "#ffffff"

GREEN, GREEN_PALE = "#00795a", "#d5efe5"
RED, RED_PALE = "#c44601", "#fde8dc"
AMBER, AMBER_PALE = "#e69f00", "#fff1cf"


class Paper:
    """A page of `width` by `height` inches; one unit is an inch, y goes down."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))  # pyright: ignore[reportUnknownMemberType] untyped options
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()
        self._layer = 0

    def _next_layer(self) -> int:
        """What is drawn later lies above, whatever it is."""
        self._layer += 1
        return self._layer

    def write(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """Text at (x, y), its size in points. Never read as formulas: names may hold dollars."""
        chosen: dict[str, Any] = {"color": INK, "va": "center", "ha": "left", "zorder": self._next_layer(), **style}
        self.axes.text(x, y, text, fontsize=size, parse_math=False, **chosen)  # pyright: ignore[reportUnknownMemberType]

    def text_width(self, text: str, size: float, **style: Any) -> float:
        """How many inches the text takes."""
        drawn = self.axes.text(0, 0, text, fontsize=size, parse_math=False, **style)  # pyright: ignore[reportUnknownMemberType]
        width = drawn.get_window_extent().width / DPI
        drawn.remove()
        return float(width)

    def fitting(self, text: str, size: float, width: float, **style: Any) -> str:
        """As much of the text as `width` inches hold, with an ellipsis where it was cut."""
        if self.text_width(text, size, **style) <= width:
            return text
        low, high = 0, len(text)
        while low + 1 < high:
            middle = (low + high) // 2
            fits = self.text_width(text[:middle] + "…", size, **style) <= width
            low, high = (middle, high) if fits else (low, middle)
        return text[:low].rstrip() + "…"

    def lines(self, text: str, size: float, width: float, most: int) -> list[str]:
        """The text in up to `most` lines of `width` inches."""
        found: list[str] = []
        words = text.split()
        while words and len(found) < most - 1:
            count = 1
            while count < len(words) and self.text_width(" ".join(words[: count + 1]), size) <= width:
                count += 1
            found.append(self.fitting(" ".join(words[:count]), size, width))
            words = words[count:]
        return [*found, self.fitting(" ".join(words), size, width)] if words else found

    def stamp(self, shape: Path, places: Sequence[Point], *, fill: str, edge: str = "none", line: float = 0.0) -> None:
        """The shape at each place, all as one thing: thousands of single patches take seconds."""
        paths = [Path(np.asarray(shape.vertices) + place, shape.codes) for place in places]
        drawn = PathCollection(paths, facecolors=fill, edgecolors=edge, linewidths=line, zorder=self._next_layer())
        self.axes.add_collection(drawn, autolim=False)

    def stroke(self, lines: Sequence[Sequence[Point]], color: str, width: float, style: Any = "solid") -> None:
        """Lines of `width` points, with round ends."""
        drawn = LineCollection(
            lines, colors=color, linewidths=width, linestyles=style, capstyle="round", joinstyle="round",
            zorder=self._next_layer(),
        )  # fmt: skip
        self.axes.add_collection(drawn, autolim=False)

    def png(self) -> bytes:
        """The page."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png", facecolor=PAPER, pil_kwargs={"compress_level": 1})  # pyright: ignore[reportUnknownMemberType]
        small = io.BytesIO()  # a few colours are enough, and a third of the bytes
        with Image.open(drawn) as image:
            image.convert("RGB").quantize(colors=128, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        return small.getvalue()


def box(width: float, height: float, radius: float) -> Path:
    """A rectangle with round corners around (0, 0)."""
    style = f"round,pad=0,rounding_size={radius}"
    return FancyBboxPatch((-width / 2, -height / 2), width, height, boxstyle=style).get_path()


def circle(radius: float) -> Path:
    """Around (0, 0)."""
    return Path.circle(radius=radius)


def half_circle(radius: float) -> Path:
    """The left half of it."""
    wedge = Path.wedge(90, 270)
    return Path(np.asarray(wedge.vertices) * radius, wedge.codes)


def tick(x: float, y: float, size: float) -> list[list[Point]]:
    """The lines of a check mark."""
    return [[(x - size * 0.8, y), (x - size * 0.2, y + size * 0.65), (x + size * 0.9, y - size * 0.65)]]


def cross(x: float, y: float, size: float) -> list[list[Point]]:
    """The lines of a cross."""
    return [[(x - size, y - size), (x + size, y + size)], [(x - size, y + size), (x + size, y - size)]]
