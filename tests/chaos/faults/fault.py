"""What a fault is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.chaos.stage import Stage

Family = Literal["slack", "store", "cluster", "agent", "clock", "bot"]
Strike = Callable[[Stage, Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which the world around the bot, or the bot, fails; over when the block of `strike` ends."""

    family: Family
    name: str
    strike: Strike
    met: Callable[[Stage], int] | None = None
    """How often somebody has met it so far; None: whoever is there meets it at once."""
    may_end_bot: bool = False
    """The bot may refuse to run while it lasts: its supervisor starts it again."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def switched(on: Callable[[Stage, Random], object], off: Callable[[Stage], object] = lambda _: None) -> Strike:
    """A fault that is switched on at the beginning and off at the end."""

    @asynccontextmanager
    async def strike(stage: Stage, chance: Random) -> AsyncGenerator[None]:
        on(stage, chance)
        try:
            yield
        finally:
            off(stage)

    return strike


def asked(on: Callable[[Stage], Awaitable[object]], off: Callable[[Stage], Awaitable[object]]) -> Strike:
    """The same where switching is a question to somebody."""

    @asynccontextmanager
    async def strike(stage: Stage, chance: Random) -> AsyncGenerator[None]:
        await on(stage)
        try:
            yield
        finally:
            await off(stage)

    return strike
