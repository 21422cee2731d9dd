"""Is the bot alive, and is it ready? What is not ready is named."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """What the parts say of themselves. A part is ready when its function says ""; else it says what is missing."""

    parts: dict[str, Callable[[], str]] = field(default_factory=dict[str, Callable[[], str]])
    started_at: float = field(default_factory=time.time)

    def not_ready(self) -> dict[str, str]:
        """What is missing, by part; empty when everything is ready."""
        return {name: missing for name, says in self.parts.items() if (missing := says())}
