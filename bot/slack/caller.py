"""Who asks, where, and how to answer them alone: the same for commands, mentions, buttons, dialogues and shortcuts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from bot.aio.groups import TaskGroup
from bot.domain.authorization import Action, Decision, Scope, authorize
from bot.domain.errors import NotNowError
from bot.domain.outgoing import Content, Ephemeral, Place, Priority
from bot.slack import views
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import Entry

RETRIED_FOR_S = 30.0
"""How long a question that is answered in the channel waits for Slack to say who asks, and where."""
NOTICE_S = 10.0
"""How often one person in one channel gets the same notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person who asks. All ids are as the request says; whether the person may is asked of Slack."""

    key: str
    """The inbox entry's id: what keys of answers are made from."""
    attempt: int
    at: float = 0.0
    """When it came, Unix time: the same each time it is handled."""
    user: str
    channel: str = ""
    """"" on the App Home and in dialogues."""
    thread: str | None = None
    """The ts of the thread in which the answer belongs; None: at the level of the channel."""
    within: str | None = None
    """The ts of the thread in which it was asked. A message to one person alone shows only in threads that exist."""
    message: str = ""
    """The ts of the message that was pressed or pointed at."""
    response_url: str = ""
    trigger_id: str = ""


def of_command(entry: Entry) -> Caller:
    """Who typed a slash command. Slack gives it no ts and allows none in threads."""
    body = entry.body
    return Caller(
        key=entry.id,
        attempt=entry.attempt,
        at=entry.received_at,
        user=_text(body, "user_id"),
        channel=_text(body, "channel_id"),
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
    )


def of_event(entry: Entry) -> Caller:
    """Who said something: the answer goes under it, or into the thread in which it was said."""
    event = inside(entry.body, "event")
    return Caller(
        key=entry.id,
        attempt=entry.attempt,
        at=entry.received_at,
        user=_text(event, "user"),
        channel=_text(event, "channel"),
        thread=_text(event, "thread_ts") or _text(event, "ts") or None,
        within=_text(event, "thread_ts") or None,
        message=_text(event, "ts"),
    )


def of_interaction(entry: Entry) -> Caller:
    """Who pressed, submitted or picked something. The thread is that of the message under it."""
    body = entry.body
    container, message = inside(body, "container"), inside(body, "message")
    ts = _text(container, "message_ts") or _text(message, "ts") or _text(body, "message_ts")
    thread = _text(container, "thread_ts") or _text(message, "thread_ts")
    is_ephemeral = container.get("is_ephemeral") is True  # what one person alone sees begins no thread
    return Caller(
        key=entry.id,
        attempt=entry.attempt,
        at=entry.received_at,
        user=_text(inside(body, "user"), "id"),
        channel=_text(inside(body, "channel"), "id") or _text(container, "channel_id"),
        thread=thread or (None if is_ephemeral else ts) or None,
        within=thread or None,
        message=ts,
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
    )


async def ephemeral(services: Services, caller: Caller, name: str, content: Content) -> None:
    """Tell the caller alone. The same name is said once for each request."""
    if not (caller.user and caller.channel):
        return
    await services.outbox.put(
        Ephemeral(
            key=f"{caller.key}:{name}",
            place=Place(channel=caller.channel, thread=caller.within),
            user=caller.user,
            content=content,
            response_url=caller.response_url,
        )
    )


async def notice(services: Services, caller: Caller, name: str, content: Content) -> None:
    """Tell the caller alone what anybody can make us say (refusals, mistakes, help): each once in ten seconds.

    It goes out behind everything else, and by the command's own address where there is one: the channel's one message
    a second belongs to those who may ask.
    """
    if not (caller.user and caller.channel):
        return
    while_s = int(caller.at // NOTICE_S)
    await services.outbox.put(
        Ephemeral(
            key=f"notice:{name}:{caller.channel}:{caller.user}:{while_s}",
            place=Place(channel=caller.channel, thread=caller.within),
            user=caller.user,
            content=content,
            response_url=caller.response_url,
            priority=Priority.NOTICE,
        )
    )


_RISKY = frozenset({Action.SHARE, Action.APPROVE})
_RETRIED = frozenset({Action.DIAGNOSE, Action.WATCH})


async def decide(
    services: Services,
    caller: Caller,
    action: Action,
    *,
    cluster: str | None = None,
    namespace: str | None = None,
) -> Decision:
    """Whether the caller may do this, by what Slack says about them and the channel: now, where much hangs on it.

    Errors: `NotNowError`: Slack says nothing, and it is worth waiting.
    """
    is_risky = action in _RISKY
    async with TaskGroup() as group:  # the first word is due within a second
        asked = group.create_task(services.people.principal(caller.user, fresh=is_risky))
        is_external = await _is_external(services, caller.channel, fresh=is_risky)
    scope = Scope(cluster=cluster, namespace=namespace, channel=caller.channel, is_channel_external=is_external)
    decision = authorize(asked.result(), action, scope, services.grants)
    is_unknown = bool(asked.result().unknown) or is_external is None
    if not decision.allowed and is_unknown and action in _RETRIED and services.now() - caller.at < RETRIED_FOR_S:
        raise NotNowError(f"Slack does not say who {caller.user} is, or what channel {caller.channel} is.")
    return decision


async def _is_external(services: Services, channel_id: str, *, fresh: bool) -> bool | None:
    """Whether people of other organisations read the channel; None where Slack could not tell."""
    if not channel_id:
        return False
    channel = await services.channels.channel(channel_id, fresh=fresh)
    # where we are not, nothing is posted: a person with the right is asked to invite us, and tries again
    return False if channel.is_member is False and channel.is_external is None else channel.is_external


async def is_allowed(
    services: Services,
    caller: Caller,
    action: Action,
    *,
    cluster: str | None = None,
    namespace: str | None = None,
) -> bool:
    """Whether the caller may do this; if not they get the reason, and who may."""
    decision = await decide(services, caller, action, cluster=cluster, namespace=namespace)
    if not decision.allowed:
        await notice(services, caller, "refused", views.refused(decision))
    return decision.allowed


async def permitted(
    services: Services, caller: Caller, action: Action, places: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Those of the places (cluster, namespace) where the caller may do this: names of others are not shown."""
    principal = await services.people.principal(caller.user)

    def may(place: tuple[str, str]) -> bool:
        cluster, namespace = place
        scope = Scope(cluster=cluster, namespace=namespace, channel=caller.channel)
        return authorize(principal, action, scope, services.grants).allowed

    return list(filter(may, places))


async def is_present(services: Services, caller: Caller) -> bool:
    """Whether we are in the channel and can post there; if not the caller gets the remedy."""
    channel = await services.channels.channel(caller.channel)
    if channel.is_member is False or channel.is_archived:
        await ephemeral(services, caller, "invite", notices.not_here(is_archived=bool(channel.is_archived)))
        return False
    return True


def inside(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; empty where there is none."""
    value = body.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""
