"""An entry of the inbox, and what is done with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import msgspec

from bot.store.inbox.leases import Taken

Kind = Literal["command", "event", "action", "view_submission", "view_closed", "shortcut", "alert", "due"]
"""What Slack and Alertmanager send, and (due) what the clock puts there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted request."""

    id: str
    """The same each time it is handled: what a handler derives its keys from."""
    kind: Kind
    body: Mapping[str, Any]
    received_at: float
    """Unix time."""
    attempt: int
    """From 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEntry:
    """An entry that was given up."""

    entry: Entry
    error: str
    at: float
    """Unix time."""


Handle = Callable[[Entry], Awaitable[None]]
OnDead = Callable[[Entry, str], Awaitable[None]]
"""Called with an entry that was given up, with a sentence that says why."""


class UnreadableEntryError(Exception):
    """What stands in the store is no entry of ours."""


def decoded(taken: Taken) -> Entry:
    """The entry in a stream's fields. Errors: `UnreadableEntryError`."""
    kind = taken.fields.get(b"kind", b"").decode(errors="replace")
    if kind not in get_args(Kind):
        raise UnreadableEntryError("its kind is unknown")
    try:
        body = msgspec.json.decode(taken.fields.get(b"body", b""), type=dict[str, Any])
        received_at = float(taken.fields.get(b"received_at", b""))
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableEntryError(str(error)) from error
    return Entry(
        id=taken.id, kind=cast("Kind", kind), body=body, received_at=received_at, attempt=max(taken.deliveries, 1)
    )
