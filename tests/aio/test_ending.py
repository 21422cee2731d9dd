"""Ending in order."""

import asyncio
import os
import signal

from bot.aio.stopping import Stop


async def test_the_first_signal_asks_and_the_second_hurries() -> None:
    stop = Stop()
    with stop.on_signals(signal.SIGUSR1):
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(2):
            await stop.asked.wait()
        assert not stop.hurried.is_set()
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(2):
            await stop.hurried.wait()
