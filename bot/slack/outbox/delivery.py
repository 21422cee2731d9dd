"""One item's way into Slack: sent as well as Slack takes it, or found there when its reply was lost."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from slack_sdk.errors import SlackApiError

from bot.domain.outgoing import Attach, Content, Ephemeral, Post, Priority
from bot.slack.outbox.calls import UPLOAD_S, Calls
from bot.slack.outbox.failures import Failure, RefusedError, Trouble, classify
from bot.slack.views.delivery_notices import goes_on_here
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Arrived, ToSend

log = structlog.get_logger()

Result = TypeVar("Result")

SHORT = 3_000
"""Characters that Slack takes everywhere: in a section, in an edit."""

_CLOCKS_DIFFER_S = 24 * 3600.0
"""Slack's clock, which makes each ts, and ours, which may be set wrong by hours. The newest are read first."""


def degraded(content: Content, trouble: Trouble) -> Content | None:
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
    """Sends, and finds what was sent. `degraded` counts messages that Slack took only in a degraded form."""

    def __init__(self, queue: OutboxQueue, calls: Calls, *, settled_at: Callable[[], float]) -> None:
        self._queue = queue
        self._calls = calls
        self._settled_at = settled_at
        """The time at which a request that begins now has surely ended."""
        self.degraded = 0

    async def send(self, todo: ToSend) -> Arrived:
        """It is in Slack when this returns. Errors: see `failures.classify`; `NO_THREAD`: it needs an `anchor`."""
        match todo.item:
            case Post():
                return await self._post(todo, todo.item)
            case Ephemeral():
                return await self._ephemeral(todo, todo.item)
            case Attach():
                return await self._attach(todo, todo.item)

    async def find(self, todo: ToSend) -> Arrived | None:
        """Where an item is whose reply was lost; None: not in Slack, as far as can be seen.

        Slack shows nobody else's ephemeral messages: one that got lost is sent again, and so is what may not be
        read for lack of rights: twice is better than never.
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
            failure = classify(error)
            if not _is_for_want_of_rights(failure):
                raise
            if failure.reason != "file_not_found":
                log.warning("outbox.cannot_look", key=todo.key, channel=channel, reason=failure.reason)
        return None

    async def _find_post(self, todo: ToSend, item: Post) -> Arrived | None:
        channel, since = item.place.channel, todo.first_at - _CLOCKS_DIFFER_S
        try:
            ts = await self._calls.find(channel, todo.thread, todo.key, since=since)
        except SlackApiError as error:
            if classify(error).trouble is not Trouble.NO_THREAD:
                raise
            stray = await self._calls.find(channel, "", todo.key, since=since)
            if not stray or await self._is_removed(channel, stray):
                return None
            return Arrived(key=todo.key, ts=stray, thread="", content=item.content)
        return Arrived(key=todo.key, ts=ts, thread=todo.thread, content=item.content) if ts else None

    async def anchor(self, todo: ToSend) -> str:
        """The ts of a message in the channel under which the item's thread goes on, now that its first one is gone."""
        channel, key = todo.item.place.channel, f"thread:{todo.thread}"
        try:
            ts = await self._calls.find(channel, "", key, since=todo.first_at - _CLOCKS_DIFFER_S)
        except SlackApiError as error:
            if not _is_for_want_of_rights(classify(error)):
                raise
            ts = None
        return ts or (await self._calls.post(channel, "", goes_on_here(), key))[0]

    async def update(self, channel: str, ts: str, content: Content) -> None:
        """Edit a message, as richly as Slack takes it."""
        await self._as_rich_as_possible(content, lambda body: self._calls.update(channel, ts, body))

    async def _post(self, todo: ToSend, item: Post) -> Arrived:
        place, thread = item.place, todo.thread
        if todo.is_rootless:
            log.warning("outbox.no_root", key=todo.key, channel=place.channel, root=place.thread_key)
        ts, found = await self._as_rich_as_possible(
            item.content, lambda body: self._calls.post(place.channel, thread, body, todo.key), todo
        )
        if thread and not found and await self._is_removed(place.channel, ts):
            raise RefusedError(Failure(trouble=Trouble.NO_THREAD, reason="posted outside the requested thread"))
        return Arrived(key=todo.key, ts=ts, thread=found, content=item.content)

    async def _is_removed(self, channel: str, ts: str) -> bool:
        """Whether a message of ours is gone; False: Slack does not let us, so it stays where it is.

        Another failure leaves open where the item is: it is looked for before anything is said again.
        """
        try:
            await self._calls.remove(channel, ts)
        except SlackApiError as error:
            failure = classify(error)
            if _is_for_want_of_rights(failure):
                log.warning("outbox.not_removed", channel=channel, ts=ts, reason=failure.reason)
                return False
            raise RefusedError(Failure(trouble=Trouble.LOST, reason=failure.reason)) from error
        return True

    async def _ephemeral(self, todo: ToSend, item: Ephemeral) -> Arrived:
        channel = item.place.channel
        if item.priority is Priority.NOTICE and item.response_url:
            try:
                return await self._beside(todo, item)
            except (SlackApiError, RefusedError, OSError) as error:
                log.info("outbox.no_response_url", key=todo.key, reason=classify(error).reason)
                await self._begin(todo)

        async def to(thread: str) -> Arrived:
            ts = await self._as_rich_as_possible(
                item.content, lambda body: self._calls.ephemeral(channel, thread, body, item.user), todo
            )
            return Arrived(key=todo.key, ts=ts, thread=thread)

        try:
            return await self._in_thread_or_beside(todo, to)
        except SlackApiError as error:
            failure = classify(error)
            is_outside = failure.trouble is Trouble.NOT_INVITED or failure.reason == "user_not_in_channel"
            if not (item.response_url and is_outside):
                raise
        await self._begin(todo)
        return await self._beside(todo, item)

    async def _beside(self, todo: ToSend, item: Ephemeral) -> Arrived:
        """By the command's response URL, which is not bound to the channel's one message a second."""
        await self.respond(item.response_url, item.content)
        return Arrived(key=todo.key, ts="", thread="", is_beside=True)

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
            return await to(todo.thread)
        except SlackApiError as error:
            reason = classify(error).reason
            if reason == "file_already_completed":
                return Arrived(key=todo.key, ts="", thread=todo.thread)
            if not (todo.file_id and reason == "file_not_found"):
                raise
        file_id = await self._upload(todo, item)
        return await to(todo.thread)

    async def _upload(self, todo: ToSend, item: Attach) -> str:
        content = await self._queue.file(todo.key)
        await self._queue.note(todo.key, settle_at=self._settled_at() + UPLOAD_S)
        try:
            file_id = await self._calls.upload(item.filename, item.alt_text, content)
        except (SlackApiError, RefusedError, TimeoutError, OSError) as error:
            failure = classify(error)
            if not failure.is_uncertain:
                raise
            nothing_seen = Failure(trouble=Trouble.UNREACHED, reason=failure.reason)
            raise RefusedError(nothing_seen) from error
        await self._begin(todo, file_id=file_id)
        return file_id

    async def _in_thread_or_beside(self, todo: ToSend, send: Callable[[str], Awaitable[Arrived]]) -> Arrived:
        """In the thread; in the channel when its first message is gone: nobody else sees it."""
        try:
            return await send(todo.thread)
        except SlackApiError as error:
            failure = classify(error)
            if not (todo.thread and failure.trouble is Trouble.NO_THREAD):
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
                failure = classify(error)
                less = degraded(body, failure.trouble)
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
