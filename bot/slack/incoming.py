"""What Slack sent: its kind, and the id by which a second delivery is known.

Slack delivers again what it thinks was not acknowledged, and whoever holds a signed request can send it again within
five minutes. The header `x-slack-retry-num` is no sign of either: Socket Mode sets it to 0 on first delivery.
"""

import hashlib
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, cast

from bot.alerts.extractors import NO_EXTRACTORS, Extractor
from bot.alerts.slack_message import is_alert_message
from bot.slack.scopes import EVENT_SCOPES
from bot.store.inbox.inbox import Kind

_PLACES = {"channel": "channels", "group": "groups"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTERACTIONS: dict[str, Kind] = {
    "block_actions": "action",
    "interactive_message": "action",
    "view_submission": "view_submission",
    "view_closed": "view_closed",
    "shortcut": "shortcut",
    "message_action": "shortcut",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one body is."""

    name: str
    """For logs and metrics: the kind, or Slack's own word for what is not kept."""
    kind: Kind | None
    """None: acknowledged and not kept."""
    dedup_id: str
    is_question: bool = False
    """Slack asks for the options of a menu; it wants a list."""


def received(
    body: Mapping[str, Any],
    events: Container[str] = EVENT_SCOPES,
    extractors: Mapping[str, Extractor] = NO_EXTRACTORS,
) -> Received:
    """What a body is, and its id. Never fails: what is unknown is acknowledged and not kept.

    Nor are events beside `events`, nor messages that are not a program's about alerts: what people say to each other
    is none of ours, even where an app is sent it.
    """
    if "command" in body:
        return _kept("command", body, str(body.get("trigger_id", "")))
    what = str(body.get("type", ""))
    if what == "event_callback":
        return _event(body, events, extractors)
    if what in {"block_suggestion", "dialog_suggestion"}:
        return Received(name="suggestion", kind=None, dedup_id="", is_question=True)
    kind = _INTERACTIONS.get(what)
    if kind is None:
        return Received(name="other", kind=None, dedup_id="")
    return _kept(kind, body, _interaction_id(kind, body))


def _event(body: Mapping[str, Any], events: Container[str], extractors: Mapping[str, Extractor]) -> Received:
    event = _of(body, "event")
    name = event_name(event)
    if name not in events or (name.startswith("message.") and not is_alert_message(event, extractors)):
        return Received(name="event", kind=None, dedup_id="")
    return _kept("event", body, str(body.get("event_id", "")))


def event_name(event: Mapping[str, Any]) -> str:
    """As apps subscribe to it: messages by the kind of their channel."""
    name = str(event.get("type") or "")
    return f"message.{_PLACES.get(str(event.get('channel_type')), 'other')}" if name == "message" else name


def _interaction_id(kind: Kind, body: Mapping[str, Any]) -> str:
    """One for each press of a button and each state of a form; trigger ids are single-use."""
    if kind in {"view_submission", "view_closed"}:
        view = _of(body, "view")
        ids = (view.get("id"), view.get("hash"))
        return ":".join(map(str, ids)) if all(ids) else ""
    if trigger := body.get("trigger_id"):
        return str(trigger)
    actions: object = body.get("actions")
    first: object = cast("list[object]", actions)[0] if isinstance(actions, list) and actions else {}
    pressed = _of({"action": first}, "action")
    stamp = pressed.get("action_ts") or body.get("action_ts")
    return f"{stamp}:{_of(body, 'user').get('id')}:{pressed.get('action_id')}" if stamp else ""


def _kept(kind: Kind, body: Mapping[str, Any], identity: str) -> Received:
    """A body without an id is known by all of itself."""
    identity = identity or hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return Received(name=kind, kind=kind, dedup_id=f"{kind}:{identity}")


def is_own_edit(body: Mapping[str, Any], bot_id: str | None, user_id: str | None) -> bool:
    """Whether it tells of a change of one of our own messages.

    Bolt drops events whose author we are, but an edit has its author one level down.
    """
    event = _of(body, "event")
    if event.get("type") != "message":
        return False
    authors = (_of(event, "message"), _of(event, "previous_message"))
    return any(
        (bot_id and author.get("bot_id") == bot_id) or (user_id and author.get("user") == user_id) for author in authors
    )


def sender(body: Mapping[str, Any]) -> str:
    """The id of the person behind a body, as it says itself; "" where it names none."""
    named = (body.get("user_id"), _of(body, "user").get("id"), _of(body, "event").get("user"))
    return next((one[:64] for one in named if isinstance(one, str) and one), "")


def storable(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with halves of characters (lone surrogates) replaced: JSON can name them, and no UTF-8 holds them."""
    text = json.dumps(body, ensure_ascii=False)
    if text.isascii() or not _SURROGATE.search(text):
        return body
    return cast("Mapping[str, Any]", json.loads(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)))


def _of(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; empty where there is none."""
    value = body.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
