"""A gRPC call in a few frames of HTTP/2: does the peer speak gRPC, and does it say that it serves?

Header fields that come back are not decoded: that there are any tells enough, and the health is in the data.

Sources: https://www.rfc-editor.org/rfc/rfc9113 (frames), https://www.rfc-editor.org/rfc/rfc7541 (header fields),
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
STREAM = 1
HEALTH = b"/grpc.health.v1.Health/Check"
MOST_FRAMES = 32
MOST_BYTES = 16_384
"""Of a frame: the largest that nobody has to be asked for."""


class NotUnderstoodError(Exception):
    """What came back is not of the protocol that was spoken; its text says more, where there is more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of HTTP/2."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def encoded(self) -> bytes:
        """As it is sent."""
        head = len(self.payload).to_bytes(3, "big") + bytes((self.kind, self.flags)) + self.stream.to_bytes(4, "big")
        return head + self.payload


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame. Errors: `NotUnderstoodError`, and asyncio.IncompleteReadError at the end."""
    head = await reader.readexactly(9)
    length = int.from_bytes(head[:3], "big")
    if length > MOST_BYTES:
        raise NotUnderstoodError
    return Frame(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFF_FFFF, await reader.readexactly(length))


def health_request(authority: str, service: str) -> bytes:
    """Preface, settings and the whole request. `service` "": the server as a whole."""
    fields = b"\x83\x86" + _field(4, HEALTH) + _field(1, authority.encode()[:120])  # POST, http, :path, :authority
    fields += b"\x0f\x10" + _text(b"application/grpc") + b"\x00" + _text(b"te") + _text(b"trailers")
    message = b"\x0a" + _text(service.encode()[:120]) if service else b""
    frames = (
        Frame(SETTINGS, 0, 0, b""),
        Frame(HEADERS, END_HEADERS, STREAM, fields),
        Frame(DATA, END_STREAM, STREAM, b"\0" + len(message).to_bytes(4, "big") + message),
    )
    return PREFACE + b"".join(frame.encoded() for frame in frames)


def _field(name: int, value: bytes) -> bytes:
    """A header field whose name is in the static table, neither indexed nor compressed."""
    return bytes((name,)) + _text(value)


def _text(text: bytes) -> bytes:
    return bytes((len(text),)) + text


async def health(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> int | None:
    """The health that the peer tells (1: serving, 2: not serving); None: it speaks gRPC and tells none.

    Errors: `NotUnderstoodError`, asyncio.IncompleteReadError, OSError.
    """
    writer.write(health_request(authority, service))
    first = await read_frame(reader)
    if first.kind != SETTINGS:
        raise NotUnderstoodError
    writer.write(Frame(SETTINGS, ACK, 0, b"").encoded())
    message = b""
    is_answered = False
    for _ in range(MOST_FRAMES):
        frame = await read_frame(reader)
        if frame.kind == GOAWAY:
            raise NotUnderstoodError("the peer ended the connection (GOAWAY)")
        if frame.stream != STREAM:
            continue
        if frame.kind == RST_STREAM:
            raise NotUnderstoodError("the peer refused the call (RST_STREAM)")
        is_answered = is_answered or frame.kind == HEADERS
        message += frame.payload if frame.kind == DATA else b""
        if frame.flags & END_STREAM:
            break
    if not is_answered:
        raise NotUnderstoodError("the peer speaks HTTP/2 and no gRPC")
    return _status(message[5:]) if len(message) >= 5 else None


def _status(message: bytes) -> int:
    """Field 1 of a HealthCheckResponse; its default, unknown, is not sent."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
