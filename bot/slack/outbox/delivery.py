"""One item's way into Slack: sent as well as Slack takes it, or found there when its reply was lost."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from slack_sdk.errors import SlackApiError

from bot.domain.outgoing import Attach, Content, Post, Whisper
from bot.slack.outbox.calls import UPLOAD_S, Calls
from bot.slack.outbox.failures import Failure, RefusedError, Trouble, judge
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Arrived, ToSend

log = structlog.get_logger()

Result = TypeVar("Result")

SHORT = 3_000
"""Characters that Slack takes everywhere: in a section, in an edit."""

_CLOCKS_DIFFER_S = 300.0
"""Slack's clock, which makes each ts, and ours."""


def poorer(content: Content, trouble: Trouble) -> Content | None:
    """What to try next when Slack does not take `content`; None: nothing would help."""
    if content.blocks and trouble in {Trouble.BLOCKS, Trouble.TOO_LONG}:
        return Content(text=content.text)
    if trouble is Trouble.TOO_LONG and len(content.text) > SHORT:
        return Content(text=content.text[: SHORT - 1] + "…")
    return None


def _is_for_want_of_rights(failure: Failure) -> bool:
    """The rest of the app works: a token that is dead would not send either."""
    return failure.reason in {"missing_scope", "no_permission"} or failure.trouble in {
        Trouble.NOT_INVITED,
        Trouble.REFUSED,
        Trouble.PASSING,
    }


