"""What ends the bot."""

from collections.abc import Awaitable, Sequence

import structlog

from bot.aio.failures import first_failure
from bot.aio.stopping import Stop
from bot.domain.checks import Check
from bot.domain.errors import BotError

log = structlog.get_logger()


class NotReadyError(BotError):
    """Something is wrong that no waiting cures."""

    def __init__(self, checks: Sequence[Check]) -> None:
        super().__init__("\n".join(f"{check.name}: {check.problem} {check.remedy}" for check in checks))
        self.checks = tuple(checks)


class PartFailedError(BotError):
    """A part of the bot died, and the bot with it."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"The part {name!r} of the bot ended: {why}.")
        self.name = name


async def part(name: str, work: Awaitable[None], stop: Stop) -> None:
    """A part of the bot, which ends only when the bot does. Errors: its own `BotError`; else `PartFailedError`."""
    try:
        await work
    except Exception as error:
        failure = first_failure(error, rather=BotError)
        if isinstance(failure, BotError):
            raise failure from error
        log.exception("bot.part_failed", part=name)
        raise PartFailedError(name, f"{type(failure).__name__}: {failure}") from error
    if not stop.asked.is_set():
        raise PartFailedError(name, "it stopped unexpectedly")
