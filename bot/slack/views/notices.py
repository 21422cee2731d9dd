"""What handlers tell one person in a sentence or two, and the small notes that they leave in threads."""

from collections.abc import Sequence

from bot.domain.authorization import Decision
from bot.domain.incident import ALERT, PLAN, SCHEDULE, Incident
from bot.domain.listing import left_out
from bot.domain.outgoing import Content
from bot.domain.plan_life import PlanRecord
from bot.render.plans import SIGNS
from bot.slack.commands import Mistake
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.answers import refused, span
from bot.slack.views.parts import Part, message
from bot.slack.views.text import Mrkdwn, code, escape, joined, lines, link, moment, person, said

MOST_CHOICES = 5
_NOBODY = {ALERT: said("an alert"), SCHEDULE: said("a watch"), PLAN: said("a plan")}
_NO_NEWS = frozenset({"refused", "expired", "superseded", "stale", "checked", "aborted"})
"""States of a plan that has changed nothing."""


def sentence(*parts: Mrkdwn) -> Content:
    """One paragraph."""
    return message("", [Part(items=(joined(*parts),))])


def plainly(text: str) -> Content:
    """A sentence that may hold foreign text."""
    return sentence(escape(text, 1_000))


def not_here(*, is_archived: bool) -> Content:
    """We cannot post in the channel."""
    if is_archived:
        return sentence(said("This channel is archived: nothing can be posted here. Use another channel."))
    return sentence(
        said("I am not in this channel, so I could not post the answer. Type `/invite @cni`, then try again.")
    )


def mistaken(mistake: Mistake, prefix: str) -> Content:
    """Text that is no command. `prefix` is how the person began: "/cni" or "@cni"."""
    rows = [escape(mistake.sentence, 400)]
    if mistake.nearest:
        rows.append(joined(said("Did you mean "), code(f"{prefix} {mistake.nearest}", 300), said("?")))
    rows.append(joined(code(f"{prefix} help"), said(" shows all commands.")))
    return message("", [Part(items=(lines(rows),))])


def attached(incident: Incident, permalink: str, *, is_running: bool) -> Content:
    """Somebody asked about a scope that has an open incident."""
    where = link(permalink, "its thread") if permalink else said("its thread")
    scope = code(f"{incident.namespace}/{incident.pod}" if incident.pod else incident.namespace, 400)
    if is_running:
        return sentence(
            scope,
            said(" is already being diagnosed, requested by "),
            _person(incident.opened_by),
            said(": see "),
            where,
            said("."),
        )
    since = moment(incident.opened_at)
    return sentence(
        scope, said(" has an open incident since "), since, said(": diagnosing it again in "), where, said(".")
    )


def settled(incident: Incident, *, cluster_shown: bool) -> Content:
    """What becomes of a later run's progress message: which run it was. The verdict follows."""
    parts = [
        joined(said("Run "), escape(str(incident.run))),
        _person(incident.asked_by),
        escape(f"{incident.took_s:.0f} s"),
        report_lines.scope(incident, cluster_shown=True) if cluster_shown else said(""),
    ]
    return message("", [Part(items=(joined(*parts, by=" · "),), is_small=True)])


def root(
    incident: Incident,
    *,
    cluster_shown: bool,
    doubted_by: Sequence[str] = (),
    page: str = "",
    plan: PlanRecord | None = None,
) -> Content:
    """How the incident stands, for whoever reads the channel only: the newest status, whatever was said before.

    `page`: the address of its page; `plan`: its newest plan.
    """
    state = report_lines.status(incident)
    if incident.status == "closed":
        after = escape(f"after {span(incident.updated_at - incident.opened_at)}.")
        was = joined(said(" Was: "), escape(incident.was, 200)) if incident.was else said("")
        head = (
            joined(state, said(" "), after, was)
            if incident.found_run
            else joined(said("🟢 *HEALTHY* "), _fact(incident))
        )
    else:
        head = joined(state, said(" "), _fact(incident))
    if doubted_by:
        head = joined(head, said(" · "), doubted_by_words(doubted_by))
    ran = joined(escape(f"run {incident.run}, {incident.took_s:.0f} s, for"), said(" "), _person(incident.asked_by))
    last = joined(ran, said(" at "), moment(incident.updated_at)) if incident.run > 1 else ran
    if incident.status == "closed" and incident.found_run:
        last = joined(last, said(": healthy"))
    small = [report_lines.scope(incident, cluster_shown=cluster_shown, is_reach_shown=True), last]
    if plan is not None and not is_no_news(plan):
        small.append(plan_words(plan, is_over=incident.status == "closed"))
    if incident.assignee:
        small.append(joined(said("taken care of by "), person(incident.assignee)))
    if page:
        small.append(link(page, "page"))
    return message("", [Part(items=(head,)), Part(items=(joined(*small, by=" · "),), is_small=True)])


def is_no_news(record: PlanRecord) -> bool:
    """Whether the plan has changed nothing."""
    return record.state in _NO_NEWS


def plan_words(record: PlanRecord, *, is_over: bool) -> Mrkdwn:
    """What has become of a plan, and who let it happen."""
    by = [person(one.person.name) if one.person.realm == "slack" else code(one.person.name, 80)
          for one in record.approvals[:3]]  # fmt: skip
    names = joined(said(" ("), joined(*by, by=", "), said(")")) if by else said("")
    if record.state == "verified":
        return joined(said("fixed by plan ") if is_over else said("after plan "), code(record.plan.id), names)
    return joined(said("plan "), code(record.plan.id), said(": "), escape(SIGNS[record.state]), names)


def doubted_by_words(users: Sequence[str]) -> Mrkdwn:
    """By whom a verdict is doubted."""
    return joined(said("*doubted by* "), joined(*map(_person, users[:3]), by=", "))


