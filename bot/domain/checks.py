"""Checks of the bot's own set-up: what works, and what to do about what does not."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was tried."""

    name: str
    """What was tried, a few words: "Slack: scopes"."""
    state: Literal["ok", "warning", "failed"] = "ok"
    """"warning": the bot works, and something of it does not."""
    says: str = ""
    """What was seen, where it is fine: "workspace Acme, as @cni"."""
    problem: str = ""
    """What is wrong, a sentence; "" when it is fine."""
    remedy: str = ""
    """What to do about it, a sentence."""

    may_pass: bool = False
    """Whether waiting may help (a connection that failed, not a token that is wrong)."""

    @property
    def ok(self) -> bool:
        """Whether the bot can work with it."""
        return self.state != "failed"
