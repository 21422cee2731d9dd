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


class Hall:
    """People who come, get their turn, and leave when they are told to."""

    def __init__(self, most: int, group: asyncio.TaskGroup) -> None:
        self.queue = DiagnosisQueue(most)
        self.group = group
        self.inside: list[str] = []
        self.places: dict[str, list[int]] = {}
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def comes(self, *names: str, is_background: bool = False) -> None:
        for name in names:
            self.leave[name] = asyncio.Event()
            self.places[name] = []
            self.tasks[name] = self.group.create_task(self._visit(name, is_background=is_background))
            await settle()

    async def leaves(self, *names: str) -> None:
        for name in names:
            self.leave[name].set()
            await settle()

    async def _visit(self, name: str, *, is_background: bool) -> None:
        async with self.queue.slot(self.places[name].append, is_background=is_background):
            self.inside.append(name)
            await self.leave[name].wait()
            self.inside.remove(name)


async def test_first_come_first_served_and_everybody_knows_their_place() -> None:
    async with asyncio.TaskGroup() as group:
        hall = Hall(2, group)
        await hall.comes("a", "b", "c", "d")
        assert hall.inside == ["a", "b"]
        assert (hall.queue.running, hall.queue.waiting) == (2, 2)
        assert hall.places["d"][-1] == 2
        await hall.leaves("b")
        assert hall.inside == ["a", "c"]
        assert hall.places["d"][-1] == 1
        assert hall.places["a"] == []
        await hall.leaves("a", "c", "d")
    assert (hall.queue.running, hall.queue.waiting) == (0, 0)


async def test_whoever_gives_up_leaves_the_queue() -> None:
    async with asyncio.TaskGroup() as group:
        hall = Hall(1, group)
        await hall.comes("a", "b", "c")
        hall.tasks["b"].cancel()
        await settle()
        assert hall.places["c"][-1] == 1
        await hall.leaves("a")
        assert hall.inside == ["c"]
        await hall.leaves("c")
    assert hall.queue.running == 0


async def test_a_turn_given_to_somebody_who_gives_up_at_that_moment_goes_to_the_next() -> None:
    async with asyncio.TaskGroup() as group:
        hall = Hall(1, group)
        await hall.comes("a", "b", "c")
        hall.leave["a"].set()
        while "a" in hall.inside:  # noqa: ASYNC110 to the very step
            await asyncio.sleep(0)
        hall.tasks["b"].cancel()
        await settle()
        assert hall.inside == ["c"]
        await hall.leaves("c")
    assert hall.queue.running == 0


async def test_the_patient_come_after_all_others_and_leave_room() -> None:
    async with asyncio.TaskGroup() as group:
        hall = Hall(2, group)
        await hall.comes("w1", "w2", "w3", is_background=True)
        assert hall.inside == ["w1"]  # one slot stays free for people
        await hall.comes("a", "b")
        assert hall.inside == ["w1", "a"]
        await hall.leaves("w1")
        assert hall.inside == ["a", "b"]
        await hall.leaves("a")
        assert hall.inside == ["b", "w2"]
        await hall.leaves("b", "w2", "w3")
    assert hall.queue.running == 0


async def test_with_one_turn_the_patient_get_it_too() -> None:
    async with asyncio.TaskGroup() as group:
        hall = Hall(1, group)
        await hall.comes("w1", is_background=True)
        assert hall.inside == ["w1"]
        await hall.leaves("w1")
