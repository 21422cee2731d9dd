"""Answers to commands: help, status, lists, refusals, and names that do not exist."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bot.domain.authorization import ANYONE, Action, Decision
from bot.domain.checks import Check
from bot.domain.incident import Incident, Watch
from bot.domain.outgoing import Content
from bot.slack.commands import USAGE, is_namespace
from bot.slack.views import blocks, ids, words
from bot.slack.views.models import StatusModel
from bot.slack.views.parts import Part, message, part
from bot.slack.views.text import (
    NOTHING,
    Mrkdwn,
    channel,
    clean,
    code,
    escape,
    joined,
    lines,
    link,
    moment,
    person,
    said,
)
from bot.slack.views.words import bullet

MOST_CHOICES = 5
_MOST_NAMED = 10

COMMANDS: Mapping[str, tuple[Mrkdwn, Action]] = {
    "diagnose": (said("say why the pods of a namespace cannot talk"), Action.DIAGNOSE),
    "status": (said("whether clusters and Slack answer, and what runs"), Action.READ),
    "incidents": (said("open incidents, with links to their threads"), Action.READ),
    "watch": (said("diagnose regularly, and say here when the verdict changes"), Action.WATCH),
    "unwatch": (said("stop that"), Action.WATCH),
    "playbooks": (said("what is looked at, in which order"), Action.READ),
    "known-issues": (said("published issues that are held against the evidence"), Action.READ),
    "help": (said("this"), Action.READ),
}
"""What each command does, and the right that it needs."""


def help_(actions: Collection[Action]) -> Content:
    """What can be typed, and what this person may do."""
    rows = [_command(usage, actions) for usage in USAGE]
    elsewhere = [
        bullet(said("In a thread, where slash commands do not work: `@cni diagnose NAMESPACE`")),
        bullet(said("On an alert: the message's menu (⋮), *Diagnose this alert*")),
        bullet(said("Under a verdict: *Details*, *Re-run*, *Share report*, *Not it*")),
    ]
    closing = said("It only reads. It changes nothing in a cluster, and says what it could not see.")
    return message(
        "",
        [
            Part(
                items=(said("*cnibot says why pods cannot talk:* what is broken, on which hop, and what proves it."),)
            ),
            Part(title=said("*Type*"), items=tuple(rows)),
            Part(title=said("*Also*"), items=tuple(elsewhere)),
            Part(items=(closing,), is_small=True),
        ],
    )


def _command(usage: str, actions: Collection[Action]) -> Mrkdwn:
    does, needs = COMMANDS[usage.partition(" ")[0]]
    may = NOTHING if needs in actions or usage == "help" else said(" _(you may not: ask who administers cnibot)_")
    return bullet(joined(code(f"/cni {usage}"), said(" "), does, may))


def status(model: StatusModel) -> Content:
    """How the bot is doing: what fails first."""
    return message("", status_parts(model))


def status_parts(model: StatusModel) -> list[Part]:
    """The same for the Home."""
    bad = [check for check in model.checks if check.state != "ok"]
    failed = sum(not check.ok for check in bad)
    head = said("🟢 *cnibot is well.*")
    if bad:
        what = f"{failed} of {len(model.checks)} checks failed." if failed else "It works, with warnings."
        head = joined(said("🔴 *") if failed else said("🟠 *"), escape(what), said("*"))
    numbers = [
        f"cnibot {model.version}",
        model.connections,
        f"{model.running} running",
        f"{model.waiting} waiting" if model.waiting else "",
        f"{model.unsent} messages to be sent" if model.unsent else "",
        f"{model.open_incidents} open incident{'' if model.open_incidents == 1 else 's'}",
    ]
    checks = sorted(model.checks, key=lambda check: ("failed", "warning", "ok").index(check.state))
    return [
        Part(items=(lines([head, joined(*(escape(each, 120) for each in numbers if each), by=" · ")]),)),
        part(said("*Checks*"), checks, lambda check: bullet(_check(check)), most=20, rank=1, least=6),
        part(said("*Watched*"), model.watches, lambda watch: bullet(_watch(watch)), most=10, rank=2),
    ]


def _check(check: Check) -> Mrkdwn:
    if check.state == "ok":
        return joined(
            said("✓ "), escape(check.name, 80), joined(said(": "), escape(check.says, 160)) if check.says else NOTHING
        )
    state = said("✗ *failed:* ") if not check.ok else said("! *warning:* ")
    remedy = joined(said(" "), escape(check.remedy, 300)) if check.remedy else NOTHING
    return joined(state, escape(check.name, 80), said(": "), escape(check.problem), remedy)


def _watch(watch: Watch) -> Mrkdwn:
    scope = joined(code(watch.namespace, 80), said(" on "), code(watch.cluster, 80))
    return joined(scope, said(" for "), channel(watch.channel), said(", asked for by "), person(watch.by))


def incident_list(incidents: Sequence[Incident], permalinks: Mapping[str, str]) -> Content:
    """Open incidents, each with its thread."""
    if not incidents:
        return message("", [Part(items=(said("There are no open incidents."),))])
    listed = part(said("*Open incidents*"), incidents, lambda one: incident_row(one, permalinks), most=30)
    return message("", [replace(listed, more="in the App Home")])


def incident_row(incident: Incident, permalinks: Mapping[str, str]) -> Mrkdwn:
    """One incident on one line."""
    permalink = permalinks.get(incident.id, "")
    told = joined(said(": "), escape(incident.summary, 160)) if incident.summary else NOTHING
    state = joined(words.status(incident), said(" "), words.scope(incident), told)
    thread = link(permalink, "thread") if permalink else channel(incident.channel)
    return bullet(joined(state, thread, moment(incident.updated_at), by=" · "))


def refused(decision: Decision) -> Content:
    """For the person alone: why not, and who may."""
    rows = [joined(said("*Not allowed.* "), escape(decision.reason, 600))]
    if who := _who_may(decision.who_may):
        rows.append(joined(said("Who may: "), who, said(".")))
    return message("", [Part(items=(lines(rows),))])


def _who_may(ids_: Sequence[str]) -> Mrkdwn:
    if ANYONE in ids_:
        return said("every full member of this workspace")
    more = (
        joined(said(" and "), escape(str(len(ids_) - _MOST_NAMED)), said(" more"))
        if len(ids_) > _MOST_NAMED
        else NOTHING
    )
    return joined(joined(*(person(one) for one in ids_[:_MOST_NAMED]), by=", "), more) if ids_ else NOTHING


def unknown_namespace(asked: str, nearest: Sequence[str], cluster: str) -> Content:
    """No such namespace; those with like names, each with a button."""
    names = [name for name in nearest if is_namespace(name)][:MOST_CHOICES]
    sorry = joined(
        said("There is no namespace "), code(clean(asked, 80), 120), said(" on "), code(cluster, 80), said(".")
    )
    if not names:
        return message(
            "", [Part(items=(joined(sorry, said(" No other has a like name. Check the spelling, and the cluster.")),))]
        )
    asked_for = joined(sorry, said(" Did you mean "), joined(*(code(name) for name in names), by=", "), said("?"))
    buttons = [
        blocks.button(
            name,
            f"{ids.DIAGNOSE_NAMESPACE}:{count}",
            ids.namespace_value(cluster, name),
            says=f"Diagnose {name} on {cluster}",
        )
        for count, name in enumerate(names)
    ]
    return message("", [Part(items=(asked_for,))], blocks.actions(*buttons))


def watch_changed(
    namespace: str, cluster: str, *, by: str, is_watched: bool, was_so: bool = False, every_s: float | None = None
) -> Content:
    """That a namespace is (not) watched here any more, for everybody in the channel."""
    scope = joined(code(namespace, 80), said(" on "), code(cluster, 80))
    if was_so:
        state = (
            said(" is watched in this channel already.") if is_watched else said(" was not watched in this channel.")
        )
        return message("", [Part(items=(joined(scope, state),))])
    if not is_watched:
        return message("", [Part(items=(joined(person(by), said(" stopped the watch of "), scope, said(".")),))])
    often = escape(f"every {every_s / 60:.0f} minutes") if every_s else said("regularly")
    told = said(", and this channel hears when the verdict changes. `/cni unwatch` stops it.")
    return message(
        "", [Part(items=(joined(person(by), said(" watches "), scope, said(": it is diagnosed "), often, told),))]
    )
