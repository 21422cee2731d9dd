"""A real redis-server for tests. Fixtures, to be had everywhere: `redis_server` (one per test process) and `store` (an
empty store on it)."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from bot.lab.scratch import scratch
from bot.store import Store, open_store
from bot.store.server.binary import candidates
from tests.programs import ending_with_us


def find_server() -> str:
    """The program that the bot would take; its absence fails the test, for the development setup installs one."""
    found = candidates()
    assert found, "no redis-server: run .ci/setup"
    return found[0]


class RedisServer:
    """A redis-server on a Unix socket, with its data in a directory of its own under /tmp (socket paths are short).

    It runs within `with`, which also removes the data.
    """

    def __init__(self, *options: str, password: str | None = None, is_sentinel: bool = False) -> None:
        self._home = ExitStack()
        self.directory = self._home.enter_context(scratch("redis"))
        self.socket = self.directory / "redis.sock"
        self.options = (*options, "--requirepass", password) if password else options
        self._hello = f"AUTH {password}\r\n".encode() if password else b"PING\r\n"
        self._is_sentinel = is_sentinel
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def url(self) -> str:
        """For `open_store`."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Returns when the server answers."""
        stored = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
        kind = (str(self.directory / "sentinel.conf"), "--sentinel") if self._is_sentinel else stored
        command = [find_server(), *kind, "--unixsocket", str(self.socket), "--dir", str(self.directory)]
        port = () if "--port" in self.options else ("--port", "0")
        self._process = subprocess.Popen(
            ending_with_us(*command, *port, "--logfile", str(self.directory / "log"), *self.options),
            stdout=subprocess.DEVNULL,
            restore_signals=False,  # for `fill_disk`: a file over its limit is an error then, not the end
        )
        until = time.monotonic() + 20
        while not self._answers():
            log = (self.directory / "log").read_text(encoding="utf-8") if (self.directory / "log").exists() else ""
            assert time.monotonic() < until, log
            assert self._process.poll() is None, log
            time.sleep(0.005)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(str(self.socket))
                connection.sendall(self._hello)
                return connection.recv(16) in {b"+PONG\r\n", b"+OK\r\n"}
            except OSError:
                return False

    def stop(self, by: int = signal.SIGTERM) -> None:
        """Returns when it has ended."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)  # a stopped one would not hear SIGTERM
            self._process.send_signal(by)
            self._process.wait(timeout=20)
            self._process = None

    def pause(self) -> None:
        """Alive, and silent."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The end of `pause`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """No file may grow any more."""
        largest = max(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())
        self._limit_files(largest)

    def empty_disk(self) -> None:
        """The end of `fill_disk`."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, most: int) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def _close(self) -> None:
        self.stop(signal.SIGKILL)
        self._home.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for the whole session; who stops it starts a `RedisServer` of his own instead."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def store(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store on the session's server."""
    async with open_store(redis_server.url, tmp_path) as opened:
        async with opened.connection.client() as client:
            await client.flushall()  # pyright: ignore[reportUnknownMemberType] untyped arguments
        yield opened
