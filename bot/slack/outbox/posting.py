"""Posts of one channel: one step sends at most one item."""

import structlog
from slack_sdk.errors import SlackApiError

from bot.domain.outgoing import Attach, Place, Post
from bot.slack.outbox.backoff import Backoff, pause_s
from bot.slack.outbox.context import Context
from bot.slack.outbox.failures import Failure, RefusedError, Trouble, classify
from bot.slack.views.delivery_notices import instead_of_file, invite_me, withheld
from bot.store.errors import StoreUnavailableError
from bot.store.outbox_entries import Arrived, Dead, Nothing, ToSend, Wait, kind_of

log = structlog.get_logger()

_COUNTED = {Trouble.PASSING, Trouble.CRASHED}
_HOPELESS = {Trouble.REFUSED, Trouble.NOT_INVITED, Trouble.BLOCKS, Trouble.TOO_LONG, Trouble.NO_THREAD, Trouble.DONE}


def _is_hopeless(todo: ToSend, failure: Failure) -> bool:
    """No use in trying again. A missing scope is one for files; without that for messages nothing works at all."""
    is_scope = isinstance(todo.item, Attach) and failure.reason in {"missing_scope", "no_permission"}
    return failure.trouble in _HOPELESS or is_scope


class Posting:
    """Serves the posts of one channel."""

    def __init__(self, context: Context, channel: str) -> None:
        self._context = context
        self._channel = channel
        self._backoff = Backoff(context.timing)

    async def step(self) -> float | Nothing:
        """Send the next item, if its time has come; how many seconds to wait before the next step.

        Errors: `StoreUnavailableError`. What was sent and could not be noted is found again later.
        """
        context = self._context
        now = context.clock.now()
        todo = await context.queue.next_post(
            self._channel, context.token, now=now, in_flight_s=context.timing.in_flight_s
        )
        match todo:
            case Nothing():
                return todo
            case Wait():
                return max(todo.until - now, 0.0)
            case ToSend():
                await self._serve(todo)
                return 0.0

    async def _serve(self, todo: ToSend) -> None:
        try:
            arrived = await self._deliver(todo)
        except StoreUnavailableError:
            raise
        except Exception as error:
            failure = classify(error)
            if failure.trouble is Trouble.CRASHED:
                log.exception("outbox.crashed", key=todo.key)
            await self._failed(todo, failure)
            return
        if arrived:
            self._backoff.succeeded()
            await self._arrived(todo, arrived)

    async def _deliver(self, todo: ToSend) -> Arrived | None:
        context = self._context
        if not todo.is_uncertain:
            return await self._send(todo)
        if arrived := await context.delivery.find(todo):
            context.counters.reconciled += 1
            log.info("outbox.reconciled", key=todo.key, channel=self._channel, ts=arrived.ts)
            return arrived
        now = context.clock.now()
        await context.queue.keep(todo.key, is_uncertain=False, now=now, hold_until=now)
        return None

    async def _send(self, todo: ToSend) -> Arrived | None:
        """None: its thread is gone, and now goes on elsewhere: there the item is sent next."""
        context = self._context
        try:
            return await context.delivery.send(todo)
        except (SlackApiError, RefusedError) as error:
            failure = classify(error)
            if not (todo.thread and failure.trouble is Trouble.NO_THREAD):
                raise
        anchor, now = await context.delivery.anchor(todo), context.clock.now()
        log.warning("outbox.thread_gone", key=todo.key, thread=todo.thread, anchor=anchor, reason=failure.reason)
        await context.queue.move_thread(self._channel, todo.thread, anchor)
        next_at = now + context.timing.post_s
        await context.queue.keep(todo.key, is_uncertain=False, now=now, hold_until=now, next_post_at=next_at)
        return None

    async def _arrived(self, todo: ToSend, arrived: Arrived) -> None:
        context, now = self._context, self._context.clock.now()
        rest_s = 0.0 if arrived.is_beside else context.timing.post_s
        missed = await context.queue.sent(
            arrived, now=now, next_post_at=now + rest_s, next_edit_at=now + context.timing.edit_s
        )
        context.counters.sent += 1
        log.info(
            "outbox.sent", key=todo.key, channel=self._channel, ts=arrived.ts, waited_s=round(now - todo.put_at, 3)
        )
        if missed > 0:
            await context.queue.put(withheld(todo.key, todo.item.place.channel, missed), now=now)
        context.wakeups.ring(self._channel)  # edits and reactions have waited for it

    async def _failed(self, todo: ToSend, failure: Failure) -> None:
        context, timing, now = self._context, self._context.timing, self._context.clock.now()
        failures = todo.failures + (failure.trouble in _COUNTED)
        is_old = todo.failing_since is not None and now - todo.failing_since > timing.give_up_s
        if _is_hopeless(todo, failure) or is_old or failures >= timing.most_failures:
            await self._give_up(todo, failure)
            return
        context.counters.retried += 1
        context.counters.rate_limited += failure.trouble is Trouble.RATE_LIMITED
        is_uncertain = failure.is_uncertain or todo.is_uncertain
        rest_s = self._backoff.rest_s(failure)
        is_about_looking = todo.is_uncertain and failure.trouble is Trouble.RATE_LIMITED
        # After the channel's rest other threads come first: it may be this message that Slack breaks down over.
        hold_s = rest_s + (0.0 if failure.trouble is Trouble.RATE_LIMITED else timing.post_s)
        hold_s = max(hold_s, pause_s(failures), timing.settle_s if failure.is_uncertain else 0.0)
        log.warning(
            "outbox.kept", key=todo.key, channel=self._channel, trouble=failure.trouble.name, reason=failure.reason,
            detail=failure.detail, again_in_s=round(max(hold_s, rest_s), 1), is_uncertain=is_uncertain,
        )  # fmt: skip
        await context.queue.keep(
            todo.key, is_uncertain=is_uncertain, now=now, hold_until=now + hold_s,
            next_post_at=0.0 if is_about_looking else now + max(rest_s, timing.post_s),
            failures=failures - todo.failures,
        )  # fmt: skip

    async def _give_up(self, todo: ToSend, failure: Failure) -> None:
        context, now = self._context, self._context.clock.now()
        text = todo.item.title if isinstance(todo.item, Attach) else todo.item.content.text
        dead = Dead(
            key=todo.key, kind=kind_of(todo.item), channel=self._channel, reason=failure.reason, text=text[:300], at=now
        )
        log.error("outbox.dead", key=todo.key, channel=self._channel, reason=failure.reason, detail=failure.detail)
        await context.queue.give_up(dead, next_post_at=now + context.timing.post_s)
        context.counters.dead += 1
        await self._say_so(todo, failure, now)
        context.wakeups.ring(self._channel)

    async def _say_so(self, todo: ToSend, failure: Failure, now: float) -> None:
        """A person who waits for it learns why it does not come."""
        context, item = self._context, todo.item
        match item:
            case Post(response_url=url) if url and failure.trouble is Trouble.NOT_INVITED:
                place = Place(channel=self._channel)
                try:
                    await context.delivery.respond(url, invite_me(place.channel))
                except Exception as error:  # noqa: BLE001 the reason is in the dead list and in the log already
                    log.warning("outbox.invitation_lost", key=todo.key, reason=classify(error).reason)
            case Attach() if failure.trouble is not Trouble.NOT_INVITED:
                await context.queue.put(
                    Post(
                        key=f"{todo.key}:instead",
                        place=item.place,
                        content=instead_of_file(item, failure.reason),
                        priority=item.priority,
                    ),
                    now=now,
                )
            case _:
                pass
