"""Asking Slack a question under a deadline, and remembering the answer for a short while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.slack.identity import reason_of

Answer = TypeVar("Answer")

ASK_S = 2.5
"""How long an answer may take: whoever pressed or typed something is waiting."""
KEEP_S = 60.0
"""How long an answer is taken for true."""
MOST_KEPT = 5_000

NOT_ANSWERED = (SlackApiError, aiohttp.ClientError, OSError, TimeoutError)
"""What it means that Slack did not answer, or not with what was asked."""


class CachedLookup(Generic[Answer]):
    """Answers by id, asked for at most once at a time. What failed is not remembered."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Answer]],
        *,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._clock = clock
        self._known: dict[str, tuple[float, Answer]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def of(self, key: str, *, fresh: bool = False) -> Answer:
        """The answer; `fresh` asks in any case. Errors: `NOT_ANSWERED`."""
        asked_at = self._clock()
        async with self._asking.setdefault(key, asyncio.Lock()):
            at, known = self._known.get(key, (None, None))
            if at is not None and known is not None:
                is_good = at > asked_at if fresh else asked_at - at <= self._keep_s
                if is_good:
                    return known
            async with asyncio.timeout(ASK_S):
                answer = await self._ask(key)
            self._keep(key, asked_at, answer)
            return answer

    def forget(self, key: str) -> None:
        """Ask again next time."""
        self._known.pop(key, None)

    def _keep(self, key: str, at: float, answer: Answer) -> None:
        """Dated by the question: what changed while Slack answered is not missed for longer than promised."""
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
            self._asking = {each: lock for each, lock in self._asking.items() if lock.locked()}
        self._known[key] = (at, answer)


def why(error: BaseException) -> str:
    """Slack's word for what went wrong, else the kind of error: never a message with a token in it."""
    if isinstance(error, SlackApiError):
        return reason_of(error)
    return "no answer in time" if isinstance(error, TimeoutError) else "no connection"
