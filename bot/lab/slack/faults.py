"""Bad days of Slack, to be switched on by tests and by the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

ANY = "*"
"""Every method."""
Outcome = Literal["lose_reply", "server_error", "rate_limited", ""]


@dataclass(kw_only=True, slots=True)
class _Burst:
    """A fault that a number of calls will meet. `target` is a method, a channel id, or `ANY`."""

    target: str
    left: int
    retry_after_s: int = 1
    status: int = 500

    def meets(self, method: str, channel: str) -> bool:
        return self.left > 0 and self.target in {ANY, method, channel}


@dataclass(kw_only=True)
class Faults:
    """What the next calls, sockets and events will meet. Each knob says how it shows itself.

    `on_change` is called after each change, so that waiters see it; `on_drop` drops sockets.
    """

    on_change: Callable[[], None]
    on_drop: Callable[[str], None]
    is_down: bool = False
    bad_auth: bool = False
    """Every token is `invalid_auth`."""
    half_open_sockets: bool = False
    dead_tickets_left: int = 0
    redeliver_every: int = 0
    duplicate_every: int = 0
    reorder_every: int = 0
    clock_skew_s: float = 0.0
    """Added to the time that requests are signed with, in HTTP mode."""
    slow_s: dict[str, float] = field(default_factory=dict[str, float])
    _limits: list[_Burst] = field(default_factory=list[_Burst])
    _lost: list[_Burst] = field(default_factory=list[_Burst])
    _errors: list[_Burst] = field(default_factory=list[_Burst])

    def rate_limit(self, target: str = ANY, times: int = 1, retry_after: int = 1) -> None:
        """The next `times` calls of a method, or into a channel (its id), are answered 429 and not executed."""
        self._limits.append(_Burst(target=target, left=times, retry_after_s=retry_after))
        self.on_change()

    def lose_replies(self, target: str = ANY, times: int = 1) -> None:
        """The next `times` calls are executed, but the connection breaks before the reply."""
        self._lost.append(_Burst(target=target, left=times))
        self.on_change()

    def server_error(self, target: str = ANY, times: int = 1, status: int = 500) -> None:
        """The next `times` calls are answered 500 (or 503) and not executed."""
        self._errors.append(_Burst(target=target, left=times, status=status))
        self.on_change()

    def slow(self, target: str = ANY, seconds: float = 0.0) -> None:
        """Every call of the method takes so long before it is executed; 0 ends it."""
        self.slow_s[target] = seconds
        self.on_change()

    def down(self, is_down: bool = True) -> None:  # noqa: FBT001, FBT002  # a switch
        """Refuse every request and drop every socket, until switched off."""
        self.is_down = is_down
        if is_down:
            self.on_drop("abort")
        self.on_change()

    def drop_sockets(self) -> None:
        """Reset the connections of every socket, without a closing handshake."""
        self.on_drop("abort")
        self.on_change()

    def ask_to_reconnect(self) -> None:
        """Slack's own refresh: a `disconnect` frame to every socket, then it closes."""
        self.on_drop("refresh_requested")
        self.on_change()

    def warn_sockets(self) -> None:
        """A `disconnect` frame of kind `warning` to every socket; they stay open."""
        self.on_drop("warning")
        self.on_change()

    def disable_link(self) -> None:
        """`disconnect` with `link_disabled`: Socket Mode was switched off."""
        self.on_drop("link_disabled")
        self.on_change()

    def half_open(self, is_on: bool = True) -> None:  # noqa: FBT001, FBT002  # a switch
        """Sockets stay connected, but nothing goes out of them: no events, no pongs."""
        self.half_open_sockets = is_on
        self.on_change()

    def dead_tickets(self, times: int = 1) -> None:
        """The next `times` tickets of apps.connections.open are refused at the handshake (408)."""
        self.dead_tickets_left += times
        self.on_change()

    def redeliver(self, every: int = 10) -> None:
        """Every n-th event comes a second time, though it was acknowledged; 0 ends it."""
        self.redeliver_every = every
        self.on_change()

    def duplicate(self, every: int = 10) -> None:
        """Every n-th event comes twice at once, as the same first delivery; 0 ends it."""
        self.duplicate_every = every
        self.on_change()

    def reorder(self, every: int = 10) -> None:
        """Every n-th event comes after the one that follows it; 0 ends it."""
        self.reorder_every = every
        self.on_change()

    def clear(self) -> None:
        """A good day again."""
        self.is_down = self.bad_auth = self.half_open_sockets = False
        self.dead_tickets_left = self.redeliver_every = self.duplicate_every = self.reorder_every = 0
        self.clock_skew_s = 0.0
        for faults in (self.slow_s, self._limits, self._lost, self._errors):
            faults.clear()
        self.on_change()

    # --- asked by the server

    def delay_s(self, method: str, channel: str) -> float:
        """How long this call waits first."""
        return max((self.slow_s.get(target, 0.0) for target in (ANY, method, channel)), default=0.0)

    def limited(self, method: str, channel: str) -> int | None:
        """Retry-After for this call, which counts as one of the burst; None: let it pass."""
        burst = self._take(self._limits, method, channel)
        return burst.retry_after_s if burst else None

    def failing(self, method: str, channel: str) -> int | None:
        """The status of a server error for this call."""
        burst = self._take(self._errors, method, channel)
        return burst.status if burst else None

    def loses(self, method: str, channel: str) -> bool:
        """Whether the reply of this call gets lost; counts as one of them."""
        return self._take(self._lost, method, channel) is not None

    def kills_ticket(self) -> bool:
        """Whether this new ticket will be refused."""
        if self.dead_tickets_left <= 0:
            return False
        self.dead_tickets_left -= 1
        return True

    @staticmethod
    def _take(bursts: list[_Burst], method: str, channel: str) -> _Burst | None:
        for burst in bursts:
            if burst.meets(method, channel):
                burst.left -= 1
                if burst.left == 0:
                    bursts.remove(burst)
                return burst
        return None
