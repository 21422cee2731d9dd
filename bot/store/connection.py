"""The connection to Redis: its client, its keys, and its errors as ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from redis import exceptions

from bot.store.errors import StoreUnavailableError
from bot.store.keys import Keys


class Connection:
    """What the parts of the store share. `where` is the address, without secrets."""

    def __init__(self, client: "redis.asyncio.Redis", *, where: str, keys: Keys | None = None) -> None:
        self.redis = client
        self.where = where
        self.keys = keys or Keys()

    @asynccontextmanager
    async def door(self, deadline_s: float | None = 5.0) -> AsyncIterator["redis.asyncio.Redis"]:
        """The client; what goes wrong inside with Redis, or takes longer, is a `StoreUnavailableError`."""
        try:
            async with asyncio.timeout(deadline_s) as deadline:
                yield self.redis
        except TimeoutError as error:
            why = f"it did not answer within {deadline_s:.3g} s" if deadline.expired() else "it does not answer"
            raise StoreUnavailableError(self.where, why) from error
        except (exceptions.RedisError, OSError) as error:
            raise StoreUnavailableError(self.where, str(error) or type(error).__name__) from error
