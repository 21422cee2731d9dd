"""What comes next: the same from any journal, for whoever reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.plan import Plan, Recheck
from bot.domain.plan_journal import JournalEntry
from bot.remediation.progress import End, Move, Observe, TurnBack, Verify, Write, next_move
from tests.remediation.build import NOW, plan, step

THREE = plan(step(1), step(2), step(3))


def line(number: int, event: Any, way: Any = "do", note: str = "") -> JournalEntry:
    return JournalEntry(at=NOW, fence=1, step=number, way=way, event=event, note=note)


def done(number: int, way: Any = "do") -> list[JournalEntry]:
    return [line(number, event, way) for event in ("begun", "written", "verified")]


def test_it_begins_with_the_first_step() -> None:
    assert next_move(THREE, []) == Write(0, "do")
    assert next_move(THREE, done(0)) == Write(1, "do")


def test_what_was_begun_is_observed_and_not_repeated() -> None:
    assert next_move(THREE, [*done(0), line(1, "begun")]) == Observe(1, "do")
    assert next_move(THREE, [*done(0), line(1, "begun"), line(1, "written")]) == Verify(1, "do")


def test_it_ends_when_all_is_verified() -> None:
    made = plan(step(1), step(2, do=Recheck()), step(3))
    checked = [*done(1)[:2], line(1, "verified", note="9 of 9")]

    assert next_move(made, [*done(0), *checked, *done(2)]) == End("verified", "9 of 9")


def test_a_first_step_that_is_refused_leaves_the_cluster_as_it_was() -> None:
    move = next_move(THREE, [line(0, "refused", note="it was changed")])

    assert move == End("stale", "step 1, change web-1: it was changed")


def test_a_step_that_fails_turns_back_in_reverse_order() -> None:
    journal = [*done(0), *done(1)[:2], line(1, "failed", note="no pod became ready")]
    assert next_move(THREE, journal) == TurnBack(1, "step 2, change web-2: no pod became ready")

    journal.append(line(1, "turned", note="it failed"))
    assert next_move(THREE, journal) == Write(1, "undo")
    journal += done(1, "undo")
    assert next_move(THREE, journal) == Write(0, "undo")
    journal += done(0, "undo")
    assert next_move(THREE, journal) == End("undone", "it failed")


def test_what_was_refused_is_not_undone() -> None:
    journal = [*done(0), line(1, "begun"), line(1, "refused"), line(1, "turned", note="x")]

    assert next_move(THREE, journal) == Write(0, "undo")


def test_what_may_have_happened_is_undone_too() -> None:
    assert next_move(THREE, [*done(0), line(1, "begun"), line(1, "turned")]) == Write(1, "undo")


def test_a_rollback_that_did_not_help_is_left_to_people_with_all_before_it() -> None:
    made = plan(step(1), step(2, undo="person"), step(3, do=Recheck(), undo="not-needed"))
    journal = [*done(0), *done(1), line(2, "begun"), line(2, "failed", note="not better"), line(2, "turned", note="n")]

    assert next_move(made, journal) == End("halted", "n; step 2 was done and is left as it is: change web-2")


def test_a_node_whose_agent_does_not_come_back_stays_cordoned_and_one_whose_agent_did_does_not() -> None:
    made = plan(step(1), step(2, undo="person-unless-verified"), step(3))
    failed = [*done(0), *done(1)[:2], line(1, "failed"), line(1, "turned", note="n")]
    helped = [*done(0), *done(1), line(2, "refused"), line(2, "turned", note="n")]

    assert next_move(made, failed) == End("halted", "n; step 2 was done and is left as it is: change web-2")
    assert next_move(made, helped) == Write(0, "undo")


def test_what_is_lost_halts_at_once() -> None:
    move = next_move(THREE, [*done(0), line(1, "begun"), line(1, "lost", note="the API server is gone")])

    assert move == End("halted", "step 2, change web-2: the API server is gone")


def test_an_undo_that_fails_halts() -> None:
    journal = [*done(0), line(1, "refused"), line(1, "turned"), line(0, "begun", "undo"), line(0, "refused", "undo")]

    move = next_move(THREE, journal)

    assert isinstance(move, End)
    assert move.outcome == "halted"


def test_a_stop_before_the_first_step_changes_nothing_and_later_turns_back() -> None:
    assert next_move(THREE, [], is_stopping=True) == End("aborted", "somebody asked to stop")
    assert next_move(THREE, done(0), is_stopping=True) == TurnBack(1, "somebody asked to stop")
    assert next_move(THREE, [*done(0), line(1, "begun")], is_stopping=True) == Observe(1, "do")


_ENDS = {"Write": ("begun", "refused"), "Observe": ("written", "refused", "lost"), "Verify": ("verified", "failed")}


@given(
    st.data(),
    st.lists(st.sampled_from(("restore", "not-needed", "person", "person-unless-verified")), min_size=1, max_size=4),
)
def test_every_run_ends_and_begins_nothing_twice(data: st.DataObject, undos: list[Any]) -> None:
    """Whatever each write comes to and whenever somebody stops it, also if the executor dies after every line."""
    made = plan(*(step(number, undo=undo) for number, undo in enumerate(undos)))
    journal: list[JournalEntry] = []
    is_stopping = False
    for _ in range(2 * 3 * len(undos) + 2):
        is_stopping = is_stopping or data.draw(st.booleans())
        move = next_move(made, journal, is_stopping=is_stopping)
        match move:
            case End():
                _assert_end(made, journal, move)
                return
            case TurnBack(step=number, why=why):
                journal.append(line(number, "turned", note=why))
            case Write() | Observe() | Verify():
                event = data.draw(st.sampled_from(_ENDS[type(move).__name__]))
                assert event != "begun" or not any(
                    (one.step, one.way, one.event) == (move.step, move.way, "begun") for one in journal
                )
                journal.append(line(move.step, event, move.way))
    raise AssertionError("it does not end")


def _assert_end(made: Plan, journal: list[JournalEntry], move: Move) -> None:
    assert isinstance(move, End)
    states = {(one.step, one.way): one.event for one in journal if one.event != "turned"}
    landed = {number for (number, way), event in states.items() if way == "do" and event != "refused"}
    match move.outcome:
        case "verified":
            assert landed == set(range(len(made.steps)))
        case "undone":
            for number in landed:
                undo = made.steps[number].undo
                assert undo != "person"
                assert undo != "restore" or states[number, "undo"] == "verified"
                assert undo != "person-unless-verified" or states[number, "do"] == "verified"
        case "stale" | "aborted":
            assert not landed
        case "halted":
            assert landed
