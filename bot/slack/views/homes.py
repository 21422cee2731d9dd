"""The App Home: what is open, what waits for you, how the bot is doing, how to get help."""

from collections.abc import Iterator

from bot.slack.commands import USAGE
from bot.slack.views import blocks
from bot.slack.views.answers import by_fault, incident_row, refused, status_parts
from bot.slack.views.blocks import Block
from bot.slack.views.models import Approval, HomeModel
from bot.slack.views.parts import Part, fitted, part
from bot.slack.views.report_lines import bullet
from bot.slack.views.text import NOTHING, Mrkdwn, code, escape, joined, link, moment, said

_ROOM = 12_000


def home(model: HomeModel) -> Block:
    """One person's Home."""
    if model.refusal is not None and not model.refusal.allowed:
        answer = blocks.section(Mrkdwn(refused(model.refusal).text))
        return blocks.home_tab([blocks.header("cnibot"), answer])
    rows = [block for chapter in (_open(model), _approvals(model), _health(model), _help(model)) for block in chapter]
    return blocks.home_tab(rows)


def _chapter(title: str, *parts: Part) -> Iterator[Block]:
    yield blocks.header(title)
    for one in fitted(parts, _ROOM):
        yield from one.blocks()


def _open(model: HomeModel) -> Iterator[Block]:
    rows = part(NOTHING, by_fault(model.incidents), lambda one: incident_row(one, model.permalinks), most=30)
    nothing = Part(items=(said("None. `/cni diagnose NAMESPACE` in a channel opens one."),))
    return _chapter("Open incidents", rows if rows.items else nothing)


def _approvals(model: HomeModel) -> Iterator[Block]:
    rows = part(NOTHING, model.approvals, lambda one: bullet(_approval(one)), most=20)
    return _chapter("Waiting for your approval", rows if rows.items else Part(items=(said("Nothing waits for you."),)))


def _approval(one: Approval) -> Mrkdwn:
    where = link(one.permalink, one.title) if one.permalink else escape(one.title, 160)
    return joined(where, said(" on "), code(one.cluster, 80), said(", expires "), moment(one.expires_at))


def _health(model: HomeModel) -> Iterator[Block]:
    yield from _chapter("Health", *status_parts(model.status))
    if model.now:
        yield blocks.context(
            joined(said("As of "), moment(model.now), said(". Open this page again for the newest state."))
        )


def _help(model: HomeModel) -> Iterator[Block]:
    may = ", ".join(model.actions) or "nothing yet: ask your cnibot administrator"
    rows = [
        bullet(
            joined(
                *(code(f"/cni {usage}") for usage in USAGE if usage.startswith(("diagnose", "incidents", "help"))),
                by=" · ",
            )
        ),
        bullet(said("In a thread: `@cni diagnose NAMESPACE`. On an alert: its menu (⋮), *Diagnose this alert*.")),
        bullet(joined(said("You may: "), escape(may))),
    ]
    return _chapter("Help", Part(items=tuple(rows)))
