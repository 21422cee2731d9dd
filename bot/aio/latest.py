"""Work on the newest state, done once for all who ask for it before it begins."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Latest:
    """By key one piece of work at a time, and at most one that waits: it serves everybody who came meanwhile.

    From the beginning of one to the next of its key there are at least `pause_s` seconds, and `rests` times as long as
    it took: work that grows is done less often, and leaves the loop to others.
    """

    pause_s: float = 0.0
    rests: float = 0.0

    _running: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    _waiting: dict[str, "asyncio.Future[None]"] = field(default_factory=dict[str, "asyncio.Future[None]"])
    _not_before: dict[str, float] = field(default_factory=dict[str, float])
    """When the next piece of each key may begin."""

    async def run(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Returns when work that began after this call has ended. Errors: those of the work, for all whom it served."""
        while (waiting := self._waiting.get(key)) is not None:
            await asyncio.wait([waiting])
            if not waiting.cancelled():  # else whoever was to do it was cancelled, and somebody else does
                waiting.result()
                return
        mine = self._waiting[key] = asyncio.get_running_loop().create_future()
        lock = self._running.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if pause_s := self._pause_s(key):
                    await asyncio.sleep(pause_s)
                del self._waiting[key]
                began = self._now()
                try:
                    await work()
                finally:
                    self._not_before[key] = began + max(self.pause_s, self.rests * (self._now() - began))
        except Exception as error:
            mine.set_exception(error)
            mine.exception()  # nobody else may have waited
            raise
        except BaseException:
            mine.cancel()
            if self._waiting.get(key) is mine:
                del self._waiting[key]
            raise
        else:
            mine.set_result(None)
        finally:
            if not lock.locked() and key not in self._waiting:
                self._running.pop(key, None)
                self._forget()

    def _pause_s(self, key: str) -> float:
        """How long this key rests yet."""
        return max(0.0, self._not_before.get(key, 0.0) - self._now())

    def _forget(self) -> None:
        """What has rested."""
        for key in [key for key in self._not_before if not self._pause_s(key)]:
            del self._not_before[key]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
