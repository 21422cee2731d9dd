"""What comes next, from a plan and its journal alone: the same for the process that began and for one that takes over.

Nothing is ever repeated because its end is not known: after `begun` without an end comes Observe, never Write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.plan import Plan, Recheck
from bot.domain.plan_journal import Event, JournalEntry, Way


@dataclass(frozen=True, slots=True)
class Write:
    """Do the step (or its way back): nothing of it has begun."""

    step: int
    way: Way


@dataclass(frozen=True, slots=True)
class Observe:
    """Look whether the step has happened: it was begun, and nobody knows how that ended."""

    step: int
    way: Way


@dataclass(frozen=True, slots=True)
class Verify:
    """Wait until what the step is to bring about holds."""

    step: int
    way: Way


@dataclass(frozen=True, slots=True)
class TurnBack:
    """From here on the way back."""

    step: int
    why: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing is left to do."""

    outcome: Literal["verified", "undone", "halted", "aborted", "stale"]
    why: str


_LOSING = ("undo", "begun")
_MOST_CHECKS = 2
"""Of those that were passed the last ones are the end of a plan: the journal has them all."""

Move = Write | Observe | Verify | TurnBack | End


def next_move(plan: Plan, journal: Sequence[JournalEntry], *, is_stopping: bool = False) -> Move:
    """The next thing to do."""
    last: dict[tuple[int, Way], JournalEntry] = {}
    for entry in journal:
        if entry.event != "turned":
            last[entry.step, entry.way] = entry
    for entry in last.values():
        if entry.event == "lost":
            title = plan.step(entry.step, entry.way).title
            return End("halted", f"step {entry.step + 1}, {title}: {entry.note}")
    turned = next((entry for entry in journal if entry.event == "turned"), None)
    return _forward(plan, last, is_stopping=is_stopping) if turned is None else _back(plan, last, turned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A condition of a plan that takes long, as its journal tells: the same for whoever reads it."""

    name: str
    is_reached: bool
    at: float | None = None
    """Since when; None where it is not reached."""


def milestones(plan: Plan, journal: Sequence[JournalEntry]) -> tuple[Milestone, ...]:
    """In the order of the plan: reached when its step is verified, until the way back begins to take it away."""
    reached = {
        plan.steps[line.step].milestone: line.at for line in journal if (line.way, line.event) == ("do", "verified")
    }
    lost = {plan.back[line.step].milestone for line in journal if plan.back and (line.way, line.event) == _LOSING}
    found: list[Milestone] = []
    for step in plan.steps:
        if step.milestone:
            at = None if step.milestone in lost else reached.get(step.milestone)
            found.append(Milestone(name=step.milestone, is_reached=at is not None, at=at))
    return tuple(found)


def _event(last: Mapping[tuple[int, Way], JournalEntry], step: int, way: Way) -> Event | None:
    entry = last.get((step, way))
    return entry.event if entry else None


def _forward(plan: Plan, last: Mapping[tuple[int, Way], JournalEntry], *, is_stopping: bool) -> Move:
    for number, step in enumerate(plan.steps):
        match _event(last, number, "do"):
            case None if is_stopping:
                return TurnBack(number, "somebody asked to stop") if last else End("aborted", "somebody asked to stop")
            case None:
                return Write(number, "do")
            case "begun":
                return Observe(number, "do")
            case "written":
                return Verify(number, "do")
            case "verified":
                continue
            case _:
                why = f"step {number + 1}, {step.title}: {last[number, 'do'].note}"
                landed = any(_event(last, each, "do") not in {None, "refused"} for each in range(number + 1))
                return TurnBack(number, why) if landed else End("stale", why)
    checks = [number for number, step in enumerate(plan.steps) if isinstance(step.do, Recheck)]
    return End("verified", " ".join(last[number, "do"].note for number in checks[-_MOST_CHECKS:]))


def _back(plan: Plan, last: Mapping[tuple[int, Way], JournalEntry], turned: JournalEntry) -> Move:
    if plan.back:
        return _own_way_back(plan, last, turned)
    for number in reversed(range(len(plan.steps))):
        step, event = plan.steps[number], _event(last, number, "do")
        if event in {None, "refused"}:
            continue
        if step.undo == "person" or (step.undo == "person-unless-verified" and event != "verified"):
            left = f"step {number + 1} was done and is left as it is: {step.title}"
            return End("halted", f"{turned.note}; {left}")
        if step.undo == "restore" and (move := _undoing(plan, last, turned, number)):
            return move
    return End("undone", turned.note)


def _own_way_back(plan: Plan, last: Mapping[tuple[int, Way], JournalEntry], turned: JournalEntry) -> Move:
    """The plan's own steps back, first to last: those that what was begun makes necessary."""
    for number, step in enumerate(plan.back):
        is_needed = step.reverts is None or _event(last, step.reverts, "do") not in {None, "refused"}
        if is_needed and (move := _undoing(plan, last, turned, number)):
            return move
    return End("undone", turned.note)


def _undoing(
    plan: Plan, last: Mapping[tuple[int, Way], JournalEntry], turned: JournalEntry, number: int
) -> Move | None:
    """What comes next of one step back; None when it is done."""
    match _event(last, number, "undo"):
        case None:
            return Write(number, "undo")
        case "begun":
            return Observe(number, "undo")
        case "written":
            return Verify(number, "undo")
        case "verified":
            return None
        case _:
            note, title = last[number, "undo"].note, plan.step(number, "undo").title
            return End("halted", f"{turned.note}; undoing step {number + 1}, {title}, failed: {note}")
