"""Working off the inbox: entries to a handler, some at a time, each until it is done or given up."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import structlog

from bot.aio.cancellation import stray_cancellation_as_error
from bot.aio.groups import TaskGroup
from bot.aio.retry import Backoff
from bot.domain.errors import ElsewhereError, NotNowError, bounded
from bot.store.connection import Connection
from bot.store.errors import StoreUnavailableError
from bot.store.inbox.entry import Entry, Handle, OnDead, UnreadableEntryError, decoded
from bot.store.inbox.leases import Leases, Taken

log = structlog.get_logger()

MOST_CRASHES = 5
"""An entry with which its process ended so often while nothing else was at work is the reason: it is given up."""

_READ_S = 1.0
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_TIDY_S = 600.0


@dataclass(slots=True)
class _Held:
    """An entry at work in this process."""

    taken: Taken
    attempt: int
    task: "asyncio.Task[None] | None" = None
    has_slot: bool = True
    """Whether it counts among those that are handled now; not while it waits to be tried again."""
    is_settling: bool = False
    """Its handler is done with it: losing the lease changes nothing any more."""
    is_lost: bool = False


class Worker:
    """One `Inbox.work`."""

    def __init__(
        self,
        connection: Connection,
        leases: Leases,
        *,
        handle: Handle,
        on_dead: OnDead,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._handle = handle
        self._on_dead = on_dead
        self._backoff = backoff
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._is_prepared = False
        """Whether the group is there, as far as we know: it is gone after somebody emptied the store."""
        self._may_be_suspects = False
        self._cut: dict[str, int] = {}
        """Entries whose handling was cut short by our end, with the attempts before that one."""

    async def run(self, concurrency: int, stopping: asyncio.Event) -> None:
        """Until cancelled, or until `stopping` is set and what was begun is done."""
        self._gate = asyncio.Semaphore(concurrency)
        self._most_held = concurrency * 8
        try:
            async with TaskGroup() as group:
                keeping = group.create_task(self._keep_leases())
                await self._feed(group, stopping)
                while tasks := [held.task for held in self._held.values() if held.task]:
                    await asyncio.wait(tasks)
                keeping.cancel()
        finally:
            await self._give_back()

    async def _feed(self, group: TaskGroup, stopping: asyncio.Event) -> None:
        """Take entries as there is room for them."""
        sweep_at = tidy_at = 0.0
        is_first = True
        now = asyncio.get_running_loop().time
        while not stopping.is_set():
            if await self._examined_suspect(group):
                continue
            slots = await self._room()
            taken: list[Taken] = []
            try:
                if not self._is_prepared:
                    await self._leases.prepare()
                    self._is_prepared = True
                if now() >= sweep_at:
                    self._may_be_suspects = True
                    taken = await self._leases.take_over(slots, self._held, is_first=is_first)
                    is_first = False
                    if len(taken) < slots:  # else there may be more
                        sweep_at = now() + self._leases.lease_s / 3
                if now() >= tidy_at:
                    await self._leases.tidy()
                    tidy_at = now() + _TIDY_S
                if not taken:
                    taken = await self._leases.take_new(slots, min(_READ_S, max(sweep_at - now(), 0.01)))
            except StoreUnavailableError as error:
                log.warning("inbox.waits", why=error.why)
                self._is_prepared = False
                self._free(slots - len(taken))
                self._start(group, taken)
                await self._connection.until_back()
                await asyncio.sleep(_PAUSE_S)
            else:
                self._free(slots - len(taken))
                self._start(group, taken)

    async def _examined_suspect(self, group: TaskGroup) -> bool:
        """Whether there was an entry that may have ended its processes: it is handled with nothing else at work.

        Only so does the next crash say whose fault it is. Who was merely beside the culprit is not given up with it.
        Where the store does not answer, the caller prepares it anew before it takes more.
        """
        if not self._may_be_suspects:
            return False
        try:
            suspect = await self._leases.next_suspect(self._held)
            if suspect is None:
                self._may_be_suspects = False
                return False
            while tasks := [held.task for held in self._held.values() if held.task]:
                await asyncio.wait(tasks)
            taken = await self._leases.take_alone(suspect)
        except StoreUnavailableError as error:
            log.warning("inbox.waits", why=error.why)
            self._is_prepared = False
            return False
        if taken:
            log.warning("inbox.suspect", entry=taken.id, crashes=taken.crashes)
            await self._gate.acquire()
            self._start(group, [taken])
            task = self._held[taken.id].task
            assert task
            await asyncio.wait([task])
        return True

    async def _room(self) -> int:
        """Waits until something may be taken; how much. As many slots are taken."""
        while len(self._held) >= self._most_held:
            await asyncio.wait([held.task for held in self._held.values() if held.task], return_when="FIRST_COMPLETED")
        await self._gate.acquire()
        slots = 1
        while not self._gate.locked():
            await self._gate.acquire()
            slots += 1
        return slots

    def _free(self, slots: int) -> None:
        for _ in range(slots):
            self._gate.release()

    def _start(self, group: TaskGroup, taken: list[Taken]) -> None:
        for one in taken:
            held = _Held(taken=one, attempt=one.deliveries)
            self._held[one.id] = held
            held.task = group.create_task(self._one(held))

    async def _one(self, held: _Held) -> None:
        try:
            entry, error = self._readable(held.taken)
            if entry and not error:
                error = await self._try(held, entry)
            held.is_settling = True
            await self._settle(held.taken, entry, error)
        except asyncio.CancelledError:
            if not held.is_lost:
                self._cut[held.taken.id] = held.attempt - 1
            raise
        finally:
            del self._held[held.taken.id]
            self._rest(held)

    def _readable(self, taken: Taken) -> tuple[Entry | None, str]:
        """The entry, and why it is given up at once; "" when it is not."""
        try:
            entry = decoded(taken)
        except UnreadableEntryError as error:
            return None, f"It cannot be read: {error}"
        if taken.crashes >= MOST_CRASHES:
            return entry, f"It was begun {taken.crashes} times with nothing beside it, and each time its process ended."
        return entry, ""

    async def _try(self, held: _Held, entry: Entry) -> str:
        """Handle it, again after failures; why it is given up, "" when it is done."""
        failures = 0
        pause_s = _PAUSE_S
        while True:
            try:
                with stray_cancellation_as_error():
                    await self._handle(replace(entry, attempt=held.attempt))
            except Exception as error:
                if _is_passing(error):
                    log.warning("inbox.handler_waits", entry=entry.id, why=str(error))
                    self._rest(held)
                    await self._connection.until_back()
                    wait_s, pause_s = pause_s, min(pause_s * 2, _LONGEST_PAUSE_S)
                else:
                    trace = None if isinstance(error, ElsewhereError) else error
                    log.exception(
                        "inbox.handler_failed",
                        entry=entry.id, kind=entry.kind, attempt=held.attempt, why=str(error), exc_info=trace,
                    )  # fmt: skip
                    asked_s = self._backoff.wait_s(failures, None)
                    if asked_s is None:
                        return bounded(f"{type(error).__name__}: {error}", 1000)
                    failures += 1
                    held.attempt += 1
                    wait_s = asked_s
            else:
                return ""
            self._rest(held)
            await asyncio.sleep(wait_s)
            await self._gate.acquire()
            held.has_slot = True

    def _rest(self, held: _Held) -> None:
        """Make room for others."""
        if held.has_slot:
            held.has_slot = False
            self._gate.release()

    async def _settle(self, taken: Taken, entry: Entry | None, error: str) -> None:
        """Forget it, or put it aside; as soon as the store can."""
        if error:
            log.error("inbox.given_up", entry=taken.id, why=error)
            if entry:
                await self._tell(entry, error)
        while True:
            try:
                if error:
                    await self._leases.bury(taken, error, self._clock())
                else:
                    await self._leases.finish(taken.id)
            except StoreUnavailableError:
                await self._connection.until_back()
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def _tell(self, entry: Entry, error: str) -> None:
        """Before it is put aside: reported twice is better than never."""
        while True:
            try:
                await self._on_dead(entry, error)
            except Exception as failure:
                if not _is_passing(failure):
                    log.exception("inbox.on_dead_failed", entry=entry.id)
                    return
                await self._connection.until_back()
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def _keep_leases(self) -> None:
        """Renew our claim in Redis; stop working on what others have taken over in the meantime."""
        while True:
            await asyncio.sleep(self._leases.lease_s / 3)
            if not self._held:
                continue
            try:
                lost = await self._leases.keep({name: held.attempt for name, held in self._held.items()})
            except StoreUnavailableError:
                continue  # whoever works finds out too
            for held in [self._held[name] for name in lost if name in self._held]:
                if not held.is_settling and held.task:
                    log.warning("inbox.lease_lost", entry=held.taken.id)
                    held.is_lost = True
                    held.task.cancel()

    async def _give_back(self) -> None:
        """Let the next process begin at once with what was cut short here."""
        if self._cut:
            try:
                await self._leases.give_back(self._cut)
            except StoreUnavailableError as error:
                log.warning("inbox.not_given_back", entries=len(self._cut), why=error.why)


def _is_passing(error: Exception) -> bool:
    """Whether it failed for want of somebody's answer, also inside of a task group."""
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return group.subgroup(NotNowError) is not None
    return isinstance(error, NotNowError)
