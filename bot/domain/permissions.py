"""What each part of the bot is allowed in a cluster, and what is lost without it."""

from dataclasses import dataclass
from typing import Literal

from bot.domain.access import Need

Answer = Literal["allowed", "denied", "unknown"]
"""What a cluster says of one permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A probe, a rung of the access ladder or an action, with what it needs."""

    kind: Literal["probe", "rung", "action"]
    name: str
    needs: tuple[Need, ...]
    lost: str
    """What cannot be done without any of them, a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A part, and what the cluster says of its needs."""

    part: Part
    denied: tuple[Need, ...] = ()
    unknown: tuple[Need, ...] = ()
    """Those of which nothing is known: the API server did not answer."""

    @property
    def answer(self) -> Answer | Literal["partly"]:
        """Denied where one is, but partly where the part works without it; else unknown where one is."""
        if self.denied:
            return "partly" if all(need.is_optional for need in self.denied) else "denied"
        return "unknown" if self.unknown else "allowed"

    @property
    def is_blind(self) -> bool:
        """Whether something is denied without which nothing can be diagnosed."""
        return self.part.kind == "probe" and any(not need.is_optional for need in self.denied)

    @property
    def lost(self) -> str:
        """What is lost: what each missing right is for, else the part as a whole."""
        if not self.denied:
            return ""
        if self.part.kind != "probe":
            return self.part.lost
        uses = dict.fromkeys(need.why for need in self.denied if need.why)
        return f"{self.part.lost} Missing: {'; '.join(uses)}." if uses else self.part.lost
