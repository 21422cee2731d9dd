"""Bad days of Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from bot.aio.groups import TaskGroup
from tests.chaos.faults.fault import Fault, Inject, asked, switched
from tests.chaos.system import System

SILENT_S, AWAKE_S = 0.15, 0.05


def _away(by: signal.Signals) -> Inject:
    """It ends, and is back when the fault is over."""
    return switched(lambda system, _: system.redis.stop(by), lambda system: system.redis.start())


def _again(by: signal.Signals) -> Inject:
    """It ends, and is started again at once."""
    return switched(lambda system, _: (system.redis.stop(by), system.redis.start()))


@asynccontextmanager
async def _slow(system: System, _: Random) -> AsyncGenerator[None]:
    """It gets little time, as on a machine that does too much."""

    async def stutter() -> None:
        while True:
            system.redis.pause()
            await asyncio.sleep(SILENT_S)
            system.redis.resume()
            await asyncio.sleep(AWAKE_S)

    async with TaskGroup() as group:
        stuttering = group.create_task(stutter())
        try:
            yield
        finally:
            stuttering.cancel()
            system.redis.resume()


async def _command(system: System, *words: str) -> None:
    await system.store.execute_command(*words)  # pyright: ignore[reportUnknownMemberType] untyped arguments


async def _other_password(system: System) -> None:
    await _command(system, "CONFIG", "SET", "requirepass", "another")
    await _command(system, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _config(name: str, on: str, off: str) -> Inject:
    return asked(
        lambda system: _command(system, "CONFIG", "SET", name, on),
        lambda system: _command(system, "CONFIG", "SET", name, off),
    )


_fault = partial(Fault, family="store")

FAULTS = (
    _fault(name="killed, and back at once", inject=_again(signal.SIGKILL)),
    _fault(name="killed, and away for a while", inject=_away(signal.SIGKILL), may_end_bot=True),
    _fault(name="restarted in order", inject=_again(signal.SIGTERM)),
    _fault(name="its disk is full", inject=switched(
        lambda system, _: system.redis.fill_disk(), lambda system: system.redis.empty_disk()
    )),
    _fault(name="its memory is full", inject=_config("maxmemory", "1", "0")),
    _fault(name="a read-only replica", inject=asked(
        lambda system: _command(system, "REPLICAOF", "127.0.0.1", "1"),
        lambda system: _command(system, "REPLICAOF", "NO", "ONE"),
    )),
    _fault(name="slow", inject=_slow),
    _fault(
        name="silent",
        inject=switched(lambda system, _: system.redis.pause(), lambda system: system.redis.resume()),
        may_end_bot=True,
    ),
    _fault(
        name="takes another password",
        inject=asked(_other_password, lambda system: _command(system, "CONFIG", "SET", "requirepass", "")),
        may_end_bot=True,
    ),
)  # fmt: skip