def _fact(incident: Incident) -> Mrkdwn:
    return escape(incident.headline or incident.summary or incident.namespace, 300)


def _person(user: str) -> Mrkdwn:
    return _NOBODY[user] if user in _NOBODY else person(user)


def closed() -> Content:
    """An incident in which something was wrong is over."""
    return sentence(said("Nothing is wrong now, so this incident is closed. The next diagnosis opens a new one."))


def not_in_a_thread() -> Content:
    """A note or an assignment that belongs to no incident."""
    answer = said(" belongs in the thread of an open incident: answer there.")
    return sentence(code("@cni note TEXT"), said(" or "), code("@cni assign @NAME"), answer)


def gone() -> Content:
    """A button whose incident or report is no longer kept."""
    return sentence(said("The report of this run is no longer kept. Run a new diagnosis."))


def old_button() -> Content:
    """A button that no version of the bot, or another one, knows."""
    return sentence(
        said("This button is from another version of cnibot and no longer works. "),
        code("/cni help"),
        said(" shows what works."),
    )


def too_late() -> Content:
    """Slack lets a dialogue open within three seconds only."""
    return sentence(said("The dialog did not open in time. Press the button again."))


def elsewhere() -> Content:
    """A button that was forwarded to another channel."""
    return sentence(said("This button belongs to an incident of another channel. Use it there."))


def failed_inside(reference: str) -> Content:
    """Our own mistake."""
    return sentence(said("cnibot hit an internal error and gave up. Look for "), code(reference), said(" in its log."))


def already_shared() -> Content:
    """Somebody shared this report before."""
    return sentence(said("This report has already been shared with the channel."))


def refused_dialogue(decision: Decision) -> blocks.Block:
    """In a window that is already open: why not, and who may."""
    return blocks.modal("Not allowed", [dict(block) for block in refused(decision).blocks])


def doubted(user: str, text: str, run: int, cause: str | None) -> Content:
    """Somebody says that a verdict is wrong."""
    which = joined(said("not "), code(cause, 80)) if cause else said("not the verdict")
    return sentence(
        person(user),
        said(" says that it is "),
        which,
        said(" (run "),
        escape(str(run)),
        said("): "),
        escape(text, 1_500),
    )


def watch_ended(namespace: str, cluster: str, *, by: str) -> Content:
    """A watch whose owner may not watch there any more."""
    scope = joined(code(namespace, 80), said(" on "), code(cluster, 80))
    return sentence(
        said("The watch of "), scope, said(" has ended: "), person(by), said(" is no longer allowed to watch it.")
    )


def answers_changed(namespace: str, cluster: str, *, wrong: Sequence[str], right: Sequence[str]) -> Content:
    """Services of a watched namespace began to answer an application's question wrongly, or stopped doing so.

    `wrong` are the probe's own sentences, `right` the Services' names.
    """
    scope = joined(code(namespace, 80), said(" on "), code(cluster, 80))
    rows = [joined(said("Applications in "), scope, said(", which is watched here:"))]
    rows += [escape(each, 600) for each in wrong[:MOST_CHOICES]]
    rows += [joined(escape(each, 200), said(" answers as it should again.")) for each in right[:MOST_CHOICES]]
    more = max(len(wrong) - MOST_CHOICES, 0) + max(len(right) - MOST_CHOICES, 0)
    rows += [joined(escape(left_out(more)), said(": `/cni diagnose` lists them."))] if more else []
    rows += [said("A matter of the application, not of the network.")] if wrong else []
    return message("", [Part(items=(lines(rows),))])


def not_yours_any_more() -> Content:
    """The asker lost the right while a diagnosis ran."""
    return sentence(
        said("The requester is no longer allowed to diagnose this namespace, so the verdict is not posted.")
    )


def withheld() -> Content:
    """The channel was shared with others while a diagnosis ran."""
    return sentence(
        said("This channel is now shared with another organisation, so the verdict is not posted here."),
        said(" Run the diagnosis in an internal channel."),
    )


def on_other_clusters(namespace: str, cluster: str, others: Sequence[str]) -> Content:
    """The namespace is not where it was looked for, but elsewhere."""
    nowhere = joined(said("There is no namespace "), code(namespace, 100), said(" on "), code(cluster, 80))
    known = joined(*(code(other, 80) for other in others[:MOST_CHOICES]), by=", ")
    answer = joined(nowhere, said(", but there is on "), known, said("."))
    return message("", [Part(items=(answer,))], _choices([(other, namespace) for other in others], cluster_shown=True))


def which_namespace(choices: Sequence[tuple[str, str]], *, was_named: bool) -> Content:
    """Buttons for namespaces of an alert, as (cluster, namespace)."""
    if not choices:
        return sentence(
            said("I found no namespace in this message. Answer in its thread with "),
            code("@cni diagnose NAMESPACE"), said("."),
        )  # fmt: skip
    asked = (
        said("Several namespaces are named in this message. Which one?")
        if was_named
        else said("This message names no namespace directly, but some of its words are names of namespaces. Which one?")
    )
    several = len({cluster for cluster, _ in choices}) > 1
    return message("", [Part(items=(asked,))], _choices(choices, cluster_shown=several))


def _choices(choices: Sequence[tuple[str, str]], *, cluster_shown: bool) -> blocks.Block:
    """Buttons for (cluster, namespace)."""
    buttons = [
        blocks.button(
            f"{namespace} on {cluster}" if cluster_shown else namespace,
            f"{ids.DIAGNOSE_NAMESPACE}:{number}",
            ids.namespace_value(cluster, namespace),
            says=f"Diagnose {namespace} on {cluster}",
        )
        for number, (cluster, namespace) in enumerate(choices[:MOST_CHOICES])
    ]
    return blocks.actions(*buttons)
