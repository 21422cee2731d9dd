"""Pipes as asynchronous streams, and a container's log."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

_CHUNK_BYTES: Final = 1 << 16
_HIGH_WATER: Final = 64
"""Chunks in a reader's queue before it stops reading its pipe."""


class PipeReader:
    """Bytes from a pipe or terminal as they come; ends with the last writer. Owns and closes ``fd``."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._open = True
        self._loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the terminal's other side has closed
            data = b""
        self._queue.put_nowait(data)
        if not data:
            self.close()
        elif self._queue.qsize() >= _HIGH_WATER:
            self._loop.remove_reader(self._fd)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._open and self._queue.empty():
            raise StopAsyncIteration
        data = await self._queue.get()
        if not data:
            raise StopAsyncIteration
        if self._open and self._queue.qsize() < _HIGH_WATER:
            self._loop.add_reader(self._fd, self._readable)
        return data

    def close(self) -> None:
        """Stop reading; safe to call twice."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)


class PipeWriter:
    """Bytes into a pipe or terminal, waiting while it is full. Owns and closes ``fd``."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._open = True

    async def write(self, data: bytes) -> None:
        """Nothing happens when the reader has gone."""
        view = memoryview(data)
        while view and self._open:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._room()
            except OSError:
                return

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(self._fd)

    def close(self) -> None:
        """Safe to call twice."""
        if self._open:
            self._open = False
            os.close(self._fd)


class ContainerLog:
    """The newest megabyte or so of what a container wrote, line by line."""

    def __init__(self, limit_bytes: int = 1 << 20) -> None:
        self._lines: deque[bytes] = deque()
        self._first = 0
        self._size = 0
        self._limit = limit_bytes
        self._rest = b""
        self._changed = asyncio.Event()
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Append what the container wrote."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._lines.append(line + b"\n")
            self._size += len(line) + 1
        while self._size > self._limit:
            self._size -= len(self._lines.popleft())
            self._first += 1
        self._notify()

    def end(self) -> None:
        """No more will come; an unfinished line counts as one."""
        if self._rest:
            self._lines.append(self._rest)
            self._rest = b""
        self.ended = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def read(self, *, follow: bool, tail_lines: int | None) -> AsyncIterator[bytes]:
        """Lines from the beginning, or the last ones; with ``follow`` until the container ends."""
        start = 0 if tail_lines is None else max(0, len(self._lines) - tail_lines)
        position = self._first + start
        while True:
            changed, ended = self._changed, self.ended
            while position < self._first + len(self._lines):
                position = max(position, self._first)
                line = self._lines[position - self._first]
                position += 1
                yield line
            if not follow or ended:
                return
            await changed.wait()


def watch_pipe(fd: int, take: Callable[[bytes], None], done: Callable[[], None]) -> None:
    """Hand over what a pipe delivers from inside the event loop's own callbacks: no task for each container."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(fd, _CHUNK_BYTES)
            if data:
                take(data)
                return
            loop.remove_reader(fd)
            os.close(fd)
            done()

    loop.add_reader(fd, readable)
