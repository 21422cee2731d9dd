"""What the bodies of requests may take of our memory, all together: a sender is known only by a whole body.

Without a bound of all, 256 strangers with 8 MiB each would have 2 GiB. Where there is no more room, the body that was
begun first makes some: those who are who they say send theirs within milliseconds.
"""

from collections.abc import AsyncIterator

MOST_TOGETHER = 64 * 2**20


class CrowdedOutError(Exception):
    """A body was dropped in favour of younger ones: its sender may try again."""


class Bodies:
    """Those that are being received. In `_held` the one that was begun first is the first."""

    def __init__(self, most_bytes: int = MOST_TOGETHER) -> None:
        self._most_bytes = most_bytes
        self._held: dict[int, bytearray] = {}
        self._begun = 0
        self._size = 0

    @property
    def held_bytes(self) -> int:
        """How much is there of bodies that are not whole yet."""
        return self._size

    async def read(self, chunks: AsyncIterator[bytes], most: int) -> bytes | None:
        """The whole body; None when it is larger than `most`, of which no more than that is read.

        Errors: `CrowdedOutError`.
        """
        self._begun += 1
        number, body = self._begun, bytearray()
        self._held[number] = body
        try:
            async for chunk in chunks:
                if number not in self._held:
                    raise CrowdedOutError
                body += chunk
                self._size += len(chunk)
                if len(body) > most:
                    return None
                self._make_room()
            if number not in self._held:
                raise CrowdedOutError
            return bytes(body)
        finally:
            self._forget(number)

    def _make_room(self) -> None:
        while self._size > self._most_bytes:
            self._forget(next(iter(self._held)))

    def _forget(self, number: int) -> None:
        body = self._held.pop(number, None)
        if body is not None:
            self._size -= len(body)
            body.clear()
