"""A tap on the kernel's drop event, by bpf(2) alone: every dropped packet with its own bytes.

Descriptors hold it together: when the process ends, however it ends, the kernel takes program and buffer away.

Source: https://man7.org/linux/man-pages/man2/bpf.2.html
"""

import contextlib
import ctypes
import mmap
import os
import platform
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bot.agent.trace.btf import Btf
from bot.agent.trace.bytecode import (
    DEVICE_AT,
    DEVICE_BYTES,
    PACKET_AT,
    PACKET_BYTES,
    RECORD,
    RECORD_BYTES,
    STACK_AT,
    STACK_BYTES,
    STRUCTURES,
    program,
)

SYSCALLS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351, "ppc64le": 361}
MAP_CREATE, PROG_LOAD, RAW_TRACEPOINT_OPEN = 0, 5, 17
RINGBUF, RAW_TRACEPOINT = 27, 17
ATTRIBUTE_BYTES = 144
RING_BYTES = 1 << 20
HEADER_BYTES = 8
BUSY, DISCARDED = 1 << 31, 1 << 30
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropEvent:
    """One packet that the kernel gave up. `packet` starts at its network header."""

    location: int
    reason: str
    netns: int
    """Inode of the device's namespace, else of the socket's; 0: neither is known."""
    dev: str
    packet: bytes
    stack: tuple[int, ...]


class Tap:
    """Listens from the moment it is made. OSError where bpf(2) is refused or the kernel does not describe itself."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._size = size
        self._open = contextlib.ExitStack()
        try:
            btf = Btf.of_kernel(STRUCTURES)
            self._reasons = btf.drop_reasons
            ring = self._kept(_bpf(MAP_CREATE, struct.pack("=IIII", RINGBUF, 0, 0, size)))
            page = mmap.PAGESIZE
            self._consumed = self._open.enter_context(
                mmap.mmap(ring, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            )
            self._produced = self._open.enter_context(
                mmap.mmap(ring, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
            )
            self._attach(program(btf, ring))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take it out of the kernel."""
        self._open.close()

    def read(self) -> Iterator[DropEvent]:
        """What was dropped since the last reading."""
        at: int = struct.unpack_from("=Q", self._consumed)[0]
        end: int = struct.unpack_from("=Q", self._produced)[0]
        while at < end:
            place = mmap.PAGESIZE + (at & self._size - 1)
            head: int = struct.unpack_from("=I", self._produced, place)[0]
            if head & BUSY:
                break
            data = self._produced[place + HEADER_BYTES : place + HEADER_BYTES + RECORD_BYTES]
            at += (head & ~(BUSY | DISCARDED)) + HEADER_BYTES + 7 & ~7
            struct.pack_into("=Q", self._consumed, 0, at)
            yield self._event(data)

    def _event(self, data: bytes) -> DropEvent:
        location, reason, _, _, _, netns, socket_netns, _ = RECORD.unpack_from(data)
        stack: tuple[int, ...] = struct.unpack_from(f"={STACK_BYTES // 8}Q", data, STACK_AT)
        return DropEvent(
            location=location,
            reason=self._reasons.get(reason, str(reason)) if self._reasons else "",
            netns=netns or socket_netns,
            dev=data[DEVICE_AT : DEVICE_AT + DEVICE_BYTES].partition(b"\0")[0].decode("utf-8", "replace"),
            packet=data[PACKET_AT : PACKET_AT + PACKET_BYTES],
            stack=tuple(frame for frame in stack if frame),
        )

    def _attach(self, code: bytes) -> None:
        text = ctypes.create_string_buffer(code, len(code))
        licence, name = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(b"kfree_skb")
        loaded = _bpf(
            PROG_LOAD,
            struct.pack("=IIQQ", RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(text), ctypes.addressof(licence)),
        )
        try:
            self._kept(_bpf(RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(name), loaded)))
        finally:
            os.close(loaded)

    def _kept(self, fd: int) -> int:
        self._open.callback(os.close, fd)
        return fd


def _bpf(command: int, attribute: bytes) -> int:
    number = SYSCALLS.get(platform.machine())
    if number is None or socket.htons(1) == 1:
        raise OSError(f"bpf(2) is not known here for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attribute, ATTRIBUTE_BYTES)
    result: int = _libc.syscall(number, command, buffer, ATTRIBUTE_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bpf(2): {os.strerror(code)}")
    return result
