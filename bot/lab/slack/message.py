"""Messages: public ones, ephemeral ones, and the files that they carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from bot.lab.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a message said before an edit, and when that ended."""

    text: str
    blocks: list[Json]
    until: float


@dataclass(kw_only=True, slots=True)
class Message:
    """A message in a channel. `thread_ts` is the root's ts in replies, empty at the root itself."""

    channel: str
    ts: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list[Json])
    attachments: list[Json] = field(default_factory=list[Json])
    files: list[File] = field(default_factory=list["File"])
    metadata: Json | None = None
    user: str = ""
    bot_id: str = ""
    app_id: str = ""
    bot_profile: Json | None = None
    username: str = ""
    subtype: str = ""
    team: str = ""
    client_msg_id: str = ""
    thread_ts: str = ""
    is_broadcast: bool = False
    reactions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    edited: Json | None = None
    revisions: list[Revision] = field(default_factory=list[Revision])
    more: Json = field(default_factory=dict[str, object])
    """Further fields that some subtypes have."""

    @property
    def action_ids(self) -> list[str]:
        """Of everything that can be pressed or chosen, in order."""
        return [str(element.get("action_id", "")) for _, element in elements(self.all_blocks)]

    @property
    def all_blocks(self) -> list[Json]:
        """The message's blocks and those of its attachments."""
        return [*self.blocks, *_attached(self.attachments)]

    @property
    def event_metadata(self) -> Json:
        """The metadata's payload; empty when there is none."""
        return (self.metadata or {}).get("event_payload") or {}

    def as_json(self, *, with_metadata: bool = True) -> Json:
        """The message as Slack shows it to apps; fields without a value are absent, as with Slack."""
        fields: Json = {
            "subtype": self.subtype,
            "user": self.user,
            "username": self.username,
            "bot_id": self.bot_id,
            "app_id": self.app_id,
            "bot_profile": self.bot_profile,
            "team": self.team,
            "client_msg_id": self.client_msg_id,
            "blocks": self.blocks,
            "attachments": self.attachments,
            "files": [file.as_json() for file in self.files],
            "edited": self.edited,
            "thread_ts": self.thread_ts,
            "metadata": self.metadata if with_metadata else None,
            "reactions": [
                {"name": name, "users": list(users), "count": len(users)} for name, users in self.reactions.items()
            ],
        }
        given = {name: value for name, value in fields.items() if value}
        return {"type": "message", **given, "text": self.text, "ts": self.ts, **self.more}


@dataclass(kw_only=True, slots=True)
class Ephemeral:
    """An ephemeral message: one person sees it, in one channel or thread."""

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list[Json])
    attachments: list[Json] = field(default_factory=list[Json])
    thread_ts: str = ""
    app_id: str = ""
    bot_id: str = ""
    source: str = "app"
    """app: an app sent it; slack: Slack itself says that something failed."""

    @property
    def action_ids(self) -> list[str]:
        """Of everything that can be pressed or chosen, in order."""
        return [str(element.get("action_id", "")) for _, element in elements(self.all_blocks)]

    @property
    def all_blocks(self) -> list[Json]:
        """The ephemeral's blocks and those of its attachments."""
        return [*self.blocks, *_attached(self.attachments)]


@dataclass(kw_only=True, slots=True)
class File:
    """An uploaded file. `shares` maps channel ids to the ts of the messages that carry it."""

    id: str
    name: str
    length: int
    app_id: str = ""
    user: str = ""
    title: str = ""
    alt_txt: str = ""
    content: bytes | None = None
    created: int = 0
    url: str = ""
    permalink: str = ""
    is_complete: bool = False
    shares: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    private_channels: set[str] = field(default_factory=set[str])

    @property
    def filetype(self) -> str:
        """The name's extension."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else "text"

    @property
    def mimetype(self) -> str:
        """Guessed from the extension."""
        return {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "md": "text/markdown"}.get(
            self.filetype, "text/plain"
        )

    def as_json(self) -> Json:
        """The file object, with the shares so far."""
        public = {
            c: [{"ts": ts} for ts in all_ts] for c, all_ts in self.shares.items() if c not in self.private_channels
        }
        private = {c: [{"ts": ts} for ts in all_ts] for c, all_ts in self.shares.items() if c in self.private_channels}
        shares = {kind: by for kind, by in (("public", public), ("private", private)) if by}
        alt = {"alt_txt": self.alt_txt} if self.alt_txt else {}
        return {
            "id": self.id,
            "created": self.created,
            "timestamp": self.created,
            "name": self.name,
            "title": self.title or self.name,
            "mimetype": self.mimetype,
            "filetype": self.filetype,
            "pretty_type": self.filetype.upper(),
            "user": self.user,
            "size": self.length,
            "mode": "hosted",
            "is_external": False,
            "is_public": bool(public),
            "url_private": self.url,
            "url_private_download": f"{self.url}/download",
            "permalink": self.permalink,
            "shares": shares,
            "channels": list(public),
            "groups": list(private),
            **alt,
        }


def _attached(attachments: list[Json]) -> list[Json]:
    lists: list[list[Json]] = [one.get("blocks") or [] for one in attachments]
    return [block for blocks in lists for block in blocks]


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Each interactive element with the block that holds it (which gives the `block_id`), depth first."""
    for block in blocks:
        yield from _inside(block, block)


def _inside(block: Json, value: object) -> Iterator[tuple[Json, Json]]:
    if isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _inside(block, one)
        return
    if not isinstance(value, dict):
        return
    node: Json = cast("Json", value)
    if "action_id" in node:
        yield block, node
        return
    for key, inner in node.items():
        if isinstance(inner, dict | list):
            holder = node if "block_id" in node else block
            if key not in {"options", "option_groups", "confirm"}:
                yield from _inside(holder, cast("object", inner))
