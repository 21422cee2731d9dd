"""docs/accuracy.md, from the figures that `make gym` took."""

from pathlib import Path

from bot.gym.generated.results import load as load_generated
from bot.gym.page import page
from bot.gym.results import load

FIGURES = Path(__file__).resolve().parents[1] / "accuracy.json"
GENERATED = FIGURES.with_name("accuracy-generated.json")


def pages() -> dict[str, str]:
    """The page; ids that the lab no longer has are found by tests/gym/test_accuracy.py."""
    generated = load_generated(GENERATED) if GENERATED.exists() else None
    return {"docs/accuracy.md": page(load(FIGURES), generated)}
