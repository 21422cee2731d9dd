"""The key by which links to pages are signed: one for all bots that share the store, made by the first of them."""

import secrets
from typing import cast

from bot.store.connection import Connection

_BYTES = 32


async def link_key(connection: Connection) -> bytes:
    """The key. Errors: `StoreUnavailableError`."""
    name = connection.keys.of("link-key")
    async with connection.client() as client:
        await client.set(name, secrets.token_bytes(_BYTES), nx=True)
        return cast("bytes", await client.get(name))
