"""Plans in the store: each decision once, journals by the holder alone, an audit that shows any hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.aio.each import each
from bot.domain import plan_life
from bot.domain.plan import Person
from bot.domain.plan_journal import AuditEntry, JournalEntry
from bot.domain.plan_life import PlanRecord, Refusal
from bot.domain.plan_policy import Policy
from bot.store import Store, open_store
from bot.store.audit import Head, flaws, sealed
from bot.store.plans import BusyError, LeaseLostError, Stop, UnknownPlanError
from tests.redis import RedisServer
from tests.remediation.build import ALICE, BOB, NOW, approval, record


def said(event: str = "test", plan: str = "p-0a1b2c3d") -> AuditEntry:
    return AuditEntry(number=0, at=NOW, event=event, plan=plan, previous="")


def line(fence: int, number: int = 0) -> JournalEntry:
    return JournalEntry(at=NOW, fence=fence, step=number, way="do", event="begun")


async def whole(store: Store) -> list[str]:
    lines = [one async for one in store.audit.lines()]
    return list(flaws(lines, await store.audit.head()))


async def click(store: Store, person: Person, policy: Policy, at: float) -> PlanRecord | Refusal:
    plan = record().plan
    return await store.plans.decide(
        plan.id,
        lambda stands: plan_life.approve(stands, approval(plan, person, at=at), policy),
        lambda _: said(f"approved by {person.name}"),
    )


async def test_a_plan_is_kept_as_it_is(store: Store) -> None:
    made = record()
    await store.plans.add(made, said("proposed"))

    assert await store.plans.get(made.plan.id) == made
    assert (await store.plans.get(made.plan.id)).plan.digest == made.plan.digest
    assert await store.plans.recent() == (made,)
    with pytest.raises(UnknownPlanError, match="no plan 'p-none'"):
        await store.plans.get("p-none")


async def test_a_thousand_clicks_are_the_policys_outcome(store: Store) -> None:
    """Three approvals are needed; 250 people click four times each, the proposer among them, 128 at the same moment."""
    await store.plans.add(record(), said("proposed"))
    policy = Policy(approvals={"r1": 3})
    people = [ALICE, *(Person(realm="slack", name=f"U{number}") for number in range(249))]

    clicks = [(person, NOW + number / 1000) for number, person in enumerate(people * 4)]
    answers = await each(clicks, lambda one: click(store, one[0], policy, one[1]), limit=128)

    stands = await store.plans.get(record().plan.id)
    kinds = Counter(answer.kind if isinstance(answer, Refusal) else "approved" for answer in answers)
    assert stands.state == "approved"
    assert len({one.person for one in stands.approvals}) == len(stands.approvals) == 3
    assert ALICE not in {one.person for one in stands.approvals}
    assert kinds["approved"] == 3
    assert sum(kinds.values()) == 1000
    assert (await store.audit.head()).number == 4, "the proposal and three approvals, and nothing else"
    assert await whole(store) == []


async def test_one_plan_at_a_time_has_a_cluster(store: Store) -> None:
    lease = await store.plans.lease("lab", "p-1", "replica-a")
    with pytest.raises(BusyError, match="p-1"):
        await store.plans.lease("lab", "p-2", "replica-b")
    other = await store.plans.lease("other", "p-2", "replica-b")
    await store.plans.release(lease)
    later = await store.plans.lease("lab", "p-2", "replica-b")

    assert other.fence == 1
    assert later.fence == lease.fence + 1


async def test_who_lost_the_lease_writes_nothing_more(store: Store) -> None:
    mine = await store.plans.lease("lab", "p-1", "replica-a")
    await store.plans.write(mine, "p-1", 0, line(mine.fence), said())
    await store.plans.release(mine)
    theirs = await store.plans.lease("lab", "p-1", "replica-b")

    with pytest.raises(LeaseLostError):
        await store.plans.write(mine, "p-1", 1, line(mine.fence, 1), said())
    with pytest.raises(LeaseLostError):
        await store.plans.keep(mine)
    await store.plans.write(theirs, "p-1", 1, line(theirs.fence, 1), said())

    assert [one.fence for one in await store.plans.journal("p-1")] == [mine.fence, theirs.fence]
    assert (await store.audit.head()).number == 2


async def test_a_line_is_written_only_as_the_next_one_and_once(store: Store) -> None:
    lease = await store.plans.lease("lab", "p-1", "a")
    entry = line(lease.fence)
    await store.plans.write(lease, "p-1", 0, entry, said())
    with pytest.raises(LeaseLostError):
        await store.plans.write(lease, "p-1", 0, line(lease.fence, 2), said())

    assert await store.plans.journal("p-1") == (entry,)


async def test_the_kill_switch_is_kept_and_audited(store: Store) -> None:
    thrown = Stop(person=BOB, at=NOW, reason="change freeze")
    await store.plans.stop_all(thrown, said("stopped", ""))
    assert await store.plans.stopped() == thrown

    await store.plans.stop_all(None, said("resumed", ""))
    assert await store.plans.stopped() is None
    assert (await store.audit.head()).number == 2
    assert await whole(store) == []


async def test_all_of_it_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    with RedisServer("--appendfsync", "always") as server:
        async with open_store(server.url, tmp_path) as store:
            await store.plans.add(record(), said("proposed"))
            lease = await store.plans.lease("lab", record().plan.id, "a")
            await store.plans.write(lease, record().plan.id, 0, line(lease.fence), said())
            server.stop()
            server.start()

            assert (await store.plans.get(record().plan.id)).state == "waiting"
            assert len(await store.plans.journal(record().plan.id)) == 1
            assert await whole(store) == []


def chain(length: int) -> tuple[list[bytes], Head]:
    head, lines = Head(), list[bytes]()
    for number in range(length):
        entry = sealed(said(f"event {number}"), head)
        lines.append(msgspec.json.encode(entry, order="deterministic"))
        head = Head(number=entry.number, hash=entry.hash)
    return lines, head


@given(st.integers(0, 6))
def test_an_untouched_audit_is_whole(length: int) -> None:
    assert list(flaws(*chain(length))) == []


@given(st.integers(2, 7), st.data())
def test_any_hand_on_the_audit_shows(length: int, data: st.DataObject) -> None:
    lines, head = chain(length)
    at = data.draw(st.integers(0, length - 1))
    match data.draw(st.sampled_from(("altered", "removed", "cut", "swapped", "doubled", "garbage"))):
        case "altered":
            entry = msgspec.json.decode(lines[at], type=AuditEntry)
            lines[at] = msgspec.json.encode(msgspec.structs.replace(entry, who="somebody else"))
        case "removed":
            del lines[at]
        case "cut":
            del lines[at:]
        case "swapped":
            other = data.draw(st.integers(0, length - 1).filter(lambda one: one != at))
            lines[at], lines[other] = lines[other], lines[at]
        case "doubled":
            lines.insert(at, lines[at])
        case _:
            lines[at] = b"{"

    assert list(flaws(lines, head))


def test_an_entry_altered_and_sealed_again_breaks_the_one_after_it() -> None:
    lines, head = chain(3)
    forged = sealed(said("nothing happened"), Head(number=1, hash=msgspec.json.decode(lines[0])["hash"]))
    lines[1] = msgspec.json.encode(forged)

    assert list(flaws(lines, head)) == ["Entry 3 does not follow the entry before it."]
