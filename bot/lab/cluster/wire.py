"""JSON lines with file descriptors over Unix sockets: how the lab's processes talk to each other.

A message is one JSON object on one line. A key ``fds`` says how many descriptors travel with it; they are sent
with the line's first byte, so they never arrive later than the line itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from bot.lab.cluster.names import Json

_CHUNK_BYTES: Final = 1 << 16
_MAX_FDS: Final = 16
MAX_LINE_BYTES: Final = 16 << 20
"""A peer that sends a longer line is cut off."""


class WireError(Exception):
    """The peer is gone, or does not speak this protocol."""


class Parser:
    """Bytes and descriptors in, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fds: deque[int] = deque()

    def feed(self, data: bytes, fds: Sequence[int]) -> list[tuple[Json, list[int]]]:
        """The messages completed by this chunk, each with its descriptors (the receiver owns them)."""
        self._buffer += data
        self._fds.extend(fds)
        if len(self._buffer) > MAX_LINE_BYTES:
            raise WireError("a message is too long")
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        return [self._message(bytes(line)) for line in lines]

    def _message(self, line: bytes) -> tuple[Json, list[int]]:
        try:
            message: Any = json.loads(line)
        except ValueError as error:
            raise WireError("a message is not JSON") from error
        if not isinstance(message, dict):
            raise WireError("a message is not a JSON object")
        made: Json = cast("Json", message)
        count = int(made.pop("fds", 0))
        if count > len(self._fds):
            raise WireError("a message came without its descriptors")
        return made, [self._fds.popleft() for _ in range(count)]

    def close(self) -> None:
        """Close descriptors that nobody took."""
        while self._fds:
            os.close(self._fds.popleft())


def _line(message: Json, fds: Sequence[int]) -> bytes:
    return json.dumps({**message, "fds": len(fds)} if fds else message, separators=(",", ":")).encode() + b"\n"


class BlockingChannel:
    """The protocol for processes without an event loop: node processes and command-line clients."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self.sock = sock
        self._parser = Parser()
        self._ready: deque[tuple[Json, list[int]]] = deque()

    def send(self, message: Json, fds: Sequence[int] = ()) -> None:
        """Blocks until the peer's buffer takes it."""
        data = _line(message, fds)
        sent = socket.send_fds(self.sock, [data], fds) if fds else self.sock.send(data)
        self.sock.sendall(data[sent:])

    def receive(self) -> tuple[Json, list[int]] | None:
        """The next message; None when the peer has closed."""
        while not self._ready:
            data, fds, _, _ = socket.recv_fds(self.sock, _CHUNK_BYTES, _MAX_FDS)
            if not data:
                return None
            self._ready.extend(self._parser.feed(data, fds))
        return self._ready.popleft()

    def pending(self) -> bool:
        """Is a message here already, so that waiting for the socket would be a mistake?"""
        return bool(self._ready)


class Channel:
    """The protocol in an event loop. One reader at a time; writes never block, they queue."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._parser = Parser()
        self._incoming: asyncio.Queue[tuple[Json, list[int]] | None] = asyncio.Queue()
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._closed = False
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Json, fds: Sequence[int] = ()) -> None:
        """Queue a message. Descriptors are duplicated, the caller keeps its own."""
        if self._closed:
            raise WireError("the channel is closed")
        self._outgoing.append((_line(message, fds), [os.dup(fd) for fd in fds]))
        self._writable()

    async def receive(self) -> tuple[Json, list[int]] | None:
        """The next message; None when the peer has closed."""
        return await self._incoming.get()

    def _readable(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, _CHUNK_BYTES, _MAX_FDS)
            messages = self._parser.feed(data, fds)
        except BlockingIOError:
            return
        except (OSError, WireError):
            data, messages = b"", []
        for message in messages:
            self._incoming.put_nowait(message)
        if not data:
            self._loop.remove_reader(self._sock)
            self._incoming.put_nowait(None)

    def _writable(self) -> None:
        while self._outgoing:
            data, fds = self._outgoing[0]
            try:
                sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError:
                self.close()
                return
            for fd in fds:
                os.close(fd)
            self._outgoing.popleft()
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], []))
        self._loop.remove_writer(self._sock)

    def close(self) -> None:
        """Close the socket and everything still queued; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()
        self._parser.close()
        self._sock.close()
        self._incoming.put_nowait(None)
