"""Leases under any order of events: two processes, crashes, time that passes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bot.store import Inbox, open_store
from bot.store.inbox.leases import Leases, Taken
from tests.redis import RedisServer

PROCESSES = st.sampled_from([0, 1])


class Shift(RuleBasedStateMachine):
    """Two processes at one inbox, step by step. Time passes when the machine says so: leases run out by taking over
    with a lease of none."""

    server: ClassVar[RedisServer]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.entered = open_store(self.server.url, Path("/nowhere"))
        self.store = self.loop.run(self.entered.__aenter__())
        self.loop.run(self.empty())
        self.crashes = 0
        self.processes = [self.process(0), self.process(1)]
        self.held: list[dict[str, Taken]] = [{}, {}]
        self.orphans: set[str] = set()
        """Taken by a process that crashed: theirs until somebody takes it over."""
        self.begun_alone: dict[str, int] = {}
        self.accepted: set[str] = set()
        self.settled: set[bytes] = set()
        self.inbox = Inbox(self.store.connection, clock=lambda: 0.0)
        self.loop.run(self.processes[0].prepare())

    def process(self, index: int) -> Leases:
        self.crashes += 1
        return Leases(self.store.connection, consumer=f"{index}-{self.crashes}", lease_s=0, is_alone=True)

    async def empty(self) -> None:
        async with self.store.connection.client() as client:
            await client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType] untyped arguments

    @rule(name=st.text(max_size=2))
    def accept(self, name: str) -> None:
        is_new = self.loop.run(self.inbox.accept(name, "event", {"name": name}))
        assert is_new == (name not in self.accepted)
        self.accepted.add(name)

    @rule(who=PROCESSES, most=st.integers(1, 3))
    def take_new(self, who: int, most: int) -> None:
        taken = self.loop.run(self.processes[who].take_new(most, 0.001))
        assert len(taken) <= most
        for one in taken:
            assert one.deliveries == 1
            assert one.id not in self.held[0] | self.held[1]
            self.held[who][one.id] = one

    @rule(who=PROCESSES, most=st.integers(1, 3))
    def take_over(self, who: int, most: int) -> None:
        """Everything that this process does not hold is free to be taken: its holder is dead, or too slow."""
        mine = self.held[who]
        for one in self.loop.run(self.processes[who].take_over(most, mine, is_first=True)):
            assert one.id not in mine
            assert one.deliveries > 1
            mine[one.id] = one
            self.orphans.discard(one.id)

    @rule(who=PROCESSES)
    def take_suspect(self, who: int) -> None:
        """What was begun twice and did not end is taken by itself, and each time is counted."""
        mine = self.held[who]
        suspect = self.loop.run(self.processes[who].next_suspect(mine))
        taken = self.loop.run(self.processes[who].take_alone(suspect)) if suspect else None
        if taken:
            assert taken.id not in mine
            assert taken.crashes == self.begun_alone.get(taken.id, 0)
            self.begun_alone[taken.id] = taken.crashes + 1
            mine[taken.id] = taken
            self.orphans.discard(taken.id)

    @rule(who=PROCESSES)
    def keep(self, who: int) -> None:
        """A process learns what it has lost."""
        lost = self.loop.run(self.processes[who].keep(dict.fromkeys(self.held[who], 1)))
        for one in lost:
            taken = self.held[who].pop(one)
            assert one in self.held[1 - who] or one in self.orphans or taken.fields[b"body"] in self.settled

    @rule(who=PROCESSES)
    def crash(self, who: int) -> None:
        self.orphans.update(self.held[who])
        self.held[who].clear()
        self.processes[who] = self.process(who)

    @rule(who=PROCESSES, is_good=st.booleans(), times=st.integers(1, 2))
    def settle(self, who: int, is_good: bool, times: int) -> None:  # noqa: FBT001 - hypothesis passes by name
        """Finished or given up; the answer may get lost and the command come twice."""
        if not self.held[who]:
            return
        taken = self.held[who].pop(min(self.held[who]))
        for _ in range(times):
            if is_good:
                self.loop.run(self.processes[who].finish(taken.id))
            else:
                self.loop.run(self.processes[who].bury(taken, "no good", 0.0))
        self.settled.add(taken.fields[b"body"])
        self.begun_alone.pop(taken.id, None)

    @rule()
    def tidy(self) -> None:
        self.loop.run(self.processes[0].tidy())

    @invariant()
    def nothing_is_lost(self) -> None:
        waiting = self.loop.run(self.inbox.counts()).waiting
        assert waiting == len(self.accepted) - len(self.settled)

    @invariant()
    def nothing_is_given_up_twice(self) -> None:
        dead = [taken.fields[b"body"] for taken in self.loop.run(self.processes[0].dead_ones(1000))]
        assert len(dead) == len(set(dead))
        assert set(dead) <= self.settled

    def teardown(self) -> None:
        """Whatever happened: who comes last gets all that is left."""
        last = self.process(2)
        rest: dict[str, Taken] = {}
        while taken := self.loop.run(last.take_over(100, rest, is_first=True)):
            rest |= {one.id: one for one in taken}
        while suspect := self.loop.run(last.next_suspect(rest)):
            one = self.loop.run(last.take_alone(suspect))
            assert one
            rest[one.id] = one
        while taken := self.loop.run(last.take_new(100, 0.001)):
            rest |= {one.id: one for one in taken}
        self.loop.run(self.entered.__aexit__(None, None, None))
        self.loop.close()
        assert len({one.fields[b"body"] for one in rest.values()}) == len(self.accepted) - len(self.settled)


def test_nothing_is_lost_in_any_order_of_events(redis_server: RedisServer) -> None:
    Shift.server = redis_server
    run_state_machine_as_test(Shift, settings=settings(max_examples=15, stateful_step_count=40, deadline=None))
