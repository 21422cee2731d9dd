"""What an incident's thread says about its alerts: one message, edited as they come and go."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.incident import Incident
from bot.domain.listing import left_out
from bot.domain.outgoing import Content
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Report
from bot.incidents.alerting.relevance import Relevance, relevance
from bot.render import brief
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.blocks import Block
from bot.slack.views.notices import is_no_news, plan_words
from bot.slack.views.parts import Part, message
from bot.slack.views.text import NOTHING, Mrkdwn, bold, channel, code, escape, joined, listed, moment, said
from bot.slack.views.text import link as link_to
from bot.store.alerts import AlertsOf, IncidentAlert

_MOST_KINDS = 8
_MOST_SUBJECTS = 3
_ONCE = said("Posted once a day for each alert name.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsModel:
    """An incident's alerts and what is known about them."""

    incident: Incident
    alerts: AlertsOf
    report: Report | None
    """Of the newest run, where it has ended."""
    before: Report | None = None
    """Of the run before."""
    plan: PlanRecord | None = None
    """The incident's newest plan."""

    @property
    def have_ended(self) -> bool:
        """Whether none fires any more."""
        return bool(self.alerts.alerts) and not any(alert.status == "firing" for alert in self.alerts.alerts)

    @property
    def is_verified(self) -> bool:
        """Whether the newest verdict is younger than the end of the alerts."""
        return self.have_ended and self.incident.updated_at >= max(alert.since for alert in self.alerts.alerts)


REACTIONS: Mapping[str, str] = {
    "⏳": "eyes",
    "🔴": "red_circle",
    "🟠": "large_orange_circle",
    "🟢": "large_green_circle",
    "⚪": "white_circle",
    "⚫": "black_circle",
}
"""By the sign with which a card begins: what is drawn on Alertmanager's message, for who does not open its thread."""


def reaction(model: AlertsModel) -> str:
    """The name of the emoji that says how the alerts stand."""
    return REACTIONS[_standing(model)[0]]


def card(model: AlertsModel, *, link: str | None = None, is_alone: bool = False) -> Content:
    """How the alerts stand, and what the verdict means for them.

    `link`: to the incident, where it is elsewhere. `is_alone`: the verdict has no message beside this one.
    """
    is_whole = link is not None or is_alone
    report = model.report if is_whole and model.incident.status != "diagnosing" else None
    return message(
        "",
        [
            Part(items=(_standing(model),)),
            Part(items=tuple(_in_brief(report)) if report and not model.have_ended else (), rank=1),
            Part(items=(_elsewhere(model.incident, link),) if link is not None else ()),
            Part(items=tuple(_kinds(model.alerts)), rank=1),
            Part(items=(_small_print(model),), is_small=True),
        ],
        *([_buttons(model.incident)] if report else []),
    )


def _in_brief(report: Report) -> Iterator[Mrkdwn]:
    """Who is hit, and what would help."""
    if found := brief.who(report):
        yield joined(said("*Who:* "), escape(" ".join(found), 500))
    if report.remediations:
        yield joined(said("*Do now:* "), escape(report_lines.sentence(report.remediations[0].why), 300))


def _buttons(incident: Incident) -> Block:
    value = ids.run_value(incident.id, incident.run)
    return blocks.actions(
        blocks.button("Details", ids.DETAILS, value, says="Details: all causes, findings and commands"),
        blocks.button("Not it", ids.NOT_IT, value, says="Not it: say why the verdict is wrong"),
    )


def _elsewhere(incident: Incident, link: str) -> Mrkdwn:
    where = link_to(link, "Open the incident") if link else said("The incident")
    return joined(where, said(" in "), channel(incident.channel), said(": evidence, and what to do."))


def _standing(model: AlertsModel) -> Mrkdwn:
    incident, report = model.incident, model.report
    count = len(model.alerts.alerts) + model.alerts.beyond
    these = said("this alert") if count == 1 else said("these alerts")
    if incident.status == "failed":
        return joined(said("⚪ *No diagnosis* for "), these, said(": "), escape(incident.summary, 500))
    if incident.status == "diagnosing" or report is None:
        doing = said("⏳ *Verifying* the end of ") if model.have_ended else said("⏳ *Diagnosing* for ")
        return joined(doing, these, said("."))
    match report.verdict.status:
        case "healthy":
            return _healthy(model)
        case "inconclusive":
            return joined(said("⚪ *Not known.* "), escape(report.verdict.summary, 500))
        case "degraded" | "broken":
            return joined(_fault(model, report), said(" "), escape(report.verdict.summary, 500))


def _healthy(model: AlertsModel) -> Mrkdwn:
    fault = model.before.verdict if model.before and model.before.verdict.status in {"broken", "degraded"} else None
    was = joined(said(" It was: "), escape(fault.summary, 400)) if fault else NOTHING
    if model.have_ended:
        after = escape(_duration(model))
        checked = joined(said(" Checked again "), moment(model.incident.updated_at), said(": healthy."))
        return joined(said("⚫ *Ended* after "), after, said("."), was, checked if model.is_verified else NOTHING)
    if fault:
        still = said("🟢 *The network works again*, but alerts still fire: they may be late or have another cause.")
        return joined(still, was)
    return said("🟢 *Not the network*, as far as cnibot could see. Check the application: its logs and its readiness.")


