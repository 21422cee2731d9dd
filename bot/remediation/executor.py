"""Carries a plan out: the journal before each write, a look before anything is done again.

Whoever holds the cluster's lease calls `run`; it goes on from wherever the journal ends. A write whose end is not known
is read until that tells: it happened, it did not (then it is sent again, on the condition that nothing has
changed), or the object is neither as before nor as after (then a person looks).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from bot.cluster.client.paths import api_path
from bot.cluster.helm.program import HelmFailedError, HelmMissingError
from bot.cluster.writer import Object, Seen, Writer, target_of
from bot.domain.errors import (
    BotError,
    ConflictError,
    DeadlineError,
    OverloadedError,
    ServerError,
    UnreachableError,
)
from bot.domain.plan import (
    Change,
    Condition,
    Create,
    Delete,
    Evict,
    Gone,
    HelmRollback,
    Plan,
    Recheck,
    Replace,
    Restart,
    Step,
    Target,
    Way,
    value_at,
)
from bot.domain.plan_journal import Event, JournalEntry
from bot.remediation.conditions import holds
from bot.remediation.progress import End, Observe, TurnBack, Verify, Write, next_move

log = structlog.get_logger()

PAUSE_S = 0.5
MAX_PAUSE_S = 5.0
UNKNOWN_S = 120.0
"""How long a write whose end is not known is read again before a person is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Better:
    """What the probes say after the change; None: they could not tell."""

    is_better: bool | None
    sentence: str


class Journal(Protocol):
    """Where the executor writes down what it does."""

    async def read(self) -> tuple[JournalEntry, ...]:
        """All lines, oldest first."""
        ...

    async def write(self, place: int, line: JournalEntry) -> None:
        """The next line. Errors: `BotError`: nothing may be done any more."""
        ...

    @property
    def fence(self) -> int:
        """The lease's number."""
        ...


Halt = Callable[[Step], Awaitable[str]]
"""Why the step may not be done now (the kill switch, new trouble), as a sentence; "" when it may."""


