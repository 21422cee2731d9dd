"""What an action comes to: the draft of a plan, or why there is none and what to do instead."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from bot.cluster.writer import Object
from bot.domain.errors import BotError
from bot.domain.plan import (
    MADE_BY,
    Baseline,
    Create,
    Delete,
    Evict,
    NodesReady,
    Person,
    Plan,
    Recheck,
    Remove,
    Replace,
    Restart,
    Step,
    Target,
    value_at,
)
from bot.domain.report import Risk
from bot.remediation.marks import FIELD, marking, releasing


class NotPlannedError(BotError):
    """There is no such plan, for a reason that a person should know; `instead` is what to do."""

    def __init__(self, why: str, instead: str = "") -> None:
        super().__init__(f"{why} {instead}".strip())
        self.why = why
        self.instead = instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan before it has a proposer."""

    action: str
    title: str
    risk: Risk
    main: Target
    """What is marked while the plan is carried out."""
    former_mark: str | None
    """A mark of an earlier plan, which has run out."""
    steps: tuple[Step, ...]
    expected_s: float
    disruption: str
    affected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    expects: Literal["better", "not-worse"] = "better"
    """What the probes must find afterwards."""
    back: tuple[Step, ...] = ()
    """The way back, where it has an order of its own; `reverts` counts the draft's steps."""
    cures: tuple[str, ...] = ()
    """Nodes that are not Ready, which is what the plan is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Who proposes, when, and what justifies it."""

    id: str
    cluster: str
    namespace: str
    requester: Person
    now: float
    expiry_s: float
    program: str
    incident: str = ""
    run: int = 0
    baseline: Baseline = field(default_factory=Baseline)
    evidence: Sequence[str] = ()


def plan_of(draft: Draft, given: Circumstances) -> Plan:
    """The plan: its object marked, the steps, the probes again, the mark off."""
    longest_s = sum(step.within_s for step in draft.steps) * 2 + 600
    until = given.now + given.expiry_s + longest_s
    mark = marking(draft.main, given.id, until, draft.former_mark)
    nodes = NodesReady(explained=tuple(sorted({*given.baseline.nodes, *draft.cures})))
    own = [_signed(one, given.id) for one in draft.steps]
    steps = [replace(one, guards=(nodes, *one.guards)) if is_forward(one) else one for one in (mark, *own)]
    return Plan(
        id=given.id,
        action=draft.action,
        title=draft.title,
        risk=draft.risk,
        cluster=given.cluster,
        namespace=given.namespace,
        steps=(*steps, _rechecking(draft), releasing(mark)),
        back=tuple(_way_back(draft, mark, given.id)),
        expected_s=draft.expected_s,
        disruption=draft.disruption,
        affected=draft.affected,
        warnings=draft.warnings,
        cause=given.baseline.cause,
        baseline=given.baseline,
        evidence=(*given.evidence, *draft.evidence),
        incident=given.incident,
        run=given.run,
        requester=given.requester,
        made_at=given.now,
        expires_at=given.now + given.expiry_s,
        program=given.program,
    )


def _signed(step: Step, plan_id: str) -> Step:
    """The step, with the plan's id on what it makes or takes away."""
    match step.do:
        case Create(target=target, manifest=manifest):
            metadata: dict[str, Any] = manifest["metadata"]
            annotations: dict[str, str] = {**(metadata.get("annotations") or {}), MADE_BY: plan_id}
            signed: dict[str, Any] = {**manifest, "metadata": {**metadata, "annotations": annotations}}
            return replace(step, do=Create(target=target, manifest=signed))
        case Remove(target=target):
            return replace(step, do=Remove(target=target, made_by=plan_id))
        case Replace(target=target) if not target.uid:
            return replace(step, do=replace(step.do, made_by=plan_id))
        case _:
            return step


def _way_back(draft: Draft, mark: Step, plan_id: str) -> Iterator[Step]:
    """Its own steps back, after which the mark is taken off."""
    for step in draft.back:
        reverts = None if step.reverts is None else step.reverts + 1  # the mark comes before them
        yield replace(_signed(step, plan_id), reverts=reverts)
    if draft.back:
        yield replace(releasing(mark), reverts=0)


def _rechecking(draft: Draft) -> Step:
    return Step(
        title="let the probes that found the fault run again", do=Recheck(expects=draft.expects), undo="not-needed"
    )


def is_forward(step: Step) -> bool:
    """Whether the step takes something away that a later one gives back, or changes it for good."""
    return step.undo != "not-needed" or isinstance(step.do, Delete | Restart | Evict)


def mark_on(obj: Object) -> str | None:
    """A mark that stands on the object, run out or not; whether it still holds, a guard asks when the plan begins."""
    value = value_at(obj, FIELD)
    return value if isinstance(value, str) else None
