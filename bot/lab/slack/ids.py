"""Ids and timestamps as Slack makes them: opaque, unique, and timestamps that only grow."""

import itertools
import random
from collections.abc import Callable

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_MIXED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

TEAM = "T0LAB"
"""The workspace's own team."""


class Ids:
    """Fresh ids; `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random.Random()
        self._last_us = 0
        self._counter = itertools.count(1)

    def fresh(self, prefix: str, length: int = 10) -> str:
        """An id such as `F0LAB3K9XQ2`: the prefix, then capitals and digits."""
        return prefix + "".join(self._random.choices(_ALPHABET, k=length))

    def secret(self, length: int = 24) -> str:
        """Letters and digits that nobody guesses: tickets, tokens of response URLs."""
        return "".join(self._random.choices(_MIXED, k=length))

    def block(self) -> str:
        """A block_id, as Slack fills in where the app gave none."""
        return "".join(self._random.choices(_MIXED, k=5))

    def ts(self) -> str:
        """The next message timestamp, seconds and six digits; unique and growing in the whole workspace."""
        self._last_us = max(self._last_us + 1, int(self._clock() * 1_000_000))
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def number(self) -> int:
        """A small number, one more each time."""
        return next(self._counter)

    def trigger(self, team_number: str) -> str:
        """A trigger_id in Slack's three parts."""
        return f"{int(self._clock() * 1000)}.{team_number}.{self._random.getrandbits(128):032x}"
