"""The outbox's queue in Redis: what is to be said, kept until Slack has it.

Each step is one Lua script, so that a process that dies between two steps leaves a state that the next one understands.
What the keys hold is written in `outbox_lua/common.lua`. An item is marked as being sent *before* it is sent; found in
that state by somebody else, it may or may not be in Slack, and Slack is asked before it is sent again.

Every script may run twice in a row: the connection repeats a command whose answer got lost.
"""

from pathlib import Path
from typing import Literal, cast

import msgspec
import structlog

from bot.domain.outgoing import Attach, Edit, Ephemeral, Outgoing, Post, React
from bot.store.connection import Connection
from bot.store.keys import DAY_S
from bot.store.outbox_entries import (
    Arrived,
    Budget,
    Dead,
    Kept,
    Nothing,
    OutboxFullError,
    Put,
    QueueLimits,
    QueueState,
    ToEdit,
    ToReact,
    ToSend,
    Unit,
    Wait,
    bounded_content,
    encoded,
    kind_of,
    priority_of,
    said,
    to_change,
    to_send,
)  # fmt: skip

log = structlog.get_logger()

KEEP_S = 30 * DAY_S
"""How long a sent message can still be edited and answered by its key."""

Method = Literal["update", "react"]

_LUA = Path(__file__).with_name("outbox_lua")
_SCRIPTS = (
    "put", "put_edit", "lease", "release", "take_over", "claim_post", "sent", "keep", "give_up", "claim_change",
    "changed", "keep_change",
)  # fmt: skip


