"""The queue of diagnoses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bot.incidents.queue import DiagnosisQueue

Start = Callable[..., Awaitable[None]]


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


class Requesters:
    """People who ask for a diagnosis, wait for their slot, and give it back when a test says so."""

    def __init__(self, most: int, group: asyncio.TaskGroup) -> None:
        self.queue = DiagnosisQueue(most)
        self.group = group
        self.running: list[str] = []
        self.places: dict[str, list[int]] = {}
        self.may_leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, *names: str, is_background: bool = False) -> None:
        for name in names:
            self.may_leave[name] = asyncio.Event()
            self.places[name] = []
            self.tasks[name] = self.group.create_task(self._diagnose(name, is_background=is_background))
            await settle()

    async def leave(self, *names: str) -> None:
        for name in names:
            self.may_leave[name].set()
            await settle()

    async def _diagnose(self, name: str, *, is_background: bool) -> None:
        async with self.queue.slot(self.places[name].append, is_background=is_background):
            self.running.append(name)
            await self.may_leave[name].wait()
            self.running.remove(name)


async def test_first_come_first_served_and_everybody_knows_their_place() -> None:
    async with asyncio.TaskGroup() as group:
        requesters = Requesters(2, group)
        await requesters.arrive("a", "b", "c", "d")
        assert requesters.running == ["a", "b"]
        assert (requesters.queue.running, requesters.queue.waiting) == (2, 2)
        assert requesters.places["d"][-1] == 2
        await requesters.leave("b")
        assert requesters.running == ["a", "c"]
        assert requesters.places["d"][-1] == 1
        assert requesters.places["a"] == []
        await requesters.leave("a", "c", "d")
    assert (requesters.queue.running, requesters.queue.waiting) == (0, 0)


async def test_whoever_gives_up_leaves_the_queue() -> None:
    async with asyncio.TaskGroup() as group:
        requesters = Requesters(1, group)
        await requesters.arrive("a", "b", "c")
        requesters.tasks["b"].cancel()
        await settle()
        assert requesters.places["c"][-1] == 1
        await requesters.leave("a")
        assert requesters.running == ["c"]
        await requesters.leave("c")
    assert requesters.queue.running == 0


async def test_a_turn_given_to_somebody_who_gives_up_at_that_moment_goes_to_the_next() -> None:
    async with asyncio.TaskGroup() as group:
        requesters = Requesters(1, group)
        await requesters.arrive("a", "b", "c")
        requesters.may_leave["a"].set()
        while "a" in requesters.running:  # noqa: ASYNC110 to the very step
            await asyncio.sleep(0)
        requesters.tasks["b"].cancel()
        await settle()
        assert requesters.running == ["c"]
        await requesters.leave("c")
    assert requesters.queue.running == 0


async def test_the_patient_come_after_all_others_and_leave_room() -> None:
    async with asyncio.TaskGroup() as group:
        requesters = Requesters(2, group)
        await requesters.arrive("w1", "w2", "w3", is_background=True)
        assert requesters.running == ["w1"]  # one slot stays free for people
        await requesters.arrive("a", "b")
        assert requesters.running == ["w1", "a"]
        await requesters.leave("w1")
        assert requesters.running == ["a", "b"]
        await requesters.leave("a")
        assert requesters.running == ["b", "w2"]
        await requesters.leave("b", "w2", "w3")
    assert requesters.queue.running == 0


async def test_with_one_turn_the_patient_get_it_too() -> None:
    async with asyncio.TaskGroup() as group:
        requesters = Requesters(1, group)
        await requesters.arrive("w1", is_background=True)
        assert requesters.running == ["w1"]
        await requesters.leave("w1")
