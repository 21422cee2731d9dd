"""What joins Alertmanager's messages in Slack with the alerts of its webhook: both, for some minutes.

`anchors` and `anchor-alerts` are sorted sets by the time of arrival; `alert-threads:INCIDENT` holds the messages under
which an incident is posted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec
import structlog

from bot.store.alerts import KEPT_S
from bot.store.connection import Connection

log = structlog.get_logger()

WINDOW_S = 900.0
"""So far apart a message and a notification about the same alert may be: two receivers may wait differently."""
MOST = 2_000
"""Messages, and alerts, that are remembered. The oldest go first."""
MOST_THREADS = 20
"""Messages under which one incident is posted."""
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A message about alerts."""

    channel: str
    ts: str
    tokens: tuple[str, ...] = ()
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentAlert:
    """An alert that came by the webhook."""

    incident: str
    labels: dict[str, str]


class Anchors:
    """Messages and alerts of the last minutes. Each method raises `StoreUnavailableError` when the store is away."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys

    async def put(self, anchor: Anchor, *, now: float) -> None:
        """Remember a message."""
        await self._put("anchors", anchor, now)

    async def find(self, is_it: Callable[[Anchor], bool], *, now: float) -> Anchor | None:
        """The newest message that it is."""
        return await self._find("anchors", Anchor, is_it, now)

    async def put_alert(self, alert: RecentAlert, *, now: float) -> None:
        """Remember an alert."""
        await self._put("anchor-alerts", alert, now)

    async def find_alert(self, is_it: Callable[[RecentAlert], bool], *, now: float) -> RecentAlert | None:
        """The newest alert that it is."""
        return await self._find("anchor-alerts", RecentAlert, is_it, now)

    async def add_thread(self, incident_id: str, channel: str, ts: str) -> bool:
        """Tell of the incident under this message, too. False: there are enough."""
        key = self._keys.of("alert-threads", incident_id)
        async with self._connection.client() as client:
            if int(await client.scard(key)) >= MOST_THREADS:
                return False
            await client.sadd(key, f"{channel} {ts}")
            await client.expire(key, KEPT_S)
        return True

    async def threads(self, incident_id: str) -> tuple[tuple[str, str], ...]:
        """Channel and ts of each such message."""
        async with self._connection.client() as client:
            found = cast("set[bytes]", await client.smembers(self._keys.of("alert-threads", incident_id)))
        return tuple(sorted(cast("tuple[str, str]", tuple(one.decode().split(" ", 1))) for one in found))

    async def _put(self, name: str, value: Anchor | RecentAlert, now: float) -> None:
        key = self._keys.of(name)
        async with self._connection.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.zadd(key, {msgspec.json.encode(value): now})
            pipe.zremrangebyscore(key, "-inf", now - WINDOW_S)
            pipe.zremrangebyrank(key, 0, -MOST - 1)
            pipe.expire(key, int(WINDOW_S))
            await pipe.execute()

    async def _find(self, name: str, of: type[V], is_it: Callable[[V], bool], now: float) -> V | None:
        async with self._connection.client() as client:
            key = self._keys.of(name)
            found = await client.zrevrangebyscore(key, "+inf", now - WINDOW_S)  # pyright: ignore[reportUnknownMemberType] untyped
        values = cast("list[bytes]", found)
        for value in values:
            try:
                one = msgspec.json.decode(value, type=of)
            except msgspec.MsgspecError as error:  # of another release
                log.warning("store.unreadable", what=name, why=str(error))
                continue
            if is_it(one):
                return one
        return None
