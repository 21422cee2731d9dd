"""The clock of the bot's machine, to be stepped while the bot runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STEPPED = Path(__file__).with_name("stepped")


@dataclass(frozen=True)
class Clock:
    """`environment` makes a Python process follow it."""

    file: Path

    def __post_init__(self) -> None:
        self.step(0.0)

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{STEPPED}:{STEPPED.parents[2]}", "CHAOS_CLOCK": str(self.file)}

    def step(self, seconds: float) -> None:
        """Set it so far from the true time."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(repr(seconds), encoding="ascii")
        fresh.replace(self.file)
