"""Known issues that clusters' versions lie in: so that each is posted once, by whichever bot looks.

`noted-issues` is a hash from cluster to `NotedIssues` (JSON).
"""

from collections.abc import Mapping
from typing import cast

import msgspec
import structlog

from bot.store.connection import Connection

log = structlog.get_logger()


class NotedIssues(msgspec.Struct, frozen=True, kw_only=True):
    """Of one cluster."""

    found: tuple[str, ...] = ()
    """Whose affected versions include the cluster's."""
    posted: tuple[str, ...] = ()
    """Which were posted in the channel."""


class IssueNotes:
    """By cluster. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = connection.keys.of("noted-issues")

    async def all(self) -> Mapping[str, NotedIssues]:
        """Those of each cluster that was looked at."""
        async with self._connection.client() as client:
            raw = cast("dict[bytes, bytes]", await client.hgetall(self._key))
        found: dict[str, NotedIssues] = {}
        for cluster, value in raw.items():
            try:
                found[cluster.decode()] = msgspec.json.decode(value, type=NotedIssues)
            except msgspec.MsgspecError as error:  # of another release
                log.warning("store.unreadable", what="noted issues", why=str(error))
        return found

    async def put(self, cluster: str, noted: NotedIssues) -> None:
        """Keep those of a cluster instead of what was there."""
        async with self._connection.client() as client:
            await client.hset(self._key, cluster, msgspec.json.encode(noted))
