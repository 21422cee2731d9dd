"""A netlink socket: dumps and questions as raw attributes.

Why not pyroute2's: importing it takes 0.3 s, opening a socket 0.5 ms and the five dumps of a nearly empty namespace
3.8 ms (0.9.7, Python 3.11), while a node may have hundreds of namespaces to read twice; these few lines take 0.2 ms
for the same dumps. The tests hold both against each other on real namespaces.

Source: https://docs.kernel.org/userspace-api/netlink/intro.html
"""

import os
import socket
import struct
from types import TracebackType
from typing import Self

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_XFRM = 6
NETLINK_NETFILTER = 12

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLA_TYPE_MASK = 0x3FFF

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
ERRNO = struct.Struct("=i")
RECEIVE_BYTES = 1 << 16
"""The kernel sends at most 32 KiB of a dump at once."""
ANSWER_LIMIT_S = 2
"""The kernel answers at once; a silent socket is a bug that must not hold the report."""
DUMP_TRIES = 3
"""A dump that a change interrupted is taken again; the last one stands as it is."""

type_and_body = tuple[int, bytes]


class NetlinkSocket:
    """A socket in the namespace that the thread was in when it was made; it stays there."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_LIMIT_S, 0))
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[type_and_body]:
        """All messages of a dump: (type, body without the netlink header). OSError with the kernel's errno."""
        for _ in range(DUMP_TRIES - 1):
            messages, is_consistent = self._dump_once(kind, body)
            if is_consistent:
                return messages
        return self._dump_once(kind, body)[0]

    def ask(self, kind: int, body: bytes) -> type_and_body:
        """The one message that answers. OSError with the kernel's errno when it refuses."""
        self._send(kind, NLM_F_REQUEST, body)
        for message_type, _, payload in self._receive():
            if message_type == NLMSG_ERROR:
                _raise_for(payload)
            return message_type, payload
        raise OSError(socket.EAI_FAIL, "the kernel sent an empty answer")

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[type_and_body], bool]:
        self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
        found: list[type_and_body] = []
        is_consistent = True
        while True:
            for message_type, flags, payload in self._receive():
                is_consistent = is_consistent and not flags & NLM_F_DUMP_INTR
                if message_type == NLMSG_DONE:
                    return found, is_consistent
                if message_type == NLMSG_ERROR:
                    _raise_for(payload)
                    return found, is_consistent
                found.append((message_type, payload))

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, self._sequence, 0) + body)

    def _receive(self) -> list[tuple[int, int, bytes]]:
        """The messages of one datagram that belong to the last request: (type, flags, body)."""
        while True:
            data = self._socket.recv(RECEIVE_BYTES)
            found: list[tuple[int, int, bytes]] = []
            offset = 0
            while offset + HEADER.size <= len(data):
                length, message_type, flags, sequence, _ = HEADER.unpack_from(data, offset)
                if length < HEADER.size or offset + length > len(data):
                    break
                if sequence == self._sequence:
                    found.append((message_type, flags, data[offset + HEADER.size : offset + length]))
                offset += (length + 3) & ~3
            if found:
                return found


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attribute type -> its bytes. Cut short where the bytes are not well formed."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or offset + length > end:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def nested(data: bytes) -> list[bytes]:
    """The bytes of each attribute of a list, whose attributes may all be of one type."""
    found: list[bytes] = []
    offset = 0
    while offset + 4 <= len(data):
        length, _ = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or offset + length > len(data):
            break
        found.append(data[offset + 4 : offset + length])
        offset += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One encoded attribute, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def u32(data: bytes | None, default: int = 0) -> int:
    """A number in the processor's order; the default for none."""
    return int.from_bytes(data[:4], "little" if _IS_LITTLE else "big") if data else default


def text(data: bytes | None) -> str:
    """A NUL-terminated string of the kernel."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace") if data else ""


def _raise_for(payload: bytes) -> None:
    code = -ERRNO.unpack_from(payload)[0]
    if code:
        raise OSError(code, os.strerror(code))


_IS_LITTLE = struct.pack("=H", 1) == b"\x01\x00"
