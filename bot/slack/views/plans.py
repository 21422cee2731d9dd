"""The card of a plan: one message, edited through its life. Sign and word first, the same title always."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from bot.domain.listing import left_out
from bot.domain.outgoing import Content
from bot.domain.plan import Create, Person, Recheck, Step
from bot.domain.plan_journal import JournalEntry
from bot.domain.plan_life import Approval, PlanRecord
from bot.render.plans import RISKS, SIGNS, UNDO_WORDS, exactly, milestones_shown, plan_text
from bot.slack.views import blocks
from bot.slack.views.blocks import Block
from bot.slack.views.ids import RERUN, run_value
from bot.slack.views.parts import Part, message
from bot.slack.views.text import (
    Mrkdwn,
    code,
    escape,
    fence,
    joined,
    lines,
    link,
    moment,
    person,
    plain,
    said,
    units,
)

APPROVE = "cni_plan_approve"
REFUSE = "cni_plan_refuse"
STOP = "cni_plan_stop"
SHOW = "cni_plan_show"
AGAIN = "cni_plan_again"
REFUSE_VIEW = "cni_plan_refuse_view"
APPROVE_VIEW = "cni_plan_approve_view"
REASON_BLOCK, REASON_INPUT = "cni_plan_reason_block", "cni_plan_reason_input"
CLUSTER_BLOCK, CLUSTER_INPUT = "cni_plan_cluster_block", "cni_plan_cluster_input"
REFUSE_BLOCK, REFUSE_INPUT = "cni_plan_refuse_block", "cni_plan_refuse_input"

_ID = re.compile(r"p-[0-9a-f]{8}")
_MOST_STEPS = 12
_MOST_EXACT = 8
_LINE = 300


def parse_plan(value: str) -> str | None:
    """The plan that a button's value names; None when it has another form."""
    return value if _ID.fullmatch(value) else None


def plan_card(record: PlanRecord, journal: Sequence[JournalEntry] = (), *, needed: int) -> Content:
    """The card as the plan stands. `needed`: how many people must approve it."""
    plan = record.plan
    heading = f"{SIGNS[record.state]}: {plan.title}"
    parts = [
        Part(items=tuple(_says(record, journal))),
        Part(title=said("*Exactly this:*"), items=tuple(_exact(record)), rank=2, least=1),
        Part(items=tuple(_facts(record, needed)), rank=1),
        Part(title=said("*Why*"), items=tuple(_row(one) for one in plan.evidence[:4]), rank=4),
        Part(title=said("*Know before you approve*"), items=tuple(_row(one) for one in plan.warnings[:4]), rank=3),
        Part(items=(_small(record),), is_small=True),
    ]
    shown = parts if record.is_open else [parts[0], parts[-1]]
    buttons = _buttons(record)
    return message(heading, shown, *((blocks.actions(*buttons),) if buttons else ()))


def _row(text: str) -> Mrkdwn:
    return joined(said("• "), escape(text, _LINE))


def _says(record: PlanRecord, journal: Sequence[JournalEntry]) -> Iterator[Mrkdwn]:
    """What has become of it; before that, what people will notice."""
    if record.sentence:
        yield escape(record.sentence, 900)
    else:
        yield escape(f"{record.plan.disruption} Expected to take {record.plan.expected_s:.0f} s.", 600)
    if glass := record.glass_broken_by:
        yield joined(said("🔨 *GLASS BROKEN* by "), _who(glass.person), said(": "), escape(glass.reason, 500))
    elif record.approvals:
        names = joined(*(_who(one.person) for one in record.approvals), by=", ")
        yield joined(said("Approved by "), names, said("."))
    if reached := milestones_shown(record.plan, journal):
        yield escape(reached)
    if record.state == "running" or (journal and not record.is_open):
        yield lines(_steps(record, journal))


