"""What people asked for and said: watches and feedback."""

from typing import TypeVar

import msgspec
import structlog

from bot.domain.incident import FeedbackEntry, Watch
from bot.store.connection import Connection

log = structlog.get_logger()

_REPLACE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

Value = TypeVar("Value", Watch, FeedbackEntry)


class Watches:
    """Namespaces that are diagnosed regularly. One watch per cluster, namespace and channel."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = connection.keys.of("watches")
        self._replacing = connection.script(_REPLACE)

    async def add(self, watch: Watch) -> bool:
        """Keep it. False: there was one, which stays as it was."""
        field = _field(watch.cluster, watch.namespace, watch.channel)
        async with self._connection.client() as client:
            return bool(await client.hsetnx(self._key, field, msgspec.json.encode(watch)))

    async def replace(self, watch: Watch) -> bool:
        """Keep it in the place of the one that there is. False: there is none any more, and it stays gone."""
        field = _field(watch.cluster, watch.namespace, watch.channel)
        async with self._connection.client() as client:
            return bool(
                await self._replacing(keys=[self._key], args=[field, msgspec.json.encode(watch)], client=client)
            )

    async def remove(self, cluster: str, namespace: str, channel: str) -> bool:
        """Forget it. False: there was none."""
        async with self._connection.client() as client:
            return bool(await client.hdel(self._key, _field(cluster, namespace, channel)))

    async def all(self) -> tuple[Watch, ...]:
        """All of them, by cluster, namespace and channel."""
        found = await _values(self._connection, self._key, Watch)
        return tuple(sorted(found, key=lambda watch: (watch.cluster, watch.namespace, watch.channel)))


class Feedback:
    """What people said about verdicts. One entry per incident, run and user."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._key = connection.keys.of("feedback")

    async def add(self, entry: FeedbackEntry) -> bool:
        """Keep it; a second one of the same user about the same run replaces the first. True: it is the first."""
        field = _field(entry.incident, str(entry.run), entry.user)
        async with self._connection.client() as client:
            return bool(await client.hset(self._key, field, msgspec.json.encode(entry)))

    async def all(self) -> tuple[FeedbackEntry, ...]:
        """All of it, oldest first."""
        found = await _values(self._connection, self._key, FeedbackEntry)
        return tuple(sorted(found, key=lambda entry: (entry.at, entry.incident, entry.run, entry.user)))

    async def doubters(self, incident: str, run: int) -> tuple[str, ...]:
        """Who said of the verdict of this run that it is wrong, first come first."""
        return tuple(entry.user for entry in await self.all() if (entry.incident, entry.run) == (incident, run))


def _field(*parts: str) -> str:
    """A name that no other parts have, whatever characters are in them."""
    return msgspec.json.encode(parts).decode()


async def _values(connection: Connection, key: str, form: type[Value]) -> list[Value]:
    async with connection.client() as client:
        raw = await client.hvals(key)
    found: list[Value] = []
    for text in raw:
        try:
            found.append(msgspec.json.decode(text, type=form))
        except msgspec.MsgspecError as error:  # of another release, or somebody else's
            log.warning("store.unreadable", key=key, why=str(error))
    return found
