"""What eBPF programs keep in pinned maps and links, and where they hang: read by bpf(2), nothing is changed.

Reading pinned objects takes uid 0 and no capability; neither the CNI's agent nor its tools are needed.

Source: include/uapi/linux/bpf.h (union bpf_attr, struct bpf_map_info, struct bpf_link_info)
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.agent.files import read_text

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
MAP_LOOKUP_ELEM, MAP_GET_NEXT_KEY, OBJ_GET, OBJ_GET_INFO_BY_FD = 1, 4, 7, 15
PROG_GET_FD_BY_ID, PROG_QUERY = 13, 16
LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID = 30, 31
READ_ONLY = 1 << 3
ATTR_BYTES = 144
INFO_BYTES = 256
PER_CPU = frozenset({5, 6, 10, 21})
"""Types of maps with one value for each CPU."""
LINK_CGROUP, LINK_NETFILTER, LINK_TCX = 3, 10, 11
LINKS_LIMIT = 5000
LINK_AT = 16
"""Where a link's info tells of its place; before that its type, its number and the program's."""
QUERY = struct.Struct("=IIIIQIIQQQQ")
"""Device, place, flags of both, address and number of the programs' numbers, and what belongs to each."""
QUERY_COUNT_AT = 24
PROGRAM_NAME_AT, PROGRAM_NAME_BYTES = 64, 16
PROGRAMS_LIMIT = 64
NO_SUCH_PLACE = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT})
"""Of kernels that know no such place for programs, and of devices without any: then there are none."""
POSSIBLE_CPUS = "/sys/devices/system/cpu/possible"


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says about a map."""

    type: int
    key_size: int
    value_size: int
    max_entries: int


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What the kernel says about a link between a program and the place where it runs."""

    type: int
    target: int
    """ifindex, or the cgroup's id; 0 when the program is detached."""


@dataclass(frozen=True, slots=True)
class NetfilterLink:
    """A program on a hook of netfilter (Linux 6.4 and later)."""

    program: int
    family: int
    """AF_INET or AF_INET6."""
    hook: int
    """enum nf_inet_hooks."""
    priority: int


