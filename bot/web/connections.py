"""What a connection may take of us before anybody knows who is at its other end.

uvicorn alone gives a stranger as long as he likes for headers and bodies, as many headers as he likes (with httptools),
and as many connections as there are descriptors. Here each request has to be there within a time, and where no more
connections are taken, those that wait longest for theirs make room: whoever signs a request needs milliseconds.
"""

import asyncio
import ssl
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""For a whole request, headers and body; also how long a connection may be kept for the next one."""
MOST_HEADER_BYTES = 16 * 2**10
MOST_CONNECTIONS = 256
HAS_CERTIFICATE = "has_certificate"
"""In a request's state, where the client showed a certificate of the authority that we trust."""


class BoundedProtocol(H11Protocol):
    """One connection. Classes made by `bounded` have bounds of their own."""

    request_s = REQUEST_S
    most_connections = MOST_CONNECTIONS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there: make room where there is none."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._know(transport.get_extra_info("ssl_object"))
        self._begin()
        others = cast("set[BoundedProtocol]", self.connections)
        if len(others) > self.most_connections:
            waiting = [one for one in others if one.is_waiting and one is not self]
            # Sets keep no order, and loop time grows: the timer that ends first began first.
            oldest = min(waiting, key=lambda one: one.ends_at, default=self)
            oldest.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._end()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request, or nothing."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._begin()

    @property
    def is_waiting(self) -> bool:
        """Whether a request, or the rest of one, is not there yet."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete or cycle.more_body)

    @property
    def ends_at(self) -> float:
        """When its time is over."""
        return self._timer.when() if self._timer else 0.0

    def drop(self) -> None:
        """End it without a word: there may be thousands."""
        self.transport.abort()

    def _know(self, tls: ssl.SSLObject | None) -> None:
        """Note for all requests of the connection that its client showed a certificate, which was checked by then."""
        if tls is not None and tls.getpeercert():
            self.app_state = {**self.app_state, HAS_CERTIFICATE: True}

    def _begin(self) -> None:
        self._end()
        self._timer = self.loop.call_later(self.request_s, self._late)

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _late(self) -> None:
        if self.is_waiting:
            self.drop()


def bounded(*, request_s: float = REQUEST_S, most_connections: int = MOST_CONNECTIONS) -> type[BoundedProtocol]:
    """The protocol with these bounds."""
    return type("Bounded", (BoundedProtocol,), {"request_s": request_s, "most_connections": most_connections})
