"""Edits and reactions of one channel: one step makes at most one."""

import structlog

from bot.slack.outbox.backoff import Backoff, pause_s
from bot.slack.outbox.context import Context
from bot.slack.outbox.failures import Failure, Trouble, classify
from bot.slack.views.delivery_notices import withheld
from bot.store.errors import StoreUnavailableError
from bot.store.outbox_entries import Dead, Nothing, ToEdit, ToReact, Wait

log = structlog.get_logger()

_COUNTED = {Trouble.PASSING, Trouble.CRASHED}
_KEPT = {Trouble.RATE_LIMITED, Trouble.UNREACHED, Trouble.LOST, Trouble.NOT_AUTHORIZED, *_COUNTED}


class Changing:
    """Serves the edits and reactions of one channel. Both may be repeated: a lost reply needs no search."""

    def __init__(self, context: Context, channel: str) -> None:
        self._context = context
        self._channel = channel
        self._backoff = Backoff(context.timing)

    async def step(self) -> float | Nothing:
        """Make the next change, if its time has come; how many seconds to wait before the next step.

        Errors: `StoreUnavailableError`.
        """
        context = self._context
        now = context.clock.now()
        todo = await context.queue.next_change(self._channel, context.token, now=now, budget=context.budget)
        match todo:
            case Nothing():
                return todo
            case Wait():
                return max(todo.until - now, 0.0)
            case ToEdit() | ToReact():
                await self._serve(todo)
                return 0.0

    async def _serve(self, todo: ToEdit | ToReact) -> None:
        try:
            await self._deliver(todo)
        except StoreUnavailableError:
            raise
        except Exception as error:
            failure = classify(error)
            if failure.trouble is Trouble.CRASHED:
                log.exception("outbox.crashed", key=todo.key)
            if failure.trouble is not Trouble.DONE:
                await self._failed(todo, failure)
                return
        self._backoff.succeeded()
        await self._made(todo)

    async def _deliver(self, todo: ToEdit | ToReact) -> None:
        if isinstance(todo, ToEdit):
            await self._context.delivery.update(self._channel, todo.ts, todo.content)
        else:
            for name in sorted(todo.former):
                await self._context.calls.unreact(self._channel, todo.ts, name)
            await self._context.calls.react(self._channel, todo.ts, todo.item.name)

    async def _made(self, todo: ToEdit | ToReact, dead: Dead | None = None) -> None:
        context, now = self._context, self._context.clock.now()
        missed = await context.queue.changed(todo.key, now=now, next_edit_at=now + context.timing.edit_s, dead=dead)
        if dead:
            return
        if isinstance(todo, ToReact):
            context.counters.reacted += 1
            return
        context.counters.edited += 1
        if missed > 0:
            await context.queue.put(withheld(todo.key, self._channel, missed), now=now)
            context.wakeups.ring(self._channel)

    async def _failed(self, todo: ToEdit | ToReact, failure: Failure) -> None:
        context, timing, now = self._context, self._context.timing, self._context.clock.now()
        failures = todo.failures + (failure.trouble in _COUNTED)
        is_hopeless = failure.trouble not in _KEPT or failures >= timing.most_failures
        if is_hopeless or (isinstance(todo, ToReact) and failure.trouble is Trouble.NOT_AUTHORIZED):
            await self._give_up(todo, failure, now)
            return
        context.counters.retried += 1
        context.counters.rate_limited += failure.trouble is Trouble.RATE_LIMITED
        rest_s = self._backoff.rest_s(failure)
        log.warning(
            "outbox.change_kept", key=todo.key, channel=self._channel, trouble=failure.trouble.name,
            reason=failure.reason, detail=failure.detail, again_in_s=round(rest_s, 1),
        )  # fmt: skip
        await context.queue.keep_change(
            todo.key, "update" if isinstance(todo, ToEdit) else "react", now=now,
            next_edit_at=now + rest_s + max(timing.edit_s, pause_s(failures)),
            pause_until=now + rest_s if rest_s else 0.0,
            withheld_after_s=timing.withheld_after_s, failures=failures - todo.failures,
        )  # fmt: skip

    async def _give_up(self, todo: ToEdit | ToReact, failure: Failure, now: float) -> None:
        is_edit = isinstance(todo, ToEdit)
        text = todo.content.text if is_edit else f":{todo.item.name}:"
        kind = "edit" if is_edit else "react"
        dead = Dead(key=todo.key, kind=kind, channel=self._channel, reason=failure.reason, text=text[:300], at=now)
        log.error("outbox.dead", key=todo.key, channel=self._channel, reason=failure.reason, detail=failure.detail)
        self._context.counters.dead += 1
        await self._made(todo, dead)
