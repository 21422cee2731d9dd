"""What the outbox's queue takes and gives, as values."""

from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b
from typing import Literal

import msgspec

from bot.domain.errors import BotError
from bot.domain.outgoing import Attach, Content, Ephemeral, Post, Priority, React

MAX_TEXT = 40_000
"""Slack cuts a message's text there."""
MAX_BLOCKS_BYTES = 256 * 1024
"""More than 50 blocks of 3000 characters are."""

Unit = tuple[Literal["posts", "changes"], str]
"""What one process serves at a time: the posts of a channel, or its edits and reactions."""

Kept = Post | Ephemeral | Attach | React
"""Items with a record of their own; an edit belongs to the record of its post."""


class OutboxFullError(BotError):
    """Nothing more can be kept for this channel."""

    def __init__(self, channel: str, why: str) -> None:
        super().__init__(f"The outbox cannot keep more for channel {channel}: {why}.")
        self.channel = channel


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What the queue may hold."""

    channel_items: int = 5_000
    """Items waiting in one channel: more than an hour of posting."""
    file_bytes: int = 8 * 2**20
    """One file."""
    all_files_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How often a method may be called over all channels: Slack's tiers count per workspace."""

    burst: float = 10
    per_minute: float = 40
    """With the burst: never more than 50 in any minute, which is Tier 3."""
    reserve: float = 3
    """Of the burst: left for what is more than progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What waits, over all channels."""

    waiting: int
    oldest_at: float | None
    """Unix time at which the oldest waiting item was put; None when nothing waits."""
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """What was given up."""

    key: str
    kind: str
    channel: str
    reason: str
    text: str
    """The beginning of what it would have said."""
    at: float


class Nothing(Enum):
    """Why there is nothing to do."""

    IDLE = "idle"
    LOST = "lost"
    """Another process serves this unit now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do before then."""

    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSend:
    """An item to post."""

    key: str
    item: Post | Ephemeral | Attach
    """With its newest content. Of a file without its bytes: `OutboxQueue.file`."""
    is_uncertain: bool
    """It may be in Slack already: look before sending."""
    thread: str
    """The ts to reply to; "" for the channel itself."""
    is_rootless: bool
    """The post whose thread was meant does not exist."""
    first_at: float
    """When it was tried first."""
    failures: int
    """How often it failed for a reason of its own."""
    failing_since: float | None
    file_id: str
    """Of a file that Slack has given a name."""
    put_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An item that is in Slack."""

    key: str
    ts: str
    """"" where Slack does not tell: of files."""
    thread: str
    content: Content | None = None
    """What the message says, if it can be edited."""
    is_beside: bool = False
    """By a command's own address: it took nothing of what the channel may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToEdit:
    """A message to edit."""

    key: str
    ts: str
    content: Content
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToReact:
    """A reaction to add."""

    key: str
    ts: str
    item: React
    failures: int
    former: frozenset[str] = frozenset()
    """Other emoji that an earlier item with this key may have left there."""


class Put(Enum):
    """What became of an item that was put."""

    NEW = "new"
    KNOWN = "known"
    """Its key was put before. An edit: its message says that already, or was given up."""
    WITHHELD = "withheld"
    """An edit that replaced one which had waited long and is now never shown."""


_KINDS: dict[str, type[Kept]] = {"post": Post, "whisper": Ephemeral, "attach": Attach, "react": React}


def kind_of(item: Kept) -> str:
    """The word for it in the store, which older entries were kept under, too."""
    return next(word for word, kind in _KINDS.items() if kind is type(item))


def priority_of(item: Kept) -> Priority:
    """How soon it is to be sent."""
    return Priority.NORMAL if isinstance(item, React) else item.priority


def encoded(item: Kept) -> bytes:
    """As JSON, without the bytes of a file."""
    match item:
        case Post() | Ephemeral():
            return msgspec.json.encode(replace(item, content=bounded_content(item.content)))
        case Attach():
            return msgspec.json.encode(replace(item, content=b""))
        case React():
            return msgspec.json.encode(item)


def bounded_content(content: Content) -> Content:
    """`content`; of what Slack would never take, as much as it may take."""
    text = content.text[:MAX_TEXT]
    is_small = len(msgspec.json.encode(content.blocks)) <= MAX_BLOCKS_BYTES
    return replace(content, text=text, blocks=content.blocks if is_small else ())


def decoded(kind: str, body: bytes) -> Kept:
    """What `encoded` made JSON of."""
    return msgspec.json.decode(body, type=_KINDS[kind])


def decoded_content(body: bytes) -> Content:
    """A content from JSON."""
    return msgspec.json.decode(body, type=Content)


def said(content: Content) -> str:
    """A digest: the same for contents that look the same."""
    return blake2b(msgspec.json.encode(content), digest_size=12).hexdigest()


def to_send(answer: list[bytes]) -> ToSend:
    """From the answer of claim_post.lua."""
    text = [part.decode() for part in answer]
    item = decoded(text[2], answer[6])
    assert not isinstance(item, React)
    if isinstance(item, Post) and answer[7]:
        item = replace(item, content=decoded_content(answer[7]))
    return ToSend(
        key=text[1],
        item=item,
        is_uncertain=text[3] == "1",
        thread=text[4],
        is_rootless=text[5] == "1",
        first_at=float(text[8]),
        failures=int(text[9] or 0),
        failing_since=float(text[10]) if text[10] else None,
        file_id=text[11],
        put_at=float(text[12]),
    )


def to_change(answer: list[bytes]) -> ToEdit | ToReact:
    """From the answer of claim_change.lua."""
    key, ts = answer[1].decode(), answer[2].decode()
    if answer[0] == b"edit":
        return ToEdit(key=key, ts=ts, content=decoded_content(answer[3]), failures=int(answer[4] or 0))
    item = decoded("react", answer[3])
    assert isinstance(item, React)
    shown = frozenset(answer[5].decode().split(" "))
    return ToReact(key=key, ts=ts, item=item, failures=int(answer[4] or 0), former=shown - {item.name})