class OutboxQueue:
    """The queues of all channels. Times are Unix times; a `token` tells a process from others.

    Errors of all: `StoreUnavailableError`.
    """

    def __init__(self, connection: Connection, *, is_alone: bool = False, limits: QueueLimits | None = None) -> None:
        self._connection = connection
        self.is_alone = is_alone
        """No other process works with this store: what a killed one had in its hands can be taken over at once."""
        self._limits = limits or QueueLimits()
        self._prefix = connection.keys.of("outbox")
        common = _source("common")
        self._scripts = {name: connection.script(common + _source(name)) for name in _SCRIPTS}

    async def put(self, item: Outgoing, *, now: float, withheld_after_s: float = 5.0) -> Put:
        """Keep `item`. An edit whose post is unknown (forgotten, or never put) is kept as a post.

        Errors: `OutboxFullError`; `ValueError` for what can never be sent.
        """
        if not isinstance(item, Edit):
            return await self._put_new(item, now)
        content = bounded_content(item.content)
        body, digest = msgspec.json.encode(content), said(content)
        answer = await self._run("put_edit", item.key, int(item.priority), body, digest, now, withheld_after_s)
        if answer == b"unknown":
            post = Post(key=item.key, place=item.place, content=item.content, priority=item.priority)
            return await self._put_new(post, now)
        return {b"new": Put.NEW, b"withheld": Put.WITHHELD}.get(cast("bytes", answer), Put.KNOWN)

    async def _put_new(self, item: Kept, now: float) -> Put:
        place, limits = item.place, self._limits
        if not (item.key and place.channel):
            raise ValueError(f"A {type(item).__name__} without key or channel cannot be sent.")
        file = item.content if isinstance(item, Attach) else b""
        if len(file) > limits.file_bytes:
            raise ValueError(f"The file of {len(file)} bytes is over the limit of {limits.file_bytes}.")
        target = (item.message_key or "", item.message_ts or "") if isinstance(item, React) else ("", "")
        answer = await self._run(
            "put", item.key, kind_of(item), place.channel, place.thread or "", place.thread_key or "",
            int(priority_of(item)), item.user if isinstance(item, Ephemeral) else "", now, encoded(item), file,
            len(file), *target, limits.channel_items, limits.all_files_bytes,
        )  # fmt: skip
        if answer == b"full":
            raise OutboxFullError(place.channel, f"{limits.channel_items} messages wait already")
        if answer == b"files-full":
            raise OutboxFullError(place.channel, f"files of {limits.all_files_bytes} bytes wait already")
        return Put.NEW if answer == b"new" else Put.KNOWN

    async def units(self) -> set[Unit]:
        """What has work, whoever serves it."""
        members = cast("set[bytes]", await self._command("SMEMBERS", "units"))
        return {cast("Unit", tuple(member.decode().split(" ", 1))) for member in members}

    async def lease(self, unit: Unit, token: str, *, now: float, lease_s: float) -> bool:
        """Take a unit, or keep it, for `lease_s`; False: somebody else has it."""
        return bool(await self._run("lease", " ".join(unit), token, now, lease_s))

    async def release(self, unit: Unit, token: str, *, only_idle: bool) -> bool:
        """Give a unit back. With `only_idle` only when it has no work; False: it has some."""
        return bool(await self._run("release", " ".join(unit), token, int(only_idle)))

    async def take_over(self, *, settled_at: float) -> None:
        """Nobody else serves anything now, and what a former process was sending has arrived or not by `settled_at`."""
        await self._run("take_over", settled_at)

    async def next_post(self, channel: str, token: str, *, now: float, in_flight_s: float) -> ToSend | Wait | Nothing:
        """What to post now. It counts as under way for `in_flight_s`, during which nobody looks for it."""
        answer = cast("list[bytes]", await self._run("claim_post", channel, token, now, in_flight_s))
        if answer[0] != b"send":
            return _not_now(answer)
        try:
            return to_send(answer)
        except msgspec.MsgspecError as error:  # of another version of the bot
            await self.give_up(_unreadable(answer[1], channel, now, error), next_post_at=now)
            return Wait(until=now)

    async def file(self, key: str) -> bytes:
        """The bytes of a file that waits."""
        return cast("bytes | None", await self._command("GET", f"file:{key}")) or b""

    async def note(self, key: str, *, settle_at: float, file_id: str | None = None) -> None:
        """One more request for this item begins; a file has got its name."""
        fields: list[str | float] = ["settle_at", settle_at]
        if file_id is not None:
            fields += ["file_id", file_id]
        await self._command("HSET", f"item:{key}", *fields)

    async def sent(self, arrived: Arrived, *, now: float, next_post_at: float, next_edit_at: float) -> int:
        """It is in Slack. How many updates of it were withheld while it waited; -1 when it was known to be sent."""
        digest = said(arrived.content) if arrived.content else ""
        answer = await self._run(
            "sent", arrived.key, arrived.ts, arrived.thread, digest, now, next_post_at, next_edit_at, KEEP_S
        )
        return cast("int", answer)

    async def move_thread(self, channel: str, thread: str, to: str) -> None:
        """What is meant for the thread that began at the ts `thread` goes to the one that begins at `to`."""
        await self._command("SET", f"moved:{channel}:{thread}", to, "EX", KEEP_S)

    async def keep(
        self,
        key: str,
        *,
        is_uncertain: bool,
        now: float,
        hold_until: float,
        next_post_at: float = 0.0,
        failures: int = 0,
    ) -> None:
        """It could not be sent now. Its thread waits until `hold_until`, the channel until `next_post_at`."""
        state = "sending" if is_uncertain else "queued"
        await self._run("keep", key, state, now, hold_until, hold_until, next_post_at, failures)

    async def give_up(self, dead: Dead, *, next_post_at: float) -> None:
        """It will never be sent."""
        await self._run("give_up", dead.key, dead.reason, msgspec.json.encode(dead), next_post_at, KEEP_S)

    async def next_change(
        self, channel: str, token: str, *, now: float, budget: Budget
    ) -> ToEdit | ToReact | Wait | Nothing:
        """The edit or reaction to make now; `budget` holds for edits over all channels, and for reactions."""
        answer = cast(
            "list[bytes]",
            await self._run("claim_change", channel, token, now, budget.burst, budget.per_minute, budget.reserve),
        )
        if answer[0] not in {b"edit", b"react"}:
            return _not_now(answer)
        try:
            return to_change(answer)
        except msgspec.MsgspecError as error:
            await self.changed(
                answer[1].decode(), now=now, next_edit_at=now, dead=_unreadable(answer[1], channel, now, error)
            )
            return Wait(until=now)

    async def changed(self, key: str, *, now: float, next_edit_at: float, dead: Dead | None = None) -> int:
        """The edit or reaction is made, or given up. How many updates were withheld before it."""
        reason, entry = (dead.reason, msgspec.json.encode(dead)) if dead else ("", b"")
        return cast("int", await self._run("changed", key, now, next_edit_at, KEEP_S, reason, entry))

    async def keep_change(
        self,
        key: str,
        method: Method,
        *,
        now: float,
        next_edit_at: float,
        pause_until: float = 0.0,
        withheld_after_s: float = 5.0,
        failures: int = 0,
    ) -> None:
        """It could not be made now: the message waits until `next_edit_at`, its method until `pause_until`."""
        await self._run("keep_change", key, method, now, next_edit_at, pause_until, withheld_after_s, failures)

    async def ts_of(self, key: str) -> str | None:
        """The ts of the post with this key; None while it is not sent, or forgotten."""
        state, ts = cast("list[bytes | None]", await self._command("HMGET", f"item:{key}", "state", "ts"))
        return ts.decode() if state == b"sent" and ts else None

    async def state(self) -> QueueState:
        """How much waits."""
        waiting = cast("int", await self._command("ZCARD", "waiting"))
        oldest = cast("list[bytes]", await self._command("ZRANGE", "waiting", 0, 0, "WITHSCORES"))
        dead = cast("int", await self._command("LLEN", "dead"))
        return QueueState(waiting=waiting, oldest_at=float(oldest[1]) if oldest else None, dead=dead)

    async def dead(self, limit: int = 100) -> list[Dead]:
        """What was given up in the last days, newest first; at most 1000 are remembered."""
        entries = cast("list[bytes]", await self._command("LRANGE", "dead", 0, limit - 1))
        return [msgspec.json.decode(entry, type=Dead) for entry in entries]

    async def _run(self, script: str, *arguments: str | bytes | float) -> object:
        async with self._connection.client() as client:
            return await self._scripts[script](keys=[self._prefix], args=list(arguments), client=client)

    async def _command(self, name: str, key: str, *arguments: str | bytes | float) -> object:
        async with self._connection.client() as client:
            answer = await client.execute_command(name, f"{self._prefix}:{key}", *arguments)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] untyped arguments
            return cast("object", answer)


def _unreadable(key: bytes, channel: str, now: float, error: Exception) -> Dead:
    log.error("outbox.unreadable", key=key.decode(), channel=channel, why=str(error))
    return Dead(key=key.decode(), kind="unreadable", channel=channel, reason=str(error), text="", at=now)


def _source(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


def _not_now(answer: list[bytes]) -> Wait | Nothing:
    return Wait(until=float(answer[1])) if answer[0] == b"wait" else Nothing(answer[0].decode())
