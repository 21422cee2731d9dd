"""What happened in an incident and is kept nowhere else: runs, verdicts, notes, who takes care of it.

`timeline:INCIDENT` is a hash from a key of the event to `TimelineEvent` (JSON).
"""

from typing import cast

import msgspec
import structlog

from bot.domain.incident import TimelineEvent
from bot.store.connection import Connection
from bot.store.keys import DAY_S

log = structlog.get_logger()

KEPT_S = 30 * DAY_S
MOST = 500
"""Events of one incident; further ones are not kept."""
MOST_TEXT = 2_000

# KEYS: the timeline. ARGV: the event's key, the event (JSON), how long kept, most events.
_ADD = """
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
local new = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return new
"""


class Timeline:
    """By incident. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._adding = connection.script(_ADD)

    async def add(self, incident_id: str, key: str, event: TimelineEvent) -> bool:
        """Keep an event. False: the same key was kept before, or there are enough."""
        text = event.text[:MOST_TEXT]
        data = msgspec.json.encode(TimelineEvent(at=event.at, kind=event.kind, text=text, by=event.by))
        async with self._connection.client():
            arguments = [key[:200], data, KEPT_S, MOST]
            return bool(cast("int", await self._adding(keys=[self._key(incident_id)], args=arguments)))

    async def of(self, incident_id: str) -> tuple[TimelineEvent, ...]:
        """The incident's events, oldest first."""
        async with self._connection.client() as client:
            values = cast("list[bytes]", await client.hvals(self._key(incident_id)))
        found: list[TimelineEvent] = []
        for value in values:
            try:
                found.append(msgspec.json.decode(value, type=TimelineEvent))
            except msgspec.MsgspecError as error:  # of another release
                log.warning("store.unreadable", what="timeline", why=str(error))
        return tuple(sorted(found, key=lambda event: event.at))

    def _key(self, incident_id: str) -> str:
        return self._connection.keys.of("timeline", incident_id)