def _fault(model: AlertsModel, report: Report) -> Mrkdwn:
    if model.is_verified:
        return said("🟠 *Alertmanager says resolved, cnibot does not.* The incident stays open.")
    return _bearing(report, model.alerts.alerts)


def _duration(model: AlertsModel) -> str:
    """From the first alert to the end of the last."""
    alerts = model.alerts.alerts
    seconds = max(alert.since for alert in alerts) - min(alert.first_at for alert in alerts)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _bearing(report: Report, alerts: Sequence[IncidentAlert]) -> Mrkdwn:
    """What a fault has to do with the alerts. That it is their reason must be earned."""
    found: Counter[Relevance] = Counter(relevance(report, alert.subject) for alert in alerts)
    total = len(alerts)
    if found["explained"] == total:
        return _CERTAINTY[report.verdict.confidence]
    if found["unexplained"] == total:
        what = said("this alert") if total == 1 else said("any of these alerts")
        return joined(said("🟠 *A network fault was found, but it does not explain* "), what, said("."))
    if found["undecided"] == total:
        return said("🟠 *A network fault was found.* The alert names nothing to compare it with.")
    counts = escape(f"{found['explained']} of {total}")
    return joined(said("🟠 *A network fault was found.* It explains "), counts, said(" of these alerts."))


_CERTAINTY: Mapping[str | None, Mrkdwn] = {
    "confirmed": said("🔴 *It is the network.*"),
    "likely": said("🔴 *It is likely the network.*"),
    "possible": said("🟠 *It may be the network.*"),
    None: said("🔴 *The network fails here*; the cause is not known."),
}


def _kinds(alerts: AlertsOf) -> Iterator[Mrkdwn]:
    """A line for each name and severity, those that fire first."""
    kinds: dict[tuple[str, str, str], list[IncidentAlert]] = {}
    for alert in alerts.alerts:
        kinds.setdefault((alert.name, alert.severity, alert.status), []).append(alert)
    shown = list(kinds.items())[:_MOST_KINDS]
    for (name, severity, status), group in shown:
        yield joined(
            said("• "),
            bold(name or "unnamed alert", 120),
            joined(said(" ("), escape(severity, 30), said(")")) if severity else NOTHING,
            _subjects(group),
            said(" firing since ") if status == "firing" else said(" ended "),
            moment(min(alert.since for alert in group)),
            _flapping(group),
        )
    if hidden := left_out(len(kinds) - len(shown), "kinds of alerts"):
        yield joined(said("… "), escape(hidden))


def _subjects(group: Sequence[IncidentAlert]) -> Mrkdwn:
    names = list(dict.fromkeys(alert.subject for alert in group if alert.subject))
    if not names:
        return escape(f" ({len(group)} of them)") if len(group) > 1 else NOTHING
    shown = [code(name, 260) for name in names[:_MOST_SUBJECTS]]  # of thousands the rest is only counted
    return joined(said(" "), listed(shown, _MOST_SUBJECTS, beyond=len(names) - len(shown)))


def _flapping(group: Sequence[IncidentAlert]) -> Mrkdwn:
    times = max(alert.times for alert in group)
    return escape(f", {times} times: flapping") if times > 2 else NOTHING


def _small_print(model: AlertsModel) -> Mrkdwn:
    """Counts, when the verdict was reached, and which plan has helped."""
    alerts, incident = model.alerts, model.incident
    firing = sum(alert.status == "firing" for alert in alerts.alerts)
    beyond = f" {alerts.beyond} more are not listed." if alerts.beyond else ""
    words = [escape(f"{firing} firing, {len(alerts.alerts) - firing} ended.{beyond}")]
    if model.report is not None and incident.status != "diagnosing":
        words.append(joined(said("verdict at "), moment(incident.updated_at)))
    if model.plan is not None and not is_no_news(model.plan):
        is_over = model.have_ended and model.report is not None and model.report.verdict.status == "healthy"
        words.append(plan_words(model.plan, is_over=is_over))
    return joined(*words, by=" · ")


def unmapped(alertname: str, scope: str) -> Content:
    """An alert names something that the cluster does not have."""
    return message(
        "",
        [
            Part(
                items=(
                    joined(
                        said("⚪ The alert "), bold(alertname or "without a name", 120), said(" names "),
                        code(scope, 300), said(", which this cluster does not have. Diagnose a namespace with "),
                        code("@cni diagnose NAMESPACE"), said(", or add a route: "), code("docs/alerts.md"), said("."),
                    ),
                )
            ),
            Part(items=(_ONCE,), is_small=True),
        ],
    )  # fmt: skip


def does_not_apply(alertname: str, why: str) -> Content:
    """A rule that has nothing to measure in this cluster."""
    advice = joined(
        said("⚪ *The rule does not apply here.* "), bold(alertname or "The alert", 120),
        said(" fires when Prometheus finds no such target, and here there is none by design: "), escape(why, 300),
        said(". Drop the rule for this cluster, or ignore the alert with a route."),
    )  # fmt: skip
    return message("", [Part(items=(advice,)), Part(items=(_ONCE,), is_small=True)])