class Delivery:
    """Sends, and finds what was sent. `degraded` counts messages that Slack took only in a poorer form."""

    def __init__(self, queue: OutboxQueue, calls: Calls, *, settled_at: Callable[[], float]) -> None:
        self._queue = queue
        self._calls = calls
        self._settled_at = settled_at
        """The time at which a request that begins now has surely ended."""
        self.degraded = 0

    async def send(self, todo: ToSend) -> Arrived:
        """It is in Slack when this returns. Errors: see `failures.judge`."""
        match todo.item:
            case Post():
                return await self._post(todo, todo.item)
            case Whisper():
                return await self._whisper(todo, todo.item)
            case Attach():
                return await self._attach(todo, todo.item)

    async def find(self, todo: ToSend) -> Arrived | None:
        """Where an item is whose reply was lost; None: not in Slack, as far as can be seen.

        Slack shows nobody else's whispers: one that got lost is whispered again. What cannot be looked at for want of
        rights is sent again too: twice is better than never.
        """
        item, thread = todo.item, todo.thread
        channel = item.place.channel
        try:
            if isinstance(item, Attach):
                shown = todo.file_id and await self._calls.is_file_shown(todo.file_id, channel)
                return Arrived(key=todo.key, ts="", thread=thread) if shown else None
            if isinstance(item, Post):
                return await self._find_post(todo, item)
        except SlackApiError as error:
            failure = judge(error)
            if not _is_for_want_of_rights(failure):
                raise
            if failure.reason != "file_not_found":
                log.warning("outbox.cannot_look", key=todo.key, channel=channel, reason=failure.reason)
        return None

    async def _find_post(self, todo: ToSend, item: Post) -> Arrived | None:
        channel, since = item.place.channel, todo.first_at - _CLOCKS_DIFFER_S
        if todo.thread:
            try:
                ts = await self._calls.find(channel, todo.thread, todo.key, since=since)
            except SlackApiError as error:
                if judge(error).trouble is not Trouble.NO_THREAD:
                    raise
            else:
                return Arrived(key=todo.key, ts=ts, thread=todo.thread, content=item.content) if ts else None
        ts = await self._calls.find(channel, "", todo.key, since=since)
        return Arrived(key=todo.key, ts=ts, thread="", content=item.content) if ts else None

    async def update(self, channel: str, ts: str, content: Content) -> None:
        """Edit a message, as richly as Slack takes it."""
        await self._as_rich_as_possible(content, lambda body: self._calls.update(channel, ts, body))

    async def _post(self, todo: ToSend, item: Post) -> Arrived:
        place, thread = item.place, todo.thread
        if todo.is_rootless:
            log.warning("outbox.no_root", key=todo.key, channel=place.channel, root=place.thread_key)

        async def to(thread: str) -> Arrived:
            ts = await self._as_rich_as_possible(
                item.content, lambda body: self._calls.post(place.channel, thread, body, todo.key), todo
            )
            return Arrived(key=todo.key, ts=ts, thread=thread, content=item.content)

        return await self._in_thread_or_beside(todo, thread, to)

    async def _whisper(self, todo: ToSend, item: Whisper) -> Arrived:
        channel = item.place.channel

        async def to(thread: str) -> Arrived:
            ts = await self._as_rich_as_possible(
                item.content, lambda body: self._calls.whisper(channel, thread, body, item.user), todo
            )
            return Arrived(key=todo.key, ts=ts, thread=thread)

        try:
            return await self._in_thread_or_beside(todo, todo.thread, to)
        except SlackApiError as error:
            failure = judge(error)
            is_outside = failure.trouble is Trouble.NOT_INVITED or failure.reason == "user_not_in_channel"
            if not (item.response_url and is_outside):
                raise
        await self._begin(todo)
        await self.respond(item.response_url, item.content)
        return Arrived(key=todo.key, ts="", thread="")

    async def respond(self, url: str, content: Content) -> None:
        """Say something by a command's response URL."""
        await self._as_rich_as_possible(content, lambda body: self._calls.respond(url, body))

    async def _attach(self, todo: ToSend, item: Attach) -> Arrived:
        """A file with an id was uploaded, perhaps even shown: better show that one again than upload a second one."""
        file_id = todo.file_id or await self._upload(todo, item)

        async def to(thread: str) -> Arrived:
            await self._calls.show_file(file_id, item.title, item.place.channel, thread, item.comment)
            return Arrived(key=todo.key, ts="", thread=thread)

        try:
            return await self._in_thread_or_beside(todo, todo.thread, to)
        except SlackApiError as error:
            reason = judge(error).reason
            if reason == "file_already_completed":
                return Arrived(key=todo.key, ts="", thread=todo.thread)
            if not (todo.file_id and reason == "file_not_found"):
                raise
        file_id = await self._upload(todo, item)
        return await self._in_thread_or_beside(todo, todo.thread, to)

    async def _upload(self, todo: ToSend, item: Attach) -> str:
        content = await self._queue.file(todo.key)
        await self._queue.note(todo.key, settle_at=self._settled_at() + UPLOAD_S)
        try:
            file_id = await self._calls.upload(item.filename, item.alt_text, content)
        except (SlackApiError, RefusedError, TimeoutError, OSError) as error:
            failure = judge(error)
            if not failure.is_uncertain:
                raise
            nothing_seen = Failure(trouble=Trouble.UNREACHED, reason=failure.reason)
            raise RefusedError(nothing_seen) from error
        await self._begin(todo, file_id=file_id)
        return file_id

    async def _in_thread_or_beside(
        self, todo: ToSend, thread: str, send: Callable[[str], Awaitable[Arrived]]
    ) -> Arrived:
        """In the thread; in the channel when its first message is gone."""
        try:
            return await send(thread)
        except SlackApiError as error:
            failure = judge(error)
            if not (thread and failure.trouble is Trouble.NO_THREAD):
                raise
        self._tell(todo.key, failure)
        await self._begin(todo)
        return await send("")

    async def _as_rich_as_possible(
        self, content: Content, send: Callable[[Content], Awaitable[Result]], todo: ToSend | None = None
    ) -> Result:
        body = content
        while True:
            try:
                return await send(body)
            except (SlackApiError, RefusedError) as error:
                failure = judge(error)
                less = poorer(body, failure.trouble)
                if less is None:
                    raise
                body = less
            self._tell(todo.key if todo else "", failure)
            if todo:
                await self._begin(todo)

    def _tell(self, key: str, failure: Failure) -> None:
        self.degraded += 1
        log.warning("outbox.degraded", key=key, reason=failure.reason, detail=failure.detail)

    async def _begin(self, todo: ToSend, *, file_id: str | None = None) -> None:
        """Say that one more request begins, so that nobody looks for the item before it has ended."""
        await self._queue.note(todo.key, settle_at=self._settled_at(), file_id=file_id)
