"""What the bot says: messages as values, before anything is sent.

Every item has a key that its sender derives from what it is about (an inbox entry's id, an incident and its run). The
same key a second time changes nothing, so a handler that runs twice says things once. Keys travel with the messages and
whoever sees a message can read them: no secrets in keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Priority(IntEnum):
    """What goes first when a channel has to wait; the order within a thread is kept whatever it is."""

    VERDICT = 0
    """Verdicts, approvals and answers to one person."""
    NORMAL = 1
    PROGRESS = 2
    """What may be left out when there is no time to say it: a newer state follows."""
    NOTICE = 3
    """Refusals, mistakes and help: what the unauthorized can ask for must not delay anybody's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The body of a message. `text` says the same as the blocks: screen readers and notifications have only that."""

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    """Block Kit; empty: the text alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message goes."""

    channel: str
    """The channel's id, never its name."""
    thread: str | None = None
    """The ts of the thread's first message."""
    thread_key: str | None = None
    """Instead of `thread`: the key of an earlier `Post` to this channel, whose thread this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message that stays in the channel."""

    key: str
    place: Place
    content: Content
    priority: Priority = Priority.NORMAL
    response_url: str = ""
    """Of the command that asked for it: where to say "invite me" when the bot is not in the channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A new body for the `Post` with this key. Only the newest is sent, and it joins a post that is not sent yet."""

    key: str
    place: Place
    content: Content
    priority: Priority = Priority.PROGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ephemeral:
    """A message that only one person sees, until they reload."""

    key: str
    place: Place
    user: str
    content: Content
    response_url: str = ""
    """Of the command that asked: the way when the bot is not in the channel, and for notices the first way."""
    priority: Priority = Priority.VERDICT
    """An answer to somebody who waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """A file."""

    key: str
    place: Place
    filename: str
    title: str
    alt_text: str
    """What a picture shows, for those who do not see it."""
    content: bytes
    comment: str = ""
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class React:
    """An emoji on a message: on the `Post` with key `message_key`, else on the message with `message_ts`.

    Another name with the same key takes the place of the emoji before; only the newest is made.
    """

    key: str
    place: Place
    name: str
    """Without colons: "eyes"."""
    message_key: str | None = None
    message_ts: str | None = None


Outgoing = Post | Edit | Ephemeral | Attach | React
