"""The inbox: what came from Slack, kept until it has been handled.

At least once: an entry leaves only after its handler returned. Handlers therefore do nothing that may not be done twice
for one `Entry.id`. A stream with one consumer group; the process that works on an entry holds a lease on it, which is
the time since Redis last heard of it: no clock but the server's counts.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from bot.aio.retry import Backoff
from bot.domain.errors import TooLargeError
from bot.store.connection import Connection
from bot.store.entry import DeadEntry, Entry, Handle, Kind, OnDead, UnreadableEntryError, decoded
from bot.store.errors import StoreUnavailableError
from bot.store.keys import DAY_S
from bot.store.leases import Leases, Taken
from bot.store.working import Worker

SEEN_S = DAY_S
MOST_WAITING = 50_000
MOST_BODY_BYTES = 2 * 2**20

# KEYS: seen, stream. ARGV: how long seen is remembered, most waiting, kind, body, received_at.
_ACCEPT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
local id = redis.call('XADD', KEYS[2], '*', 'kind', ARGV[3], 'body', ARGV[4], 'received_at', ARGV[5])
redis.call('SET', KEYS[1], id, 'EX', ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxCounts:
    """How full it is."""

    waiting: int
    """Accepted and not yet handled, those being handled included."""
    dead: int


class Inbox:
    """What came in and is not yet handled."""

    def __init__(
        self,
        connection: Connection,
        *,
        lease_s: float = 15.0,
        is_alone: bool = False,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`is_alone`: no other process can be at work on this store, so leases of others are those of the dead."""
        self._connection = connection
        self._clock = clock
        self._backoff = backoff or Backoff(attempts=4, first_s=1.0, max_s=15.0)
        consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._leases = Leases(connection, consumer=consumer, lease_s=lease_s, is_alone=is_alone)
        self._accepting = connection.script(_ACCEPT)

    async def accept(self, dedup_id: str, kind: Kind, body: Mapping[str, Any]) -> bool:
        """Keep the request. True: it is new; False: it was accepted within the last 24 hours.

        When this returns, the entry is durable and may be acknowledged. Errors: `StoreUnavailableError`,
        `TooLargeError`: do not acknowledge.
        """
        data = msgspec.json.encode(body)
        if len(data) > MOST_BODY_BYTES:
            raise TooLargeError("A request from Slack", MOST_BODY_BYTES)
        keys = [self._connection.keys.digest("seen", dedup_id), self._leases.stream]
        async with self._connection.door():
            arguments = [SEEN_S, MOST_WAITING, kind, data, repr(self._clock())]
            done = cast("int", await self._accepting(keys=keys, args=arguments))
        if done < 0:
            raise StoreUnavailableError(self._connection.where, f"its inbox is full ({MOST_WAITING} entries)")
        return done == 1

    async def work(
        self,
        handle: Handle,
        *,
        concurrency: int = 16,
        on_dead: OnDead | None = None,
        stopping: asyncio.Event | None = None,
    ) -> None:
        """Hand each entry to `handle`, until cancelled, or until `stopping` is set and what was begun is done.

        An entry whose handler fails is handed to it again, after a pause, three times; then it is put aside with the
        error, and `on_dead` is told. While the store is away nothing is lost and nothing ends: a handler that fails
        with `StoreUnavailableError` is called again when the store is back, as often as it takes.
        """
        await Worker(
            self._connection,
            self._leases,
            handle=handle,
            on_dead=on_dead or _ignore,
            backoff=self._backoff,
            clock=self._clock,
        ).run(concurrency, stopping or asyncio.Event())

    async def counts(self) -> InboxCounts:
        """How full it is."""
        async with self._connection.door() as client:
            return InboxCounts(
                waiting=int(await client.xlen(self._leases.stream)), dead=int(await client.xlen(self._leases.dead))
            )

    async def dead(self, limit: int = 100) -> tuple[DeadEntry, ...]:
        """Entries that were given up, latest first. What cannot be read is left out."""
        found: list[DeadEntry] = []
        for taken in await self._leases.dead_ones(limit):
            fields = taken.fields
            try:
                entry = decoded(Taken(id=fields.get(b"id", b"").decode(), fields=fields, deliveries=taken.deliveries))
                at = float(fields.get(b"at", b"0"))
            except (UnreadableEntryError, ValueError):
                continue
            found.append(DeadEntry(entry=entry, error=fields.get(b"error", b"").decode(errors="replace"), at=at))
        return tuple(found)


async def _ignore(entry: Entry, error: str) -> None:
    del entry, error  # it was logged