class PinnedMap:
    """A pinned map, open for reading."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        info = _info(fd)
        self.info = MapInfo(*struct.unpack_from("=I4xIII", info))
        self._value_bytes = self.info.value_size
        if self.info.type in PER_CPU:
            self._value_bytes = ((self.info.value_size + 7) & ~7) * _possible_cpus()

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key (of a per-CPU map all CPUs' one after the other); None when it has none."""
        key_at = ctypes.create_string_buffer(key, len(key))
        value_at = ctypes.create_string_buffer(self._value_bytes)
        attr = struct.pack("=I4xQQ", self._fd, ctypes.addressof(key_at), ctypes.addressof(value_at))
        try:
            _bpf(MAP_LOOKUP_ELEM, attr)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value_at.raw

    def items(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` keys with their values; those that go away meanwhile are left out."""
        key: bytes | None = None
        for _ in range(min(limit, self.info.max_entries)):
            key = self._next(key)
            if key is None:
                return
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def _next(self, key: bytes | None) -> bytes | None:
        key_at = ctypes.create_string_buffer(key, self.info.key_size) if key is not None else None
        next_at = ctypes.create_string_buffer(self.info.key_size)
        address = ctypes.addressof(key_at) if key_at is not None else 0
        try:
            _bpf(MAP_GET_NEXT_KEY, struct.pack("=I4xQQ", self._fd, address, ctypes.addressof(next_at)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return next_at.raw


@contextmanager
def pinned_map(path: str) -> Generator[PinnedMap]:
    """A map by its path in a bpf file system. OSError when there is none, or it may not be read."""
    fd = _get(path, READ_ONLY)
    try:
        yield PinnedMap(fd)
    finally:
        os.close(fd)


def pinned_link(path: str) -> LinkInfo | None:
    """A link by its path; None when it is of a kind that hangs neither on a device nor on a cgroup."""
    fd = _get(path, 0)  # the kernel gives links for reading and writing only; we but ask about them
    try:
        info = _info(fd)
    finally:
        os.close(fd)
    kind = struct.unpack_from("=I", info)[0]
    if kind == LINK_TCX:
        return LinkInfo(kind, struct.unpack_from("=I", info, LINK_AT)[0])
    return LinkInfo(kind, struct.unpack_from("=Q", info, LINK_AT)[0]) if kind == LINK_CGROUP else None


def netfilter_links() -> Iterator[NetfilterLink]:
    """Those of all network namespaces: a link does not tell its own. OSError where bpf(2) is refused."""
    number = 0
    for _ in range(LINKS_LIMIT):
        if not (number := _next_link(number)):
            return
        try:
            fd = _bpf(LINK_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue  # gone meanwhile
            raise
        try:
            found = netfilter_link(_info(fd))
        finally:
            os.close(fd)
        if found:
            yield found
    raise OSError(errno.E2BIG, f"there are more than {LINKS_LIMIT} links of BPF programs")


def netfilter_link(info: bytes) -> NetfilterLink | None:
    """What the kernel says about a link; None for one of another kind."""
    kind, _, program = struct.unpack_from("=III", info)
    return NetfilterLink(program, *struct.unpack_from("=IIi", info, LINK_AT)) if kind == LINK_NETFILTER else None


def attached_programs(ifindex: int, place: int) -> tuple[int, ...]:
    """Numbers of the programs at one place (enum bpf_attach_type) of a device of the thread's namespace. OSError."""
    numbers = ctypes.create_string_buffer(PROGRAMS_LIMIT * 4)
    attr = QUERY.pack(ifindex, place, 0, 0, ctypes.addressof(numbers), PROGRAMS_LIMIT, 0, 0, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attr, ATTR_BYTES)
    try:
        _call(PROG_QUERY, buffer)
    except OSError as error:
        if error.errno in NO_SUCH_PLACE:
            return ()
        raise
    count: int = min(struct.unpack_from("=I", buffer, QUERY_COUNT_AT)[0], PROGRAMS_LIMIT)
    return struct.unpack_from(f"={count}I", numbers)


def program_name(number: int) -> str:
    """A program's name, at most 15 letters of it. OSError when there is none, or it may not be asked about."""
    fd = _bpf(PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
    try:
        info = _info(fd)
    finally:
        os.close(fd)
    name = info[PROGRAM_NAME_AT : PROGRAM_NAME_AT + PROGRAM_NAME_BYTES]
    return name.partition(b"\0")[0].decode("ascii", "replace")


def _next_link(number: int) -> int:
    """The number of the next link; 0 behind the last, and on kernels before 5.8, which number none."""
    buffer = ctypes.create_string_buffer(struct.pack("=I", number), ATTR_BYTES)
    try:
        _call(LINK_GET_NEXT_ID, buffer)
    except OSError as error:
        if error.errno in NO_SUCH_PLACE:
            return 0
        raise
    following: int = struct.unpack_from("=I", buffer, 4)[0]
    return following


def _get(path: str, flags: int) -> int:
    name = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, flags))


def _info(fd: int) -> bytes:
    buffer = ctypes.create_string_buffer(INFO_BYTES)
    _bpf(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", fd, INFO_BYTES, ctypes.addressof(buffer)))
    return buffer.raw


def _bpf(command: int, attr: bytes) -> int:
    return _call(command, ctypes.create_string_buffer(attr, ATTR_BYTES))


def _call(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) has no number that we know on {platform.machine()}")
    result: int = _libc.syscall(number, command, attr, ATTR_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _possible_cpus() -> int:
    """The kernel keeps a value for each CPU that could be there: "0-7" are eight."""
    last = read_text(POSSIBLE_CPUS).strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


_libc = ctypes.CDLL(None, use_errno=True)
