"""What a thread holds beside its verdicts: how it began, how it gets on, why it failed, and what was shared."""

from collections.abc import Iterator, Sequence

from bot.diagnosis.request import Progress
from bot.domain.errors import BotError, ForbiddenError, UnknownPodError
from bot.domain.incident import ALERT, ALL_NODES, PLAN, SCHEDULE, Incident
from bot.domain.outgoing import Content
from bot.domain.report import Report
from bot.render import brief
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.parts import Part, message
from bot.slack.views.text import NOTHING, Mrkdwn, code, escape, joined, link, person, said
from bot.slack.views.verdicts import heading

_MOST_ROWS = 12
_STAGES = {"queue": "waiting", "api": "Kubernetes API", "access": "Access", "node": "", "judge": "Judging"}
_NOBODY = {
    ALERT: said("Requested by an alert."),
    SCHEDULE: said("Requested by the watch."),
    PLAN: said("To check the result of a plan."),
}
_SIGNS = {"started": said("…"), "done": said("✓"), "failed": said("✗")}


def opening(incident: Incident, *, asked_by: str, cluster_shown: bool) -> Content:
    """The first word, within a second: what is being done, and for whom."""
    return message("", [_intro(incident, asked_by, cluster_shown=cluster_shown)])


def progress(incident: Incident, steps: Sequence[Progress], *, elapsed_s: float, cluster_shown: bool = True) -> Content:
    """The same message while the diagnosis runs, and once more when it has ended (its status says so)."""
    rows = list(_latest(steps))
    done = sum(step.state != "started" for step in rows)
    count = joined(escape(f"{elapsed_s:.0f} s, {done} of {len(rows)} steps done"))
    return message(
        "",
        [
            _intro(incident, incident.opened_by, cluster_shown=cluster_shown),
            Part(items=tuple(_row(step) for step in _worth(rows)), rank=1),
            Part(items=(count,), is_small=True),
        ],
    )


def _intro(incident: Incident, asked_by: str, *, cluster_shown: bool) -> Part:
    asked = _asker(asked_by)
    again = joined(said(" Run "), escape(str(incident.run)), said(".")) if incident.run > 1 else NOTHING
    doing = said("⏳ *Diagnosing* ")
    if incident.status != "diagnosing":
        doing = joined(report_lines.status(incident), said(": diagnosed "))
    return Part(
        items=(joined(doing, report_lines.scope(incident, cluster_shown=cluster_shown), said(". "), asked, again),)
    )


def _asker(user: str) -> Mrkdwn:
    if user in _NOBODY:
        return _NOBODY[user]
    return joined(said("Requested by "), person(user), said("."))


def _latest(steps: Sequence[Progress]) -> Iterator[Progress]:
    """The newest state of each thing, in the order in which they began."""
    found: dict[tuple[str, str], Progress] = {}
    for step in steps:
        found[step.stage, step.subject] = step
    yield from found.values()


def _worth(rows: list[Progress]) -> list[Progress]:
    """All of them, or of very many the failed ones and the last."""
    if len(rows) <= _MOST_ROWS:
        return rows
    ranked = sorted(range(len(rows)), key=lambda at: (rows[at].state != "failed", -at))
    return [rows[at] for at in sorted(ranked[:_MOST_ROWS])]


def _row(step: Progress) -> Mrkdwn:
    name = step.subject or _STAGES[step.stage]
    outcome = joined(said(": "), escape(step.sentence, 200)) if step.sentence else NOTHING
    failed_ = said(" *failed*") if step.state == "failed" else NOTHING
    return joined(_SIGNS[step.state], said(" "), escape(name, 100), failed_, outcome)


def failed(error: BotError, incident: Incident) -> Content:
    """Why there is no verdict, and what would help."""
    rows = [escape(str(error), 900), *_remedies(error)]
    value = ids.run_value(incident.id, incident.run)
    again = blocks.button("Re-run", ids.RERUN, value, says="Re-run this diagnosis")
    title = f"{report_lines.STATUS_SIGNS['failed']} {report_lines.INCIDENT_WORDS['failed']}: {_scope_words(incident)}"
    return message(title, [Part(items=(row,), rank=at) for at, row in enumerate(rows)], blocks.actions(again))


def _scope_words(incident: Incident) -> str:
    where = f"{incident.namespace}/{incident.pod}" if incident.pod else incident.namespace
    if incident.node:
        where = "all nodes" if incident.node == ALL_NODES else f"node {incident.node}"
    return f"{where} on {incident.cluster}"


def _remedies(error: BotError) -> Iterator[Mrkdwn]:
    match error:
        case ForbiddenError():
            yield joined(said("The permission that would help: "), code(error.permission))
        case UnknownPodError() if error.nearest:
            yield joined(
                said("Pods with similar names: "), joined(*(code(name, 260) for name in error.nearest[:5]), by=", ")
            )
        case _:
            pass
    yield said("The network was not checked: this says neither that it works nor that it is broken.")


def shared(report: Report, *, by: str, permalink: str = "") -> Content:
    """For the whole channel: the verdict in brief, what to do, and where the rest is."""
    thread = joined(said(" · "), link(permalink, "the thread with the evidence")) if permalink else NOTHING
    affected = joined(said("*Who:* "), escape(" ".join(brief.who(report)), 600)) if brief.who(report) else NOTHING
    fixes = [row for one in report.remediations[:1] for row in report_lines.fix(one, said("*Do now*"))]
    causes = [escape(f"{cause.title} ({cause.confidence})", 200) for cause in brief.standing(report)]
    why = joined(said("*Why:* "), joined(*causes, by="; ")) if causes else NOTHING
    return message(
        heading(report),
        [
            Part(items=(affected,) if affected else ()),
            Part(items=tuple(fixes), is_whole=True, rank=1, least=len(fixes)),
            Part(items=(why,) if why else ()),
            Part(items=(joined(said("Shared by "), person(by), thread),)),
            Part(items=(report_lines.facts(report),), is_small=True),
        ],
    )
