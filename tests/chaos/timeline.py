"""What happened in a scenario, second by second: what people read who want to know why one failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Timeline:
    """Grows while a scenario is played."""

    lines: list[str] = field(default_factory=list[str])
    began: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        """One line, with the seconds since the beginning."""
        self.lines.append(f"{time.monotonic() - self.began:6.1f} s  {what}")

    def __str__(self) -> str:
        return "\n".join(self.lines)
