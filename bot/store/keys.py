"""Names of keys, all under one prefix, and how long each lives."""

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
