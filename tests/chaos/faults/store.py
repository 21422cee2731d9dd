"""Bad days of Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from bot.aio.groups import TaskGroup
from tests.chaos.faults.fault import Fault, Strike, asked, switched
from tests.chaos.stage import Stage

SILENT_S, AWAKE_S = 0.15, 0.05


def _away(by: signal.Signals) -> Strike:
    """It ends, and is back when the fault is over."""
    return switched(lambda stage, _: stage.redis.stop(by), lambda stage: stage.redis.start())


def _again(by: signal.Signals) -> Strike:
    """It ends, and is started again at once."""
    return switched(lambda stage, _: (stage.redis.stop(by), stage.redis.start()))


@asynccontextmanager
async def _slow(stage: Stage, _: Random) -> AsyncGenerator[None]:
    """It gets little time, as on a machine that does too much."""

    async def stutter() -> None:
        while True:
            stage.redis.pause()
            await asyncio.sleep(SILENT_S)
            stage.redis.resume()
            await asyncio.sleep(AWAKE_S)

    async with TaskGroup() as group:
        stuttering = group.create_task(stutter())
        try:
            yield
        finally:
            stuttering.cancel()
            stage.redis.resume()


async def _command(stage: Stage, *words: str) -> None:
    await stage.store.execute_command(*words)  # pyright: ignore[reportUnknownMemberType] untyped arguments


async def _other_password(stage: Stage) -> None:
    await _command(stage, "CONFIG", "SET", "requirepass", "another")
    await _command(stage, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _config(name: str, on: str, off: str) -> Strike:
    return asked(
        lambda stage: _command(stage, "CONFIG", "SET", name, on),
        lambda stage: _command(stage, "CONFIG", "SET", name, off),
    )


_fault = partial(Fault, family="store")

FAULTS = (
    _fault(name="killed, and back at once", strike=_again(signal.SIGKILL)),
    _fault(name="killed, and away for a while", strike=_away(signal.SIGKILL), may_end_bot=True),
    _fault(name="restarted in order", strike=_again(signal.SIGTERM)),
    _fault(name="its disk is full", strike=switched(
        lambda stage, _: stage.redis.fill_disk(), lambda stage: stage.redis.empty_disk()
    )),
    _fault(name="its memory is full", strike=_config("maxmemory", "1", "0")),
    _fault(name="a read-only replica", strike=asked(
        lambda stage: _command(stage, "REPLICAOF", "127.0.0.1", "1"),
        lambda stage: _command(stage, "REPLICAOF", "NO", "ONE"),
    )),
    _fault(name="slow", strike=_slow),
    _fault(
        name="silent",
        strike=switched(lambda stage, _: stage.redis.pause(), lambda stage: stage.redis.resume()),
        may_end_bot=True,
    ),
    _fault(
        name="takes another password",
        strike=asked(_other_password, lambda stage: _command(stage, "CONFIG", "SET", "requirepass", "")),
        may_end_bot=True,
    ),
)  # fmt: skip
