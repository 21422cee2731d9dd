"""The composition root: opens every part of the bot, runs them together, and ends them in order."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A bot that is ready."""

    address: str
    """Where health and metrics are: "http://127.0.0.1:9742"."""
    says: str
    """One line for people."""


async def serve(settings: Settings, *, on_ready: Callable[[Running], None] = lambda _: None) -> None:
    """Run the bot until SIGTERM or SIGINT, then drain and return.

    Errors: `BotError`: what cannot be used or reached, with what to do; whatever a part dies of.
    """
    raise NotImplementedError
