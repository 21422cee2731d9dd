"""The bot's side of drawing: a child process with a deadline, and what to do without."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from bot.aio.children import child_environment
from bot.domain.errors import bounded
from bot.domain.redact import redacted
from bot.domain.report import Report
from bot.render.marks import cleaned
from bot.render.pictures.fonts import provide
from bot.render.pictures.matrix_model import Matrix, matrix_of
from bot.render.pictures.path_model import Way, way_of

log = structlog.get_logger()

CPU_S = 60
"""Of processor time, which a slow or busy machine does not use up: the child limits itself."""
HANGS_S = 900.0
"""A child that has not ended by then waits for something that does not come."""
MOST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, and what it shows in words."""

    kind: Literal["path", "connectivity"]
    filename: str
    title: str
    alt_text: str
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRequest:
    """What the child is to draw; JSON on its standard input."""

    matrix: Matrix | None = None
    way: Way | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What it drew; JSON on its standard output."""

    matrix: bytes | None = None
    way: bytes | None = None


class Artist:
    """Draws reports, one at a time. `cache` is a directory for the list of fonts, which takes seconds to make."""

    def __init__(self, cache: Path, *, hangs_s: float = HANGS_S, program: tuple[str, ...] | None = None) -> None:
        self._cache = cache
        self._hangs_s = hangs_s
        self._program = program or (sys.executable, "-m", "bot.render.pictures")
        self._one = asyncio.Lock()
        self._is_able = bool(program) or util.find_spec("matplotlib") is not None
        if not self._is_able:
            log.info("pictures.none", why="matplotlib is not installed; pip install 'cnibot[plots]' draws pictures")

    async def draw(self, report: Report) -> tuple[Picture, ...]:
        """The report's pictures: its path and its connectivity, where it has them.

        None when they cannot be drawn: everything that they show is in words, too.
        """
        clean = cleaned(report)
        matrix, way = matrix_of(clean), way_of(clean)
        if not self._is_able or not (matrix or way):
            return ()
        async with self._one:
            drawn = await self._drawn(DrawRequest(matrix=matrix, way=way))
        found: list[Picture] = []
        if way and drawn.way:
            found.append(
                Picture(kind="path", filename="path.png", title=way.title, alt_text=way.alt_text, png=drawn.way)
            )
        if matrix and drawn.matrix:
            found.append(
                Picture(
                    kind="connectivity", filename="connectivity.png", title=matrix.title, alt_text=matrix.alt_text,
                    png=drawn.matrix,
                )
            )  # fmt: skip
        return tuple(found)

    async def _drawn(self, request: DrawRequest) -> Drawn:
        environment = {**child_environment(), "MPLCONFIGDIR": str(self._cache), "MPLBACKEND": "agg"}
        safe = redacted(msgspec.to_builtins(request), "slack")
        process = None
        try:
            provide(self._cache)
            async with asyncio.timeout(self._hangs_s):
                process = await asyncio.create_subprocess_exec(
                    *self._program, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, limit=MOST_BYTES
                )
                said, complaints = await process.communicate(msgspec.json.encode(safe))
            if process.returncode == 0:
                return msgspec.json.decode(said, type=Drawn)
            if process.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
                complaints += f"it used {CPU_S} s of processor time, or was killed".encode()
            why = bounded(complaints[-1000:].decode(errors="replace"), 300)
        except TimeoutError:
            why = f"it had not ended after {self._hangs_s:.3g} s"
        except (OSError, msgspec.MsgspecError) as error:
            why = str(error)
        finally:
            if process and process.returncode is None:
                process.kill()
                await process.wait()
        log.warning("pictures.failed", why=why)
        return Drawn()
