"""The access ladder: which rung the credentials allow."""

from dataclasses import dataclass

from bot.cluster.kube import Api
from bot.domain.facts import Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class RungDecision:
    """The rung to use, and why not a higher one."""

    rung: Rung
    why: str
    cannot: tuple[str, ...] = ()
    """One sentence for each higher rung that is not possible, with the permission that is missing."""


async def choose_rung(api: Api, wanted: Rung | None, *, namespace: str, bot_namespace: str = "cnibot") -> RungDecision:
    """The highest rung allowed, at most `wanted`."""
    raise NotImplementedError
