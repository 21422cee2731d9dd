"""Offsets of structure members and names of drop reasons, from the kernel's own type information (BTF).

Only what is asked for is decoded: a kernel describes about 130,000 types, and the walk over them is all that costs.

Source: https://docs.kernel.org/bpf/btf.html section "BTF type and string encoding"
"""

import struct
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

VMLINUX = "/sys/kernel/btf/vmlinux"
HEADER = struct.Struct("<HBBIIIII")
MAGIC = 0xEB9F
TYPE = struct.Struct("<III")
"""Name, kind and number of members, size or type."""
MEMBER = struct.Struct("<III")
STRUCT, UNION, ENUM = 4, 5, 6
QUALIFIERS = frozenset({8, 9, 10, 11, 18})
"""typedef, volatile, const, restrict, type tag: what they name stands behind them."""
FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes behind the head of a type: int, array, variable, declaration tag."""
EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""Bytes for each member: struct, union, enum, function's parameters, data section, 64-bit enum."""
REASON_ENUM = "skb_drop_reason"
REASON_PREFIX = "SKB_DROP_REASON_"


class BtfError(OSError):
    """The kernel does not describe what is asked for."""


class Btf:
    """The types of one kernel. BtfError when `data` is none, OSError when the file cannot be read."""

    def __init__(self, data: bytes, wanted: Iterable[str]) -> None:
        if len(data) < HEADER.size:
            raise BtfError("no type information")
        magic, _, _, length, type_at, type_bytes, text_at, text_bytes = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise BtfError("no type information of this byte order")
        self._types = data[length + type_at : length + type_at + type_bytes]
        self._texts = data[length + text_at : length + text_at + text_bytes]
        self._starts: list[int] = [0]
        self._named: dict[str, int] = {}
        self._walk({self._text_at(name): name for name in (*wanted, REASON_ENUM)})

    @classmethod
    def of_kernel(cls, wanted: Iterable[str]) -> "Btf":
        """That of the running kernel."""
        return cls(Path(VMLINUX).read_bytes(), wanted)

    def offset(self, structure: str, path: str) -> int:
        """Bytes from the start of a structure to a member of it, or of members within: "ns.inum". BtfError."""
        at, number = 0, self._named.get(structure, 0)
        for name in path.split("."):
            found = self._member(number, name) if number else None
            if found is None:
                raise BtfError(f"this kernel has no {structure}.{path}")
            at, number = at + found[0], found[1]
        return at

    @cached_property
    def drop_reasons(self) -> dict[int, str]:
        """Names of the reasons; empty before Linux 5.17."""
        number = self._named.get(REASON_ENUM)
        if number is None:
            return {}
        at = self._starts[number]
        _, info, _ = TYPE.unpack_from(self._types, at)
        pairs = struct.iter_unpack("<Ii", self._types[at + TYPE.size : at + TYPE.size + 8 * (info & 0xFFFF)])
        return {value: self._text(name).removeprefix(REASON_PREFIX) for name, value in pairs}

    def _walk(self, wanted: dict[int, str]) -> None:
        types, starts, end, at = self._types, self._starts, len(self._types), 0
        unpack, size = TYPE.unpack_from, TYPE.size
        while at < end:
            name, info, _ = unpack(types, at)
            kind = info >> 24 & 31
            if name in wanted and kind in {STRUCT, ENUM}:
                self._named.setdefault(wanted[name], len(starts))
            starts.append(at)
            at += size + FIXED.get(kind, 0) + EACH.get(kind, 0) * (info & 0xFFFF)

    def _member(self, number: int, wanted: str) -> tuple[int, int] | None:
        """(bytes from the start, type) of a member, those of unnamed members included."""
        at = self._starts[number]
        _, info, target = TYPE.unpack_from(self._types, at)
        kind = info >> 24 & 31
        if kind in QUALIFIERS:
            return self._member(target, wanted)
        if kind not in {STRUCT, UNION}:
            return None
        for index in range(info & 0xFFFF):
            name, member, offset = MEMBER.unpack_from(self._types, at + TYPE.size + index * MEMBER.size)
            bits = offset & 0xFFFFFF if info >> 31 else offset  # the upper byte is the width of a bit field
            if name and self._text(name) == wanted:
                return bits // 8, member
            if not name and (inner := self._member(member, wanted)):
                return bits // 8 + inner[0], inner[1]
        return None

    def _text(self, at: int) -> str:
        return self._texts[at : self._texts.index(b"\0", at)].decode("ascii", "replace")

    def _text_at(self, name: str) -> int:
        found = self._texts.find(b"\0" + name.encode() + b"\0")
        return found + 1 if found >= 0 else -1
