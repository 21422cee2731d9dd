"""Names of keys, all under one prefix.

What lives how long: docs/decisions/0005-store.md. A key without an expiry is bounded otherwise: the inbox and the
outbox empty themselves, watches and feedback are what people asked to be kept.
"""

import hashlib
from dataclasses import dataclass

HOUR_S = 3600
DAY_S = 24 * HOUR_S


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys. `prefix` lets several bots share one Redis."""

    prefix: str = "cnibot"

    def of(self, *parts: str | int) -> str:
        """The key made of `parts`: "cnibot:report:inc-0a1b2c3d:2"."""
        return ":".join((self.prefix, *map(str, parts)))

    def digest(self, name: str, text: str) -> str:
        """A key for a text of any length and any characters."""
        return self.of(name, hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest())