class Executor:
    """One plan, one holder of the lease."""

    def __init__(  # noqa: PLR0913 what it works with
        self,
        plan: Plan,
        writer: Writer,
        journal: Journal,
        *,
        recheck: Callable[[Recheck], Awaitable[Better]],
        is_stopping: Callable[[], Awaitable[bool]],
        halt: Halt,
        now: Callable[[], float] = time.time,
        pause_s: float = PAUSE_S,
        unknown_s: float = UNKNOWN_S,
    ) -> None:
        self._plan = plan
        self._writer = writer
        self._journal = journal
        self._recheck = recheck
        self._is_stopping = is_stopping
        self._halt = halt
        self._now = now
        self._pause_s = pause_s
        self._unknown_s = unknown_s

    async def run(self) -> End:
        """How it ended. Errors: `BotError` of the store: another process, or this one later, goes on."""
        while True:
            lines = await self._journal.read()
            move = next_move(self._plan, lines, is_stopping=await self._is_stopping())
            log.info("plan.move", plan=self._plan.id, move=str(move))
            match move:
                case End():
                    return move
                case TurnBack(step=number, why=why):
                    await self._write_down(number, "do", "turned", why)
                case Write(step=number, way=way):
                    await self._begin(number, way)
                case Observe(step=number, way=way):
                    await self._settle(number, way)
                case Verify(step=number, way=way):
                    await self._verify(number, way)

    async def _write_down(self, step: int, way: Way, event: Event, note: str = "") -> None:
        place = len(await self._journal.read())
        line = JournalEntry(at=self._now(), fence=self._journal.fence, step=step, way=way, event=event, note=note[:500])
        await self._journal.write(place, line)

    async def _begin(self, number: int, way: Way) -> None:
        """Guards, a dry run, the line in the journal, the write."""
        step = self._plan.step(number, way)
        if isinstance(step.do, Recheck) and (left_s := await self._too_early_s(step.do)) > 0:
            await asyncio.sleep(min(left_s, self._pause_s))
            return  # somebody may ask to stop meanwhile
        try:
            change = await self._meant(number, way)
        except BotError as error:
            await self._write_down(number, way, "refused", f"nothing was done: {error}")
            return
        if change is None:
            await self._write_down(number, way, "begun")
            await self._write_down(number, way, "written")
            return
        note = _pod_named(change) if isinstance(step.do, Restart) else ""
        refusal = await self._halt(step) if way == "do" else ""
        found = Seen(standing="other", why=refusal) if refusal else await self._ready(step, change, way)
        match found.standing:
            case "other" | "pending":
                await self._write_down(number, way, "refused", found.why)
            case "after":
                await self._write_down(number, way, "begun", note)
                await self._write_down(number, way, "written", "it was so already")
            case "before":
                await self._write_down(number, way, "begun", note)
                await self._send(number, way, change, found)

    async def _ready(self, step: Step, change: Change, way: Way) -> Seen:
        """How the target stands; other, with the reason, when the write may not be made."""
        until, pause_s = self._now() + self._unknown_s, self._pause_s
        while True:
            try:
                if way == "do" and (refusal := await self._writer.is_healthy() or await self._unmet(step.guards)):
                    return Seen(standing="other", why=refusal)
                found = await self._writer.look(change)
                if found.standing == "before":
                    await self._writer.write(change, found, is_dry_run=True)
            except BotError as error:
                if not may_pass(error) or self._now() >= until:
                    return Seen(standing="other", why=f"nothing was done: {error}")
            else:
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    async def _too_early_s(self, do: Recheck) -> float:
        """How long it is until the check may begin."""
        lines = await self._journal.read()
        return lines[-1].at + do.after_s - self._now() if lines else 0.0

    async def _meant(self, number: int, way: Way) -> Change | None:
        """What is written in this direction; None: nothing. Errors: `BotError`: nobody could read which pod is meant.

        Of a restart it is the deletion of the one pod that was there when it began: a pod that came afterwards is
        never deleted.
        """
        do = self._plan.step(number, way).do
        if isinstance(do, Recheck):
            return None
        if isinstance(do, Restart):
            lines = await self._journal.read()
            begun = next((one for one in lines if (one.step, one.way, one.event) == (number, way, "begun")), None)
            return _pod_of(begun.note) if begun else await self._pod_on(do)
        if way == "do" or self._plan.back:
            return do
        assert isinstance(do, Replace | Create)
        return do.reversed()

    async def _pod_on(self, do: Restart) -> Delete | None:
        """The deletion of the DaemonSet's pod on the node; None: there is none."""
        pods = [one for one in await self._writer.pods_of(do.target, do.node) if not is_ending(one)]
        if not pods:
            return None
        name, namespace = pods[0]["metadata"]["name"], do.target.namespace
        return Delete(target=target_of(pods[0], "Pod", api_path("pods", namespace=namespace, name=name)))

    async def _unmet(self, conditions: tuple[Condition, ...]) -> str:
        """Why one of them does not hold; "" when all do."""
        for condition in conditions:
            held = await holds(condition, self._writer, now=self._now())
            if not held.is_so:
                return held.why
        return ""

    async def _send(self, number: int, way: Way, change: Change, found: Seen) -> None:
        """The write itself. Where its end is not known, `_settle` looks."""
        try:
            await self._writer.write(change, found)
        except HelmFailedError as error:
            await self._settle(number, way, error)
        except BotError as error:
            if _may_have_happened(error):
                log.warning("plan.write_unknown", plan=self._plan.id, step=number, why=str(error))
                await self._settle(number, way)
            else:
                await self._write_down(number, way, "refused", str(error))
        else:
            if isinstance(change, Evict):
                await self._settle(number, way)  # some may have been kept back, and all of them take a while to end
            else:
                await self._write_down(number, way, "written")

    async def _settle(self, number: int, way: Way, failure: HelmFailedError | None = None) -> None:
        """Look until it is known whether the step has happened; send it again only when it has not.

        `failure`: why Helm has ended, after which it is never run again.
        """
        change = await self._meant(number, way)
        if change is None:
            await self._write_down(number, way, "written")
            return
        step = self._plan.step(number, way)
        until, pause_s = self._now() + self._patience_s(step, change), self._pause_s
        while True:
            try:
                ended = await (self._known(change) if failure is None else self._left_by_helm(change, failure))
            except HelmFailedError as error:
                failure, ended = error, None
            if ended is not None or self._now() >= until:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
        event, note = ended or await self._left(change)
        await self._write_down(number, way, event, note)

    def _patience_s(self, step: Step, change: Change) -> float:
        """How long it is looked for until a person is asked."""
        match change:
            case Evict():
                return max(self._unknown_s, step.within_s)
            case HelmRollback():  # a process that was killed may have left it at work on another machine
                return max(self._unknown_s, change.timeout_s)
            case _:
                return self._unknown_s

    async def _left_by_helm(self, change: Change, failure: HelmFailedError) -> tuple[Event, str] | None:
        """What Helm has done, that has ended without success. None: not known yet."""
        try:
            found = await self._writer.look(change)
        except BotError as error:
            return None if may_pass(error) else ("lost", f"{failure} {error}")
        match found.standing:
            case "before":  # of one that was ended, a request may still be on its way
                return None if failure.was_ended else ("refused", f"nothing was done: {failure}")
            case "after":
                return "written", f"seen afterwards, although {failure}"
            case "other" | "pending":
                return "lost", f"{found.why}: {failure}"

    async def _left(self, change: Change) -> tuple[Event, str]:
        """What is written down when time is up: of an eviction that was never allowed the pod tells."""
        if isinstance(change, Delete) and change.is_eviction:
            with suppress(BotError):
                if (await self._writer.look(change)).standing == "before":
                    return "refused", f"no PodDisruptionBudget of {change.target} let it go in time"
        if isinstance(change, Evict):
            return "refused", f"pods of {change.target} were not allowed to go, or did not end, in time"
        if isinstance(change, HelmRollback):
            with suppress(BotError):
                if (found := await self._writer.look(change)).standing == "pending":
                    return "lost", f"{found.why}, and whoever ran Helm has ended: see helm history {change.release}"
        return "lost", "the API server did not confirm the result"

    async def _known(self, change: Change) -> tuple[Event, str] | None:
        """What became of a write that was begun; it is sent again where it has not happened. None: not known yet."""
        try:
            found = await self._writer.look(change)
            if found.standing == "before":
                await self._writer.write(change, found)
                found = await self._writer.look(change)
        except HelmFailedError:
            raise
        except BotError as error:
            is_unknown = isinstance(change, HelmRollback) and not isinstance(error, HelmMissingError)
            return None if may_pass(error) else ("lost" if is_unknown else "refused", str(error))
        match found.standing:
            case "after":
                return "written", "seen afterwards"
            case "other":
                return ("refused" if isinstance(change, Evict) else "lost"), found.why
            case "before" | "pending":
                return None

    def _brought_about(self, step: Step, way: Way) -> tuple[Condition, ...]:
        """What must hold afterwards: what was made is gone when the step is undone."""
        if way == "undo" and not self._plan.back and isinstance(step.do, Create):
            return (Gone(target=step.do.target),)
        return step.verify

    async def _verify(self, number: int, way: Way) -> None:
        """Wait until the step has brought about what it should."""
        step = self._plan.step(number, way)
        if isinstance(step.do, Recheck):
            better = await self._recheck(step.do)
            event: Event = "lost" if better.is_better is None else "verified" if better.is_better else "failed"
            await self._write_down(number, way, event, better.sentence)
            return
        until, pause_s, why = self._now() + step.within_s, self._pause_s, ""
        while True:
            try:
                why = await self._unmet(self._brought_about(step, way))
            except BotError as error:
                why = str(error)
            if not why:
                await self._write_down(number, way, "verified")
                return
            if self._now() >= until:
                await self._write_down(number, way, "failed", f"after {step.within_s:.0f} s {why}")
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, MAX_PAUSE_S)


def _pod_named(change: Change) -> str:
    """A pod as the journal names it: its path and its uid."""
    return f"{change.target.path} {change.target.uid}"


def _pod_of(note: str) -> Delete | None:
    """The deletion of the pod that the journal names; None where there was none."""
    path, _, uid = note.partition(" ")
    if not uid:
        return None
    parts = path.split("/")
    name, namespace = parts[-1], parts[-3]
    target = Target(kind="Pod", path=path, name=name, namespace=namespace, uid=uid, resource_version="")
    return Delete(target=target)


def is_ending(pod: Object) -> bool:
    """Whether the pod is being deleted."""
    return value_at(pod, ("metadata", "deletionTimestamp")) is not None


def may_pass(error: BotError) -> bool:
    """Whether asking again may give another answer."""
    return isinstance(error, OverloadedError) or _may_have_happened(error)


def _may_have_happened(error: BotError) -> bool:
    """Whether the server may have made the change although it answered with this, or not at all.

    A conflict as well: it may be our own earlier request, which arrived late.
    """
    if isinstance(error, OverloadedError):
        return error.status != 429
    return isinstance(error, ConflictError | DeadlineError | ServerError | UnreachableError)
