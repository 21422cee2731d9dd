"""Work on the newest state, done once for all who ask for it before it begins."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Latest:
    """By key one piece of work at a time, and at most one that waits: it serves everybody who came meanwhile.

    Between two of one key there are at least `pause_s` seconds.
    """

    pause_s: float = 0.0

    _running: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    _waiting: dict[str, "asyncio.Future[None]"] = field(default_factory=dict[str, "asyncio.Future[None]"])
    _begun: dict[str, float] = field(default_factory=dict[str, float])
    """When the last piece of each key began."""

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
                if self._is_soon(key):
                    await asyncio.sleep(self.pause_s)
                del self._waiting[key]
                self._begun[key] = asyncio.get_running_loop().time()
                await work()
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

    def _is_soon(self, key: str) -> bool:
        """Whether the last piece of this key began less than a pause ago."""
        return asyncio.get_running_loop().time() - self._begun.get(key, float("-inf")) < self.pause_s

    def _forget(self) -> None:
        """What began long ago."""
        for key in [key for key in self._begun if not self._is_soon(key)]:
            del self._begun[key]
