"""DNS messages: one question for an A record, and what came back.

Source: https://www.rfc-editor.org/rfc/rfc1035 section 4
"""

import socket
import struct
from dataclasses import dataclass

HEADER = struct.Struct("!HHHHHH")
QUESTION = struct.Struct("!HH")
RECORD = struct.Struct("!HHIH")
TYPE_A = 1
TYPE_AAAA = 28
TYPES = {"A": TYPE_A, "AAAA": TYPE_AAAA}
CLASS_IN = 1
RECURSION_DESIRED = 0x0100
RESPONSE = 0x8000
TRUNCATED = 0x0200
RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
ANSWERS_LIMIT = 8
RECORDS_LIMIT = 64
POINTER = 0xC0


class DnsError(ValueError):
    """The name cannot be asked for, or the answer is not one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsAnswer:
    """What a server said."""

    rcode: str
    addresses: tuple[str, ...]
    """Of A and AAAA records, at most 8."""
    is_truncated: bool


def encode_question(ident: int, name: str, record: str = "A") -> bytes:
    """A recursive question for the name's A (or AAAA) records. DnsError when the name does not fit DNS."""
    labels: list[bytes] = []
    for label in name.rstrip(".").split("."):
        try:
            raw = label.encode("ascii")
        except UnicodeEncodeError as error:
            raise DnsError(f"not a DNS name: {name!r}") from error
        if not 1 <= len(raw) <= 63:
            raise DnsError(f"not a DNS name: {name!r}")
        labels.append(bytes([len(raw)]) + raw)
    encoded = b"".join(labels) + b"\0"
    if len(encoded) > 255:
        raise DnsError("the name is longer than 255 bytes")
    return HEADER.pack(ident, RECURSION_DESIRED, 1, 0, 0, 0) + encoded + QUESTION.pack(TYPES[record], CLASS_IN)


def decode_answer(data: bytes, ident: int) -> DnsAnswer:
    """What a server answered. DnsError when it is no answer to this question."""
    try:
        return _decode(data, ident)
    except struct.error as error:
        raise DnsError("the answer is cut short") from error


def _decode(data: bytes, ident: int) -> DnsAnswer:
    found_ident, flags, questions, records, _, _ = HEADER.unpack_from(data)
    if found_ident != ident or not flags & RESPONSE:
        raise DnsError("not the answer to this question")
    offset = HEADER.size
    for _ in range(min(questions, RECORDS_LIMIT)):
        offset = _skip_name(data, offset) + QUESTION.size
    addresses: list[str] = []
    is_truncated = bool(flags & TRUNCATED)
    for _ in range(min(records, RECORDS_LIMIT)):
        if is_truncated and offset >= len(data):
            break
        offset = _skip_name(data, offset)
        kind, _, _, length = RECORD.unpack_from(data, offset)
        offset += RECORD.size
        if kind == TYPE_A and length == 4 and offset + 4 <= len(data):
            addresses.append(socket.inet_ntoa(data[offset : offset + 4]))
        elif kind == TYPE_AAAA and length == 16 and offset + 16 <= len(data):
            addresses.append(socket.inet_ntop(socket.AF_INET6, data[offset : offset + 16]))
        offset += length
    code: int = flags & 0xF
    return DnsAnswer(
        rcode=RCODES[code] if code < len(RCODES) else f"RCODE{code}",
        addresses=tuple(addresses[:ANSWERS_LIMIT]),
        is_truncated=is_truncated,
    )


def _skip_name(data: bytes, offset: int) -> int:
    """The offset after a name: labels up to an empty one, or to a pointer elsewhere, which need not be followed."""
    while True:
        if offset >= len(data):
            raise DnsError("the answer is cut short")
        length = data[offset]
        if length == 0:
            return offset + 1
        if length & POINTER == POINTER:
            return offset + 2
        if length & POINTER:
            raise DnsError("the answer holds an unknown kind of label")
        offset += 1 + length
