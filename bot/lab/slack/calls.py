"""The log of Web API calls: what apps asked for, when, and what came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.lab.types import Json

_KEPT = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One call. `at` is in seconds; `error` is empty when all went well; `is_lost`: executed, but the reply dropped."""

    method: str
    args: Json
    app_id: str
    at: float
    took_s: float
    status: int
    error: str = ""
    is_lost: bool = False

    @property
    def ok(self) -> bool:
        """Whether it was executed and went well."""
        return self.status == 200 and not self.error

    @property
    def channel(self) -> str:
        """The channel it was about; '' when it was about none."""
        return str(self.args.get("channel") or self.args.get("channel_id") or "")


@dataclass
class Calls:
    """The newest calls, oldest first."""

    _calls: deque[ApiCall] = field(default_factory=lambda: deque[ApiCall](maxlen=_KEPT))

    def add(self, call: ApiCall) -> None:
        """Append a call."""
        self._calls.append(call)

    def of(self, *methods: str) -> list[ApiCall]:
        """The calls of these methods."""
        return [call for call in self._calls if call.method in methods]

    def clear(self) -> None:
        """Forget all."""
        self._calls.clear()

    def __iter__(self) -> Iterator[ApiCall]:
        return iter(list(self._calls))

    def __len__(self) -> int:
        return len(self._calls)
