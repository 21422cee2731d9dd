"""The embedded store: a redis-server of our own on a Unix socket, which lives and ends with the bot.

Two locks guard the data. `bot.lock` is the bot's: a second bot is refused. `server.lock` is inherited by the server, so
it also stands while a server outlives a bot that was killed; such a server is asked to end before a new one starts, for
two servers on the same files would destroy them.
"""

import asyncio
import os
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

import structlog

from bot.aio.children import child_environment, ending_with_us
from bot.domain.errors import ConfigurationError
from bot.store.errors import StoreInUseError, StoreUnavailableError
from bot.store.server.binary import candidates, choose
from bot.store.server.file_lock import FileLock

log = structlog.get_logger()

START_S = 30.0
"""How long a server may take to load its data."""
STOP_S = 10.0
"""How long a server may take to end in order."""

_PAUSE_S = 0.01


class StoreServer:
    """A redis-server with its data in `directory`."""

    def __init__(self, directory: Path, *, programs: list[str] | None = None) -> None:
        self._directory = directory
        self._programs = programs
        self._bot_lock = FileLock(directory / "bot.lock")
        self._server_lock = FileLock(directory / "server.lock")
        self._process: Process | None = None
        self._folder: int | None = None
        self._reviving = asyncio.Lock()

    @property
    def where(self) -> str:
        """For people, and for redis-cli."""
        return f"unix://{self._directory / 'redis.sock'}"

    @property
    def socket(self) -> str:
        """The socket's path, short however deep the directory lies: a socket's name has at most 107 bytes."""
        assert self._folder is not None
        return f"/proc/self/fd/{self._folder}/redis.sock"

    @property
    def pid(self) -> int | None:
        """Of the running server."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when it answers.

        Errors: `StoreInUseError`, `NoServerError`, `ConfigurationError` (the directory), `StoreUnavailableError`.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._bot_lock.take():
                raise StoreInUseError(str(self._directory.parent), self._bot_lock.holder())
            self._keep_to_ourselves()
            self._folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(f"The state directory {self._directory}", error.strerror or str(error)) from error
        if not self._server_lock.take():
            await self._end_orphan()
        await self._launch()

    def _keep_to_ourselves(self) -> None:
        """People's words are in there; also where an older version, or somebody's umask, has left it open."""
        self._directory.chmod(0o700)
        for path in self._directory.rglob("*"):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)

    async def revive(self) -> None:
        """Start it again if it has ended (killed, or its disk was full). Errors: as `start`."""
        async with self._reviving:
            if self._process and self._process.returncode is not None:
                log.warning("store.server_ended", returncode=self._process.returncode, log=self._last_words())
                await self._launch()

    async def stop(self) -> None:
        """End it in order, and let go of the directory."""
        process = self._process
        try:
            if process and process.returncode is None:
                with suppress(ProcessLookupError):
                    process.terminate()
                try:
                    async with asyncio.timeout(STOP_S):
                        await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
        except TimeoutError:
            log.warning("store.server_killed", after_s=STOP_S)
        finally:
            self._process = None
            self._server_lock.release()
            self._bot_lock.release()
            if self._folder is not None:
                os.close(self._folder)
                self._folder = None

    async def _launch(self) -> None:
        programs = candidates() if self._programs is None else self._programs
        program = await choose(programs, self._directory)
        fresh = os.O_WRONLY | os.O_CREAT | os.O_TRUNC  # of this run only: it does not grow for ever
        os.close(os.open(self._directory / "server.log", fresh, 0o600))
        self._process = await asyncio.create_subprocess_exec(
            # An own process group keeps Ctrl-C for the bot, which stops the server last.
            *_command(program), cwd=self._directory, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
            env=child_environment(), pass_fds=(self._server_lock.descriptor,), start_new_session=True,
            umask=0o077,
        )  # fmt: skip
        await self._until_ready(self._process)

    async def _until_ready(self, process: Process) -> None:
        try:
            async with asyncio.timeout(START_S):
                while process.returncode is None:
                    if await ask(self.socket, "PING") == "+PONG":
                        return
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise StoreUnavailableError(self.where, f"its server was not ready within {START_S:.3g} s") from error
        why = f"its server ended with status {process.returncode}: {self._last_words()}"
        raise StoreUnavailableError(self.where, why)

    async def _end_orphan(self) -> None:
        """A bot was killed and its server lives on, or is about to end: wait for it, after asking it to end."""
        try:
            async with asyncio.timeout(STOP_S):
                while not self._server_lock.take():
                    await ask(self.socket, "SHUTDOWN")
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            why = f"a server of an earlier bot (see {self._directory / 'redis.pid'}) does not end"
            raise StoreUnavailableError(self.where, why) from error
        log.info("store.orphan_ended", where=self.where)

    def _last_words(self) -> str:
        try:
            lines = (self._directory / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "no log"
        return " / ".join(line.strip() for line in lines[-3:]) or "no word"


def _command(program: str) -> list[str]:
    arguments = {
        "port": "0", "unixsocket": "redis.sock", "unixsocketperm": "600", "dir": ".", "pidfile": "redis.pid",
        "logfile": "server.log", "databases": "1", "save": "", "maxmemory-policy": "noeviction",
        # What is acknowledged is on the disk: docs/decisions/0005-store.md.
        "appendonly": "yes", "appendfsync": "always", "aof-load-truncated": "yes",
    }  # fmt: skip
    options = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    return ending_with_us(program, options, SIGTERM)


async def ask(socket: str, command: str) -> str | None:
    """The first line of a server's answer; None when it gives none. Without the client, which would try again."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"{command}\r\n".encode())
                return (await reader.readline()).decode(errors="replace").strip() or None
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
