"""The inbox: what came from Slack, kept until it has been handled.

At least once: an entry leaves only after its handler returned. Handlers therefore do nothing that may not be done twice
for one `Entry.id`. A stream with one consumer group; the process that works on an entry holds a lease on it, which is
the time since Redis last saw it: no clock but the server's counts.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from bot.aio.retry import Backoff
from bot.domain.errors import TooLargeError
from bot.store.connection import Connection
from bot.store.errors import StoreUnavailableError
from bot.store.inbox.entry import DeadEntry, Entry, Handle, Kind, OnDead, UnreadableEntryError, decoded
from bot.store.inbox.leases import Leases, Taken
from bot.store.inbox.worker import Worker
from bot.store.keys import DAY_S

SEEN_S = DAY_S
MOST_WAITING = 50_000
MOST_OF_ONE = 100
"""Entries of one person that may wait at the same time: nobody fills the queue of the others."""
MOST_BODY_BYTES = 2 * 2**20
_AT_ONCE = 200
"""Entries that are accepted in one round trip."""

# KEYS: seen, stream, owners, what is forgotten (may be missing).
# ARGV: how long seen is remembered, most waiting, kind, body, received_at, owner, most of one owner.
_ACCEPT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
local owner = ARGV[6]
if owner ~= '' then
  local waiting = tonumber(redis.call('HGET', KEYS[3], 'of ' .. owner) or 0)
  if waiting >= tonumber(ARGV[7]) then return -2 end
end
local id = redis.call('XADD', KEYS[2], '*', 'kind', ARGV[3], 'body', ARGV[4], 'received_at', ARGV[5])
if owner ~= '' then
  redis.call('HINCRBY', KEYS[3], 'of ' .. owner, 1)
  redis.call('HSET', KEYS[3], id, owner)
end
redis.call('SET', KEYS[1], id, 'EX', ARGV[1])
if KEYS[4] then redis.call('DEL', KEYS[4]) end
return 1
"""


class TooManyError(Exception):
    """The person has so many requests waiting that no more is taken from them."""

    def __init__(self, most: int) -> None:
        super().__init__(f"You have {most} requests waiting. Try again when they are answered.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to keep."""

    dedup_id: str
    """The same for the same thing."""
    kind: Kind
    body: Mapping[str, Any]
    owner: str = ""
    """The person behind it, of whom so many may wait; "": nobody is counted."""
    forget: str | None = None
    """What is new again after this: another `dedup_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxCounts:
    """How full it is."""

    waiting: int
    """Accepted and not yet handled, those being handled included."""
    dead: int
    oldest_at: float | None = None
    """Unix time, by Redis's clock, at which the oldest of those that wait was accepted; None when none waits."""


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
        most_of_one: int = MOST_OF_ONE,
    ) -> None:
        """`is_alone`: no other process can be at work on this store, so leases of others are those of the dead."""
        self._connection = connection
        self._clock = clock
        self._most_of_one = most_of_one
        self._backoff = backoff or Backoff(attempts=4, first_s=1.0, max_s=15.0)
        consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._leases = Leases(connection, consumer=consumer, lease_s=lease_s, is_alone=is_alone)
        self._accepting = connection.script(_ACCEPT)

    async def accept(self, dedup_id: str, kind: Kind, body: Mapping[str, Any], *, owner: str = "") -> bool:
        """Keep the request. True: it is new; False: it was accepted within the last 24 hours.

        When this returns, the entry is durable and may be acknowledged. `owner` is the person behind it. Errors:
        `StoreUnavailableError`, `TooLargeError`: do not acknowledge; `TooManyError`: the owner has too much waiting.
        """
        return await self.accept_all([Item(dedup_id=dedup_id, kind=kind, body=body, owner=owner)]) == 1

    async def accept_all(self, items: Sequence[Item]) -> int:
        """Keep each of them as `accept` does; how many are new. When an error is raised, some may have been kept."""
        new = 0
        for at in range(0, len(items), _AT_ONCE):
            calls = [self._arguments(item) for item in items[at : at + _AT_ONCE]]
            async with self._connection.client() as client:
                done = await self._accept(client, calls)
            if min(done) == -2:
                raise TooManyError(self._most_of_one)
            if min(done) < 0:
                raise StoreUnavailableError(self._connection.where, f"its inbox is full ({MOST_WAITING} entries)")
            new += sum(done)
        return new

    async def _accept(self, client: "Redis", calls: Sequence[tuple[list[str], list[Any]]]) -> list[int]:
        """The answer to each call. One alone goes without the pipeline, which asks for its scripts first."""
        if len(calls) == 1:
            keys, arguments = calls[0]
            return [cast("int", await self._accepting(keys=keys, args=arguments))]
        async with client.pipeline(transaction=False) as pipe:
            for keys, arguments in calls:
                await self._accepting(keys=keys, args=arguments, client=pipe)
            return cast("list[int]", await pipe.execute())

    async def forget(self, dedup_id: str) -> None:
        """Take it as new when it comes again: nothing came of it."""
        async with self._connection.client() as client:
            await client.delete(self._connection.keys.digest("seen", dedup_id))

    def _arguments(self, item: Item) -> tuple[list[str], list[Any]]:
        data = msgspec.json.encode(item.body)
        if len(data) > MOST_BODY_BYTES:
            raise TooLargeError("A request", MOST_BODY_BYTES)
        names = [item.dedup_id] if item.forget is None else [item.dedup_id, item.forget]
        known = [self._connection.keys.digest("seen", name) for name in names]
        keys = [known[0], self._leases.stream, self._leases.owners, *known[1:]]
        owner = [item.owner, self._most_of_one]
        return keys, [SEEN_S, MOST_WAITING, item.kind, data, repr(self._clock()), *owner]

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
        error, and `on_dead` is called. A handler that fails with `NotNowError` has not failed: it is called again, as
        often as it takes; so nothing is lost and nothing ends while the store is away.
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
        async with self._connection.client() as client:
            oldest = cast("list[tuple[bytes, object]]", await client.xrange(self._leases.stream, count=1))
            return InboxCounts(
                waiting=int(await client.xlen(self._leases.stream)),
                dead=int(await client.xlen(self._leases.dead)),
                oldest_at=int(oldest[0][0].partition(b"-")[0]) / 1000 if oldest else None,
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
