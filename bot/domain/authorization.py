"""Who may do what: one pure decision that every way in uses.

Rights come from grants alone. A person whom no grant names may do nothing; an empty list names nobody; every full
member is meant only where `"*"` is written. Guests, bots, deactivated accounts and people of other organisations may
never do anything, whatever a grant says. What Slack did not tell about a person counts against them.

Source: https://docs.slack.dev/apis/slack-connect/ (anyone who can see a button can press it)
Source: https://docs.slack.dev/reference/objects/user-object/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

ANYONE = "*"
"""Every full member, every cluster, every namespace, every channel."""

SLACKBOT = "USLACKBOT"
"""Slack says of it that it is no bot."""


class Action(StrEnum):
    """What can be asked of cnibot."""

    READ = "read"
    """Incidents, reports, clusters."""
    DIAGNOSE = "diagnose"
    WATCH = "watch"
    SHARE = "share"
    """A report with a whole channel."""
    FEEDBACK = "feedback"
    PROPOSE = "propose"
    """A change of a cluster, for somebody else to approve."""
    APPROVE = "approve"
    """A change of a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person as Slack describes them now. A flag that Slack did not send is None, and counts as the worse answer."""

    user_id: str
    team_id: str = ""
    enterprise_id: str = ""
    is_deactivated: bool | None = None
    is_bot: bool | None = None
    is_guest: bool | None = None
    """Single- or multi-channel guest, or invited and not yet a member."""
    is_external: bool | None = None
    """Of another organisation (Slack Connect), or a stranger to the workspace."""
    groups: frozenset[str] = frozenset()
    """Those of the user groups that grants name in which the person is now."""
    unknown: str = ""
    """Why Slack could not be asked about the person or the groups; "" when it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where something is asked for."""

    cluster: str | None = None
    """None: no particular one."""
    namespace: str | None = None
    channel: str = ""
    is_channel_external: bool | None = False
    """Whether people of other organisations read the channel; None when Slack could not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Actions that some people may do in some places. All lists are of ids and names; `"*"` must be written."""

    actions: frozenset[Action] = frozenset()
    users: frozenset[str] = frozenset()
    """User ids ("U…", "W…"), or "*" for every full member. Never names: people change theirs."""
    groups: frozenset[str] = frozenset()
    """User group ids ("S…")."""
    clusters: tuple[str, ...] = (ANYONE,)
    """Names, with * and ? as in a shell; an empty list is no cluster."""
    namespaces: tuple[str, ...] = (ANYONE,)
    """As `clusters`."""
    channels: tuple[str, ...] = (ANYONE,)
    """Channel ids. A list of some channels allows nothing outside them: not the App Home either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether it is allowed, and why (not)."""

    allowed: bool
    action: Action | None = None
    """None: nothing in particular was asked for."""
    reason: str
    """A whole sentence for the person, without names from the cluster or from Slack."""
    who_may: tuple[str, ...] = ()
    """User ids, user group ids, or "*" for every full member: those who may do this here. Only with refusals."""


def authorize(principal: Principal, action: Action, scope: Scope, grants: Iterable[Grant]) -> Decision:
    """Whether the person may do this here. A scope without a cluster or namespace asks: anywhere at all?"""
    here = [grant for grant in grants if action in grant.actions and _covers(grant, scope)]
    stranger = _standing(principal)
    who_may = () if stranger else _who_may(here)  # who may never ask does not learn whom to ask
    refusal = stranger or _place(scope, action)
    if not refusal and not any(_names(grant, principal) for grant in here):
        refusal = _UNKNOWN_GROUPS if principal.unknown else _not_named(action, scope, is_anybody=bool(who_may))
    if refusal:
        return Decision(allowed=False, action=action, reason=refusal, who_may=who_may)
    return Decision(allowed=True, action=action, reason="A grant names you for this.")


def standing(principal: Principal) -> Decision:
    """Whether the person may be talked to at all: a full member of our own organisation."""
    refusal = _standing(principal)
    return Decision(allowed=not refusal, reason=refusal or "You are a full member.")


def allowed_actions(principal: Principal, scope: Scope, grants: Sequence[Grant]) -> tuple[Action, ...]:
    """What the person may do there."""
    return tuple(action for action in Action if authorize(principal, action, scope, grants).allowed)


_UNKNOWN_GROUPS = "Your user groups could not be read from Slack, so they grant nothing. Try again."


def _standing(principal: Principal) -> str:
    """Why this person may never do anything; "" for a full member."""
    refusals = (
        (not principal.user_id, "It is not known who you are."),
        (principal.user_id == SLACKBOT or principal.is_bot, "Bots may not use cnibot."),
        (principal.is_deactivated, "Your account is deactivated."),
        (principal.is_external, "You are not a member of this organisation."),
        (principal.is_guest, "Guests may not use cnibot."),
        (
            None in {principal.is_bot, principal.is_deactivated, principal.is_external, principal.is_guest},
            "Slack did not report whether you are a full member, so nothing is allowed. Try again.",
        ),
    )
    return next((sentence for holds, sentence in refusals if holds), "")


def _place(scope: Scope, action: Action) -> str:
    if action not in _NOT_THERE or scope.is_channel_external is False:
        return ""
    if scope.is_channel_external is None:
        return "Slack did not report whether this channel is shared with another organisation. Try again."
    return f"This channel is shared with another organisation (Slack Connect): {_NOT_THERE[action]}."


_ELSEWHERE = "ask in a channel of your own organisation"
_NOT_THERE = {
    Action.DIAGNOSE: f"verdicts name pods and nodes, and are not posted here; {_ELSEWHERE}",
    Action.WATCH: f"verdicts name pods and nodes, so nothing is watched here; {_ELSEWHERE}",
    Action.SHARE: "reports name pods and nodes, and are not shared here",
    Action.PROPOSE: f"plans name pods and nodes, and are not posted here; {_ELSEWHERE}",
    Action.APPROVE: f"nothing is approved here; {_ELSEWHERE}",
}
"""The hint for those who may do it elsewhere, for each act that posts."""


def _covers(grant: Grant, scope: Scope) -> bool:
    return (
        _matches(grant.clusters, scope.cluster)
        and _matches(grant.namespaces, scope.namespace)
        and _matches(grant.channels, scope.channel)
    )


def _matches(patterns: Sequence[str], name: str | None) -> bool:
    """Whether a pattern fits; any pattern at all where no name is asked about."""
    return bool(patterns) if name is None else any(fnmatchcase(name, pattern) for pattern in patterns)


def _names(grant: Grant, principal: Principal) -> bool:
    named = principal.user_id in grant.users or ANYONE in grant.users
    return named or not grant.groups.isdisjoint(principal.groups)


def _who_may(grants: Sequence[Grant]) -> tuple[str, ...]:
    if any(ANYONE in grant.users for grant in grants):
        return (ANYONE,)
    users = {user for grant in grants for user in grant.users}
    return (*sorted(users), *sorted({group for grant in grants for group in grant.groups}))


def _not_named(action: Action, scope: Scope, *, is_anybody: bool) -> str:
    where = "in this namespace" if scope.namespace else "here"
    if is_anybody:
        return f"You are not among those who may {_VERBS[action]} {where}."
    return f"Nobody may {_VERBS[action]} {where}: no grant allows it. Grants are part of cnibot's settings."


_VERBS = {
    Action.READ: "read incidents and reports",
    Action.DIAGNOSE: "ask for a diagnosis",
    Action.WATCH: "watch namespaces",
    Action.SHARE: "share reports",
    Action.FEEDBACK: "comment on verdicts",
    Action.PROPOSE: "propose changes",
    Action.APPROVE: "approve changes",
}
