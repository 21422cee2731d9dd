"""The connection to Redis: its client, its keys, and its errors as ours."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from bot.store.errors import StoreUnavailableError
from bot.store.keys import Keys
from bot.store.server.address import Address

log = structlog.get_logger()

DEADLINE_S = 2.0
"""How long the store may take to answer; Slack waits 3 s for an ack."""

_MOST_AT_ONCE = 64
"""The next ones wait. The client by itself refuses whoever comes when its 100 connections are in use, and what Slack
sends in a burst would not be acknowledged."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Connection:
    """What the parts of the store share. `where` is the address, without secrets."""

    def __init__(
        self,
        client: "Redis",
        *,
        where: str,
        keys: Keys | None = None,
        sentinels: "Sequence[Redis]" = (),
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.redis = client
        self.where = where
        self.keys = keys or Keys()
        self._sentinels = sentinels
        self._revive = revive
        """Starts our own server again if it has ended."""
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self.redis, *self._sentinels):
            await client.aclose()

    def script(self, source: str) -> AsyncScript:
        """A Lua script, sent once and then called by its digest. Scripts are atomic."""
        return self.redis.register_script(source)

    @asynccontextmanager
    async def client(self, deadline_s: float = DEADLINE_S) -> AsyncGenerator["Redis"]:
        """The client; what goes wrong inside with Redis, or takes longer, is a `StoreUnavailableError`."""
        deadline = asyncio.timeout(deadline_s)
        try:
            async with deadline, self._places:
                yield self.redis
        except TimeoutError as error:
            raise StoreUnavailableError(self.where, f"it did not answer within {deadline_s:.3g} s") from error
        except (exceptions.RedisError, OSError) as error:
            raise StoreUnavailableError(self.where, _reason(error)) from error

    async def until_back(self) -> None:
        """Returns when the store answers again; starts our own server again if it has ended."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if self._revive:
                    await self._revive()
                async with self.client() as client:
                    await client.execute_command("PING")  # pyright: ignore[reportUnknownMemberType] untyped arguments
            except StoreUnavailableError as error:
                if pause_s == _FIRST_PAUSE_S:
                    log.warning("store.away", where=self.where, why=error.why)
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _reason(error: Exception) -> str:
    """What to say of it. Redis repeats no passwords in its errors, and neither does its client."""
    match error:
        case exceptions.OutOfMemoryError():
            return "it has no memory left for new entries"
        case exceptions.ResponseError() if "-OOM " in str(error):  # as Redis 6.2 puts it from within a script
            return "it has no memory left for new entries"
        case exceptions.ReadOnlyError():
            return "it is a replica and takes no writes"
        case exceptions.BusyLoadingError():
            return "it is still loading its data"
        case _ if is_refusal(error):
            return "it does not accept the user name or the password"
        case _:
            return str(error) or type(error).__name__


def is_refusal(error: BaseException | None) -> bool:
    """Whether the server does not take us for a user of its; the client hides that one or two causes deep."""
    while error:
        if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
            return True
        error = error.__cause__
    return False


def connect(
    address: Address, *, keys: Keys | None = None, revive: Callable[[], Awaitable[None]] | None = None
) -> Connection:
    """A connection, to be closed; nothing has been asked yet.

    A command whose connection breaks is sent once more on a new one: scripts and commands here may be repeated.
    """
    common: dict[str, Any] = {
        # Deadlines are `client`'s. With one of its own the client sends under asyncio.wait_for, which on Python 3.11
        # swallows a cancellation that arrives as the sending ends (https://github.com/python/cpython/issues/86296).
        "socket_timeout": None,
        "socket_connect_timeout": 2.0,
        "retry": Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
        "protocol": 2,
        "client_name": "cnibot",
    }
    arguments = common | address.client_arguments()
    sentinels: list[Redis] = []
    match address.kind:
        case "unix":
            client = Redis(unix_socket_path=address.path, **arguments)
        case "tcp":
            host, port = address.hosts[0]
            client = Redis(host=host, port=port, **arguments)
        case "sentinel":
            guards = Sentinel(address.hosts, sentinel_kwargs=common | address.sentinel_arguments())
            client = guards.master_for(address.master, **arguments)  # pyright: ignore[reportUnknownMemberType] untyped
            sentinels = guards.sentinels
    return Connection(client, where=address.where, keys=keys, sentinels=sentinels, revive=revive)