def _steps(record: PlanRecord, journal: Sequence[JournalEntry]) -> Iterator[Mrkdwn]:
    """Where it is: of a long plan the steps around the one that is being done, and how many are left out."""
    plan = record.plan
    last = {(line.step, line.way): line for line in journal if line.event != "turned"}
    undoes_in_place = not plan.back
    at = max((number for number, way in last if way == "do"), default=0)
    first = max(0, min(at - _MOST_STEPS // 2, len(plan.steps) - _MOST_STEPS))
    if first:
        yield escape(f"✓ 1 to {first}")
    for number in range(first, min(first + _MOST_STEPS, len(plan.steps))):
        undone = last.get((number, "undo")) if undoes_in_place else None
        yield _step_row(number, plan.steps[number], last.get((number, "do")), undone)
    if hidden := left_out(len(plan.steps) - first - _MOST_STEPS, "steps"):
        yield escape(hidden)
    for number, step in enumerate(plan.back):
        if line := last.get((number, "undo")):
            yield _step_row(number, step, None, line)


def _step_row(number: int, step: Step, done: JournalEntry | None, undone: JournalEntry | None) -> Mrkdwn:
    sign = said("· ")
    if undone:
        sign = said("↩ ")
    elif done:
        sign = {"verified": said("✓ "), "failed": said("✗ "), "refused": said("✗ ")}.get(done.event, said("… "))
    line = undone or done
    note = f": {line.note}" if line and line.note else ""
    return joined(sign, escape(f"{number + 1}. {step.title}{note}", _LINE))


def _exact(record: PlanRecord) -> Iterator[Mrkdwn]:
    """Each write, in the API's terms. What has no room is counted by the part, never cut unseen."""
    rows: list[str] = []
    for step in record.plan.steps:
        if isinstance(step.do, Create):
            rows += islice(exactly(step.do), 1)  # its fields are a window of their own
        elif not isinstance(step.do, Recheck):
            rows += exactly(step.do)
    for row in rows[:_MOST_EXACT]:
        yield code(row, _LINE)
    if hidden := left_out(len(rows) - _MOST_EXACT, "lines"):
        yield joined(escape(hidden), said(": *Show plan* has them all"))


def _facts(record: PlanRecord, needed: int) -> Iterator[Mrkdwn]:
    plan = record.plan
    yield joined(said("*Risk* "), escape(RISKS[plan.risk]))
    undo = dict.fromkeys(UNDO_WORDS[step.undo] for step in plan.steps if step.undo != "not-needed")
    words = f"{len(plan.back)} steps of its own" if plan.back else "; ".join(undo) or UNDO_WORDS["not-needed"]
    yield joined(said("*Undo* "), escape(words))
    yield joined(said("*Checked by* the diagnosis of "), code(plan.namespace, 80), said(", made again"))
    people = "1 person" if needed == 1 else f"{needed} people"
    yield joined(said("*Approval* "), escape(f"{people}, not the proposer"))


def _who(one: Person) -> Mrkdwn:
    return person(one.name) if one.realm == "slack" else code(one.name, 80)


def _small(record: PlanRecord) -> Mrkdwn:
    plan = record.plan
    rows = [
        joined(said("Plan "), code(plan.id), said(" on "), code(plan.cluster, 80)),
        joined(said("proposed by "), _who(plan.requester)),
        joined(said("digest "), code(plan.digest[:12])),
        joined(said("cluster read "), moment(plan.made_at)),
    ]
    if record.state in {"waiting", "approved"}:
        rows.append(joined(said("expires "), moment(plan.expires_at)))
    return joined(*rows, by=" · ")


def _buttons(record: PlanRecord) -> list[Block]:
    plan = record.plan
    show = blocks.button("Show plan", SHOW, plan.id, says="Show the whole plan")
    match record.state:
        case "waiting":
            approve = blocks.button("Approve", APPROVE, plan.id, style="primary", says="Approve this plan and run it")
            confirm = _confirm(f"Run plan {plan.id} on {plan.cluster}?", f"{plan.title}. Your name is recorded.")
            refuse = blocks.button("Refuse", REFUSE, plan.id, style="danger", says="Refuse this plan")
            return [approve | {"confirm": confirm}, refuse, show]
        case "approved" | "running":
            stop = blocks.button("Stop", STOP, plan.id, style="danger", says="Stop this plan and turn back")
            return [stop, show]
        case _:
            return _ended(record, show)


def _ended(record: PlanRecord, show: Block) -> list[Block]:
    """What can be done next."""
    plan = record.plan
    run = run_value(plan.incident, plan.run)
    first: list[Block] = []
    if record.state in {"stale", "refused", "aborted", "checked"} and record.asked:
        first = [blocks.button("Plan again", AGAIN, plan.id, says="Plan the same again, as the cluster stands now")]
    if record.state == "expired" and run:  # the verdict may be as old as the plan
        first = [blocks.button("Re-run", RERUN, run, says="Diagnose again")]
    if record.state == "halted":
        show = blocks.button("Show what was done", SHOW, plan.id, style="primary", says="Show what was done")
    return [*first, show]


def _confirm(title: str, text: str) -> dict[str, Any]:
    return {
        "title": {"type": "plain_text", "text": plain(title, 100)},
        "text": {"type": "plain_text", "text": plain(text, 300)},
        "confirm": {"type": "plain_text", "text": "Approve and run"},
        "deny": {"type": "plain_text", "text": "Not now"},
    }


def plan_list(records: Sequence[PlanRecord]) -> Content:
    """The newest plans, one a line."""
    rows = [
        joined(code(one.plan.id), escape(f" {SIGNS[one.state]}: {one.plan.title} on {one.plan.cluster}", _LINE))
        for one in records[:20]
    ]
    return message("", [Part(items=tuple(rows) or (said("There are no plans. `/cni plan` proposes one."),))])


def plan_news(record: PlanRecord) -> Content:
    """The line in the thread when a plan has ended: edits notify nobody."""
    plan = record.plan
    return message("", [Part(items=(escape(f"{SIGNS[record.state]}: {plan.title}. {record.sentence}", 900),))])


def plan_half_done(record: PlanRecord, *, link_to: str) -> Content:
    """For the whole channel: a person must look."""
    where = link(link_to, "What was done and what was not") if link_to else said("Its thread says what was done")
    title = escape(f"{SIGNS[record.state]}: {record.plan.title} on {record.plan.cluster}.", _LINE)
    return message("", [Part(items=(title, joined(escape(record.sentence, 600), said(" "), where, said("."))))])


def plan_drifted(record: PlanRecord, why: str) -> Content:
    """The line in the thread when somebody has changed what a verified plan had set right."""
    line = joined(said("🔁 *Plan "), code(record.plan.id), said(" no longer holds:* "), escape(why, 600))
    return message("", [Part(items=(line, said("The incident is open again: diagnosing.")))])


def plan_modal(record: PlanRecord, journal: Sequence[JournalEntry]) -> Block:
    """The plan whole, in a window; where it has not room for all, it says so."""
    rows, pages, used = plan_text(record, journal).splitlines(), list[list[str]]([[]]), 0
    for row in rows:
        size = units(row) + 30
        if used + size > 2_500:
            pages.append([])
            used = 0
        pages[-1].append(row)
        used += size
    most = 40
    shown = [blocks.section(fence(page)) for page in pages[:most]]
    if len(pages) > most:
        shown.append(
            blocks.section(joined(said("*CUT.* The whole plan: "), code(f"cnibot plan show {record.plan.id}")))
        )
    return blocks.modal(f"Plan {record.plan.id}", shown)


def approve_modal(record: PlanRecord, *, asks_reason: bool, asks_cluster: bool) -> Block:
    """What the policy wants to be said and typed before this plan is approved."""
    plan = record.plan
    fields = [blocks.section(escape(f"{plan.title} on {plan.cluster}. Digest {plan.digest[:12]}.", 600))]
    if asks_reason:
        hint = "It is kept in the audit."
        fields.append(blocks.text_input("Why?", REASON_BLOCK, REASON_INPUT, hint=hint))
    if asks_cluster:
        hint = "Exactly as shown on the card."
        fields.append(blocks.text_input("The cluster's name", CLUSTER_BLOCK, CLUSTER_INPUT, hint=hint))
    metadata = f"{plan.id} {plan.digest}"
    return blocks.modal("Approve the plan", fields, callback_id=APPROVE_VIEW, metadata=metadata, submit="Approve")


def glass_news(record: PlanRecord, glass: Approval) -> Content:
    """For the whole channel: somebody went past the policy."""
    who = joined(said("🔨 *GLASS BROKEN* by "), _who(glass.person), said(": "), escape(record.plan.title, _LINE))
    return message("", [Part(items=(who, joined(said("*Why:* "), escape(glass.reason, 500)), _small(record)))])


def refuse_modal(record: PlanRecord) -> Block:
    """Why it is refused."""
    field = blocks.text_input(
        "Why?", REFUSE_BLOCK, REFUSE_INPUT, hint="It is posted in the thread and kept in the audit."
    )
    return blocks.modal("Refuse the plan", [field], callback_id=REFUSE_VIEW, metadata=record.plan.id, submit="Refuse")
