"""What people and Alertmanager ask for, and whether it was accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["command", "mention", "alert"]


@dataclass
class Request:
    """One wish, in a channel of its own, asked again until it is accepted."""

    kind: Kind
    channel: str
    namespace: str
    at_s: float
    """When it is first asked."""
    attempts: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    """How many of the attempts were acknowledged."""
    thread: str = field(default="", init=False)
    """The message under which the answer belongs; "": one of the bot's own."""

    def __str__(self) -> str:
        return f"{self.kind} in #{self.channel} about {self.namespace}"
