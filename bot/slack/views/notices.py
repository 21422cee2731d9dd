"""What handlers tell one person in a sentence or two, and the small notes that they leave in threads."""

from collections.abc import Sequence

from bot.domain.authorization import Decision
from bot.domain.incident import SCHEDULE, Incident
from bot.domain.outgoing import Content
from bot.slack.commands import Mistake
from bot.slack.views import blocks, ids, words
from bot.slack.views.answers import refused
from bot.slack.views.parts import Part, message
from bot.slack.views.text import Mrkdwn, code, escape, joined, lines, link, moment, person, said

MOST_CHOICES = 5


def sentence(*parts: Mrkdwn) -> Content:
    """One paragraph."""
    return message("", [Part(items=(joined(*parts),))])


def plainly(text: str) -> Content:
    """A sentence that may hold foreign text."""
    return sentence(escape(text, 1_000))


def not_here(*, is_archived: bool) -> Content:
    """We cannot post in the channel."""
    if is_archived:
        return sentence(said("This channel is archived: nothing can be posted here. Ask in another one."))
    return sentence(
        said("I am not in this channel, so I could not post the answer. Type `/invite @cni`, then ask again.")
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
            said(" is being diagnosed already, asked for by "),
            _person(incident.opened_by),
            said(": see "),
            where,
            said("."),
        )
    since = moment(incident.opened_at)
    return sentence(
        scope, said(" has an open incident since "), since, said(": diagnosing it again in "), where, said(".")
    )


def settled(incident: Incident, *, asked_by: str, cluster_shown: bool, took_s: float) -> Content:
    """What becomes of the message that showed progress: how it stands now, for whoever reads the channel only."""
    what = joined(words.status(incident), said(" "), words.scope(incident, cluster_shown=cluster_shown))
    summary = joined(said(": "), escape(incident.summary, 500)) if incident.summary else said("")
    small = joined(said("Asked for by "), _person(asked_by), escape(f", {took_s:.0f} s. The verdict is in the thread."))
    return message("", [Part(items=(joined(what, summary),)), Part(items=(small,), is_small=True)])


def _person(user: str) -> Mrkdwn:
    return said("a watch") if user == SCHEDULE else person(user)


def closed(run: int) -> Content:
    """The incident is over."""
    again = said(" when it was diagnosed again") if run > 1 else said("")
    return sentence(
        said("Nothing is wrong any more"), again, said(": this incident is closed. Asking again opens a new one."),
    )  # fmt: skip


def gone() -> Content:
    """A button whose incident or report is no longer kept."""
    return sentence(said("The report of this run is no longer kept. Ask for a new diagnosis."))


def old_button() -> Content:
    """A button that no version of the bot, or another one, knows."""
    return sentence(
        said("This button does nothing any more: it is of another version of cnibot. "),
        code("/cni help"),
        said(" shows what works."),
    )


def too_late() -> Content:
    """Slack lets a dialogue open within three seconds only."""
    return sentence(said("Slack did not let me open the dialogue in time. Press the button again."))


def elsewhere() -> Content:
    """A button that was forwarded to another channel."""
    return sentence(said("This button belongs to an incident of another channel. Use it there."))


def failed_inside(reference: str) -> Content:
    """Our own mistake."""
    return sentence(
        said("That failed by a fault of cnibot's own, three times. It is in its log under "), code(reference), said(".")
    )


def already_shared() -> Content:
    """Somebody shared this report before."""
    return sentence(said("This report has been shared with the channel already."))


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


def withheld() -> Content:
    """The channel was shared with others while a diagnosis ran."""
    return sentence(
        said("This channel is shared with another organisation by now: the verdict is not posted here."),
        said(" Ask for it in a channel of our own."),
    )


def on_other_clusters(namespace: str, cluster: str, others: Sequence[str]) -> Content:
    """The namespace is not where it was looked for, but elsewhere."""
    nowhere = joined(said("There is no namespace "), code(namespace, 100), said(" on "), code(cluster, 80))
    known = joined(*(code(other, 80) for other in others[:MOST_CHOICES]), by=", ")
    told = joined(nowhere, said(", but there is on "), known, said("."))
    return message("", [Part(items=(told,))], _choices([(other, namespace) for other in others], cluster_shown=True))


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
        else said("This message names no namespace as such, but these words in it are names of namespaces. Which one?")
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
