"""What a fault is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.chaos.system import System

Family = Literal["slack", "store", "cluster", "agent", "clock", "bot"]
Inject = Callable[[System, Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which the bot, or what it depends on, fails; over when the block of `inject` ends."""

    family: Family
    name: str
    inject: Inject
    met: Callable[[System], int] | None = None
    """How often somebody has met it so far; None: whoever is there meets it at once."""
    may_end_bot: bool = False
    """The bot may refuse to run while it lasts: its supervisor starts it again."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def switched(on: Callable[[System, Random], object], off: Callable[[System], object] = lambda _: None) -> Inject:
    """A fault that is switched on at the beginning and off at the end."""

    @asynccontextmanager
    async def inject(system: System, chance: Random) -> AsyncGenerator[None]:
        on(system, chance)
        try:
            yield
        finally:
            off(system)

    return inject


def asked(on: Callable[[System], Awaitable[object]], off: Callable[[System], Awaitable[object]]) -> Inject:
    """The same where switching is a question to somebody."""

    @asynccontextmanager
    async def inject(system: System, chance: Random) -> AsyncGenerator[None]:
        await on(system)
        try:
            yield
        finally:
            await off(system)

    return inject
