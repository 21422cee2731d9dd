"""Leases on the inbox's entries: taking, keeping, taking over, giving back. All of it is atomic in Redis.

Source: https://redis.io/docs/latest/develop/data-types/streams/ (consumer groups, pending entries)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis import exceptions

from bot.store.connection import DEADLINE_S, Connection
from bot.store.keys import HOUR_S

GROUP = "workers"
SUSPECT_FROM = 2
"""An entry that was begun so often and ended with its process each time: perhaps it was the reason."""
_MOST_ORPHANS = 1000
_Claimed = list[tuple[bytes | None, Mapping[bytes, bytes] | None]]
_KEPT_DEAD = 1000
_FOREVER_MS = 10**11  # some years; Redis takes what lies before 1970 for now
_IDLE_CONSUMER_MS = HOUR_S * 1000

# KEYS: stream. ARGV: group, consumer, idle in ms ('' leaves it at 0), then pairs of id and deliveries. Only what is
# still ours is touched. Answer: the ids that are not.
_HOLD = """
local lost = {}
for i = 4, #ARGV, 2 do
  local stands = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if stands and stands[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""

_DISOWN = """
local function disown(owners, crashes, id)
  redis.call('HDEL', crashes, id)
  local owner = redis.call('HGET', owners, id)
  if owner then
    redis.call('HDEL', owners, id)
    if redis.call('HINCRBY', owners, 'of ' .. owner, -1) <= 0 then redis.call('HDEL', owners, 'of ' .. owner) end
  end
end
"""

# KEYS: stream, owners, crashes. ARGV: group, id.
_FINISH = (
    _DISOWN
    + """
disown(KEYS[2], KEYS[3], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XDEL', KEYS[1], ARGV[2])
"""
)

# KEYS: stream, dead, owners, crashes. ARGV: group, id, most kept, then fields.
_BURY = (
    _DISOWN
    + """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
disown(KEYS[3], KEYS[4], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
return 1
"""
)

# KEYS: stream. ARGV: group, our consumer, idle in ms. Consumers of processes that have ended and left nothing undone.
_TIDY = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending, idle = consumer[2], consumer[4], consumer[6]
  if name ~= ARGV[2] and pending == 0 and idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
  end
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An entry that we hold, as it stands in the stream."""

    id: str
    fields: Mapping[bytes, bytes] = field(repr=False)
    deliveries: int = 1
    """How often it was taken, this time included."""
    crashes: int = 0
    """How often its process ended while it alone was at work there."""


class Leases:
    """What one process does with the stream of entries."""

    def __init__(self, connection: Connection, *, consumer: str, lease_s: float, is_alone: bool) -> None:
        self._connection = connection
        self._consumer = consumer
        self._is_alone = is_alone
        self.lease_s = lease_s
        self.stream, self.dead = connection.keys.of("inbox"), connection.keys.of("inbox", "dead")
        self.owners = connection.keys.of("inbox", "owners")
        """A hash: entry to person, and "of PERSON" to how many entries of theirs wait."""
        self.crashes = connection.keys.of("inbox", "crashes")
        """A hash: suspect to how often it was begun alone and has not ended."""
        self._holding, self._finishing = connection.script(_HOLD), connection.script(_FINISH)
        self._burying, self._tidying = connection.script(_BURY), connection.script(_TIDY)

    async def next_suspect(self, held: Collection[str]) -> str | None:
        """An entry that was at work when two processes ended, of which one should be found guilty or not by itself."""
        pending = await self._orphans(0 if self._is_alone else int(self.lease_s * 1000))
        return next((one for one, begun in pending.items() if begun >= SUSPECT_FROM and one not in held), None)

    async def take_alone(self, entry_id: str) -> Taken | None:
        """Take a suspect, with one crash more noted until it ends; None where somebody else has it."""
        idle_ms = 0 if self._is_alone else int(self.lease_s * 1000)
        async with self._connection.client() as client:
            crashes = int(await client.hincrby(self.crashes, entry_id, 1)) - 1
            claimed = await client.xclaim(self.stream, GROUP, self._consumer, idle_ms, [entry_id])
        taken = [fields for name, fields in cast("_Claimed", claimed) if name is not None and fields is not None]
        return Taken(id=entry_id, fields=taken[0], deliveries=SUSPECT_FROM, crashes=crashes) if taken else None

    async def _orphans(self, idle_ms: int) -> dict[str, int]:
        """Entries whose lease has run out, oldest first, and how often each was begun."""
        async with self._connection.client() as client:
            pending = cast(
                "list[dict[str, Any]]",
                await client.xpending_range(self.stream, GROUP, "-", "+", _MOST_ORPHANS, idle=idle_ms or None),
            )
        return {one["message_id"].decode(): int(one["times_delivered"]) for one in pending}

    async def prepare(self) -> None:
        """Make the group, where there is none: on an empty server, or after somebody emptied it."""
        async with self._connection.client() as client:
            try:
                await client.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
            except exceptions.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def take_new(self, most: int, wait_s: float) -> list[Taken]:
        """Entries that nobody had yet; waits up to `wait_s` for the first."""
        async with self._connection.client(wait_s + DEADLINE_S) as client:
            said: Any = await client.xreadgroup(
                GROUP, self._consumer, {self.stream: ">"}, count=most, block=max(int(wait_s * 1000), 1)
            )
        streams = cast("Sequence[tuple[bytes, list[tuple[bytes, Mapping[bytes, bytes]]]]]", said or ())
        return [Taken(id=name.decode(), fields=fields or {}) for _, entries in streams for name, fields in entries]

    async def take_over(self, most: int, held: Collection[str], *, is_first: bool) -> list[Taken]:
        """Entries whose lease has run out; `held` are those at work in this process.

        `is_first`: when we are alone, entries of others are those of our dead predecessors and need no waiting.
        """
        idle_ms = 0 if is_first and self._is_alone else int(self.lease_s * 1000)
        deliveries = await self._orphans(idle_ms)
        wanted = [one for one, begun in deliveries.items() if begun < SUSPECT_FROM and one not in held][:most]
        if not wanted:
            return []
        async with self._connection.client() as client:
            claimed = cast(
                "_Claimed", await client.xclaim(self.stream, GROUP, self._consumer, idle_ms, cast("Any", wanted))
            )
        return [
            Taken(id=name.decode(), fields=fields, deliveries=deliveries[name.decode()] + 1)
            for name, fields in claimed
            if name is not None and fields is not None
        ]

    async def keep(self, held: Mapping[str, int]) -> set[str]:
        """Renew the leases on `held` (id to attempt). The ids that others have taken over, or that are gone."""
        return await self._hold(held, idle_ms=0)

    async def give_back(self, held: Mapping[str, int]) -> None:
        """Let others take `held` over at once. What was cut short by our own end is not guilty of it."""
        await self._hold(held, idle_ms=_FOREVER_MS)
        async with self._connection.client() as client:
            await client.hdel(self.crashes, *held)

    async def _hold(self, held: Mapping[str, int], *, idle_ms: int) -> set[str]:
        pairs = [part for pair in held.items() for part in pair]
        async with self._connection.client():
            lost = await self._holding(keys=[self.stream], args=[GROUP, self._consumer, idle_ms, *pairs])
        return {one.decode() for one in cast("list[bytes]", lost)}

    async def finish(self, entry_id: str) -> None:
        """It has been handled: forget it."""
        async with self._connection.client():
            await self._finishing(keys=[self.stream, self.owners, self.crashes], args=[GROUP, entry_id])

    async def bury(self, taken: Taken, error: str, at: float) -> None:
        """It is given up: put it aside."""
        fields = {b"id": taken.id.encode(), b"error": error.encode(), b"at": repr(at).encode()}
        parts = [part for pair in (dict(taken.fields) | fields).items() for part in pair]
        async with self._connection.client():
            keys = [self.stream, self.dead, self.owners, self.crashes]
            await self._burying(keys=keys, args=[GROUP, taken.id, _KEPT_DEAD, *parts])

    async def dead_ones(self, limit: int) -> list[Taken]:
        """What was put aside, latest first."""
        async with self._connection.client() as client:
            said = cast("list[tuple[bytes, Mapping[bytes, bytes]]]", await client.xrevrange(self.dead, count=limit))
        return [Taken(id=name.decode(), fields=fields) for name, fields in said]

    async def tidy(self) -> None:
        """Forget consumers of processes that have ended."""
        async with self._connection.client():
            await self._tidying(keys=[self.stream], args=[GROUP, self._consumer, _IDLE_CONSUMER_MS])
