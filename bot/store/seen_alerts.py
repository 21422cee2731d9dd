"""Alerts that fired when somebody last looked: by poll of an Alertmanager, or by a message of its in Slack.

`seen-alerts:VIEWER` is a hash from fingerprint to `SeenAlert` (JSON).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
import structlog

from bot.store.connection import Connection
from bot.store.keys import DAY_S

log = structlog.get_logger()

KEPT_S = 7 * DAY_S
MOST = 20_000
"""Of one viewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlert:
    """As much of an alert as its end needs."""

    labels: dict[str, str]
    starts_at: str
    at: float
    """When it was last seen, Unix time."""


class SeenAlerts:
    """By viewer. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def of(self, viewer: str) -> Mapping[str, SeenAlert]:
        """What the viewer saw, by fingerprint."""
        async with self._connection.client() as client:
            found = cast("dict[bytes, bytes]", await client.hgetall(self._key(viewer)))
        seen: dict[str, SeenAlert] = {}
        for fingerprint, value in found.items():
            try:
                seen[fingerprint.decode()] = msgspec.json.decode(value, type=SeenAlert)
            except msgspec.MsgspecError as error:  # of another release
                log.warning("store.unreadable", what="seen alert", why=str(error))
        return seen

    async def change(self, viewer: str, seen: Mapping[str, SeenAlert], gone: Collection[str] = ()) -> None:
        """Remember these, and forget those that are gone."""
        key = self._key(viewer)
        kept = dict(list(seen.items())[:MOST])
        async with self._connection.client() as client, client.pipeline(transaction=True) as pipe:
            if kept:
                pipe.hset(key, mapping={name: msgspec.json.encode(one) for name, one in kept.items()})
            if gone:
                pipe.hdel(key, *gone)
            pipe.expire(key, KEPT_S)
            await pipe.execute()

    def _key(self, viewer: str) -> str:
        return self._connection.keys.digest("seen-alerts", viewer)
