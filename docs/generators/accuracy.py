"""docs/accuracy.md, from the figures that `make gym` took."""

from pathlib import Path

from bot.gym.page import page
from bot.gym.results import load

FIGURES = Path(__file__).resolve().parents[1] / "accuracy.json"


def pages() -> dict[str, str]:
    """The page; ids that the lab no longer has are found by tests/gym/test_accuracy.py."""
    return {"docs/accuracy.md": page(load(FIGURES))}
