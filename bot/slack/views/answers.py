"""Answers to commands: help, status, lists, refusals, and names that do not exist."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bot.domain.authorization import ANYONE, Action, Decision
from bot.domain.checks import Check
from bot.domain.incident import Incident, Watch
from bot.domain.outgoing import Content
from bot.slack.commands import USAGE, is_namespace, is_pod
from bot.slack.views import blocks, ids, report_lines
from bot.slack.views.models import StatusModel
from bot.slack.views.parts import Part, message, part
from bot.slack.views.report_lines import bullet
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
    listed,
    moment,
    person,
    said,
)

MOST_CHOICES = 5
_MOST_NAMED = 10

COMMANDS: Mapping[str, tuple[Mrkdwn, Action]] = {
    "diagnose": (said("find out why the pods of a namespace cannot talk"), Action.DIAGNOSE),
    "status": (said("whether clusters and Slack respond, and what is running"), Action.READ),
    "incidents": (said("open incidents, with links to their threads"), Action.READ),
    "watch": (said("diagnose regularly, and post here when the verdict changes"), Action.WATCH),
    "unwatch": (said("stop watching it"), Action.WATCH),
    "note": (said("in an incident's thread: add this to its timeline"), Action.FEEDBACK),
    "assign": (said("in an incident's thread: who takes care of it (also `me`, `nobody`)"), Action.FEEDBACK),
    "playbooks": (said("what is checked, and in which order"), Action.READ),
    "known-issues": (said("published issues, compared with the evidence"), Action.READ),
    "plan": (said("propose a change, for somebody else to approve"), Action.PROPOSE),
    "plans": (said("the newest plans and their outcome"), Action.READ),
    "stop": (said("the kill switch: no plan starts, and running ones are undone"), Action.APPROVE),
    "resume": (said("allow plans again"), Action.APPROVE),
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
    closing = said("A diagnosis only reads, and says what it could not see. Changes take two people.")
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
    may = NOTHING if needs in actions or usage == "help" else said(" _(not allowed: ask your cnibot administrator)_")
    return bullet(joined(code(f"/cni {usage}"), said(" "), does, may))


def status(model: StatusModel) -> Content:
    """How the bot is doing: what fails first."""
    return message("", status_parts(model))


def status_parts(model: StatusModel) -> list[Part]:
    """The same for the Home."""
    bad = [check for check in model.checks if check.state != "ok"]
    failed = sum(not check.ok for check in bad)
    head = said("🟢 *cnibot is healthy.*")
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
    return joined(scope, said(" for "), channel(watch.channel), said(", requested by "), person(watch.by))


def incident_list(incidents: Sequence[Incident], permalinks: Mapping[str, str]) -> Content:
    """Open incidents, those with the same fault as one."""
    if not incidents:
        return message("", [Part(items=(said("There are no open incidents."),))])
    listed = part(said("*Open incidents*"), by_fault(incidents), lambda one: incident_row(one, permalinks), most=30)
    return message("", [replace(listed, more="in the App Home")])


def by_fault(incidents: Sequence[Incident]) -> list[list[Incident]]:
    """The incidents, those with the same cluster, cause and place together, in the order of their newest."""
    groups: dict[tuple[str, ...], list[Incident]] = {}
    for one in incidents:
        groups.setdefault(one.fault or (one.id,), []).append(one)
    return list(groups.values())


def incident_row(group: Sequence[Incident], permalinks: Mapping[str, str]) -> Mrkdwn:
    """One fault on one line, with its threads."""
    newest, oldest = group[0], min(group, key=lambda one: one.opened_at)
    fact = escape(newest.headline or newest.summary, 160)
    state = joined(report_lines.status(newest), said(" "), fact or report_lines.scope(newest))
    namespaces = max(newest.namespaces, len({one.namespace for one in group}))
    counts = (
        f"{newest.pods} pod{'' if newest.pods == 1 else 's'}" if newest.pods else "",
        f"{namespaces} namespaces" if namespaces > 1 else "",
        f"{len(group)} threads" if len(group) > 1 else "",
    )
    numbers = escape(", ".join(filter(None, counts)))
    threads = joined(*(_thread(one, permalinks) for one in group[:5]), by=", ")
    return bullet(joined(state, numbers, code(newest.cluster, 80), threads, moment(oldest.opened_at), by=" · "))


def _thread(incident: Incident, permalinks: Mapping[str, str]) -> Mrkdwn:
    address = permalinks.get(incident.id, "")
    return link(address, incident.namespace) if address else channel(incident.channel)


def refused(decision: Decision) -> Content:
    """For the person alone: why not, and who may."""
    rows = [joined(said("*Not allowed.* "), escape(decision.reason, 600))]
    if who := _who_may(decision.who_may):
        rows.append(joined(said("Who may: "), who, said(".")))
    return message("", [Part(items=(lines(rows),))])


def _who_may(ids_: Sequence[str]) -> Mrkdwn:
    if ANYONE in ids_:
        return said("every full member of this workspace")
    return listed([person(one) for one in ids_], _MOST_NAMED)


def unknown_namespace(asked: str, nearest: Sequence[str], cluster: str) -> Content:
    """No such namespace; those with like names, each with a button."""
    names = [name for name in nearest if is_namespace(name)][:MOST_CHOICES]
    sorry = joined(
        said("There is no namespace "), code(clean(asked, 80), 120), said(" on "), code(cluster, 80), said(".")
    )
    if not names:
        return message(
            "", [Part(items=(joined(sorry, said(" No similar name was found. Check the spelling and the cluster.")),))]
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


def unknown_pod(namespace: str, asked: str, nearest: Sequence[str], cluster: str) -> Content:
    """No such pod or workload; those with like names, each with a button."""
    names = [name for name in nearest if is_pod(name)][:MOST_CHOICES]
    sorry = joined(
        said("There is no pod or workload "), code(clean(asked, 80), 120), said(" in "), code(namespace, 80), said(".")
    )
    if not names:
        return message("", [Part(items=(joined(sorry, said(" No similar name was found.")),))])
    buttons = [
        blocks.button(
            name,
            f"{ids.DIAGNOSE_POD}:{count}",
            ids.pod_value(cluster, namespace, name),
            says=f"Diagnose {name}",
        )
        for count, name in enumerate(names)
    ]
    asked_for = joined(sorry, said(" Did you mean "), joined(*(code(name) for name in names), by=", "), said("?"))
    return message("", [Part(items=(asked_for,))], blocks.actions(*buttons))


def watch_changed(
    namespace: str, cluster: str, *, by: str, is_watched: bool, was_so: bool = False, every_s: float | None = None
) -> Content:
    """That a namespace is (not) watched here any more, for everybody in the channel."""
    scope = joined(code(namespace, 80), said(" on "), code(cluster, 80))
    if was_so:
        state = said(" is already watched in this channel.") if is_watched else said(" is not watched in this channel.")
        return message("", [Part(items=(joined(scope, state),))])
    if not is_watched:
        return message("", [Part(items=(joined(person(by), said(" stopped the watch of "), scope, said(".")),))])
    often = escape(f"every {span(every_s)}, next within {span(every_s)}") if every_s else said("regularly")
    then = said(". The first verdict follows; after that, only changes are posted here. `/cni unwatch` stops it.")
    return message(
        "", [Part(items=(joined(person(by), said(" watches "), scope, said(": it is diagnosed "), often, then),))]
    )


def span(seconds: float) -> str:
    """A length of time in one unit."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
