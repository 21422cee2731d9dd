"""The audit: append-only, each entry sealed by the hash of the one before it."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import msgspec
import structlog

from bot.domain.plan_journal import AuditEntry
from bot.domain.redact import redact
from bot.store.connection import Connection

log = structlog.get_logger()

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the audit. Noted down elsewhere it proves that nothing was cut off."""

    number: int = 0
    hash: str = ""

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def sealed(entry: AuditEntry, head: Head) -> AuditEntry:
    """The entry as the next one after `head`, without secrets that somebody typed or an API server said."""
    who, detail = redact(entry.who), redact(entry.detail)
    entry = msgspec.structs.replace(entry, who=who, detail=detail, number=head.number + 1, previous=head.hash, hash="")
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 over everything in it but its own hash."""
    bare = msgspec.structs.replace(entry, hash="")
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def flaws(lines: Iterable[bytes], head: Head) -> Iterator[str]:
    """What is wrong with these entries, which should end in `head`, in sentences; nothing when they are whole."""
    number, previous = 0, ""
    for line in lines:
        number += 1
        try:
            entry = msgspec.json.decode(line, type=AuditEntry)
        except msgspec.MsgspecError as error:
            yield f"Entry {number} cannot be read: {error}."
            previous = ""
            continue
        if entry.number != number:
            yield f"Entry {entry.number} is where entry {number} should be: some were removed, added or reordered."
            number = entry.number
        if entry.hash != hash_of(entry):
            yield f"Entry {entry.number} was altered."
        if entry.previous != previous:
            yield f"Entry {entry.number} does not follow the entry before it."
        previous = entry.hash
    if (number, previous) != (head.number, head.hash):
        yield f"It ends with entry {number} ({previous[:12]}), and should with {head.number} ({head.hash[:12]})."


def hashed(lines: Iterable[bytes]) -> set[str]:
    """Each entry as people note it down: NUMBER:HASH, by what it holds and not by what it says of itself."""
    entries = (msgspec.json.decode(line, type=AuditEntry) for line in lines)
    return {str(Head(number=one.number, hash=hash_of(one))) for one in entries}


class Audit:
    """Reads the audit. What writes it is the script that makes the change it is about (`bot.store.plans`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.key, self.head_key = connection.keys.of("audit"), connection.keys.of("audit", "head")

    async def head(self) -> Head:
        """Where it ends now."""
        async with self._connection.client() as client:
            raw = cast("bytes | None", await client.get(self.head_key))
        return head_of(raw)

    async def lines(self) -> AsyncIterator[bytes]:
        """Every entry as it is stored, oldest first."""
        start = 0
        while True:
            async with self._connection.client() as client:
                page = cast("list[bytes]", await client.lrange(self.key, start, start + _PAGE - 1))
            for line in page:
                yield line
            if len(page) < _PAGE:
                return
            start += _PAGE


def head_of(raw: bytes | str | None) -> Head:
    """The head as it is stored; an unreadable one is the beginning, which no script then takes for the end."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw or ""
    number, colon, digest = text.partition(":")
    return Head(number=int(number), hash=digest) if colon and number.isdecimal() else Head()
