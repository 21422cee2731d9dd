"""What crosses the wire, without the libraries that carry it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NewType

Frame = NewType("Frame", bytes)
"""A WebSocket message; its first byte is the channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP answer, read to its end."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


class WebSocket(ABC):
    """An open WebSocket."""

    @property
    @abstractmethod
    def protocol(self) -> str:
        """The subprotocol that the server chose."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send one binary message."""

    @abstractmethod
    def frames(self) -> AsyncIterator[Frame]:
        """Messages until the other side closes, with or without a close frame."""
