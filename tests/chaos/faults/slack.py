"""Bad days of Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from bot.aio.groups import TaskGroup
from tests.chaos.faults.fault import Fault, Inject, switched
from tests.chaos.system import System

MANY = 1_000_000
SOMETIMES_S = 0.7
LATE_S = 1.0


def _knob(method: str, *arguments: object, **named: object) -> Inject:
    """One knob of the workspace, turned on until a good day begins."""

    def on(system: System, _: Random) -> None:
        getattr(system.slack.faults, method)(*arguments, **named)

    return switched(on, lambda system: system.slack.faults.clear())


@asynccontextmanager
async def _falling_sockets(system: System, chance: Random) -> AsyncGenerator[None]:
    async def drop() -> None:
        while True:
            system.slack.faults.drop_sockets()
            await asyncio.sleep(chance.uniform(0.1, 2 * SOMETIMES_S))

    async with TaskGroup() as group:
        dropping = group.create_task(drop())
        try:
            yield
        finally:
            dropping.cancel()


def _invalid_auth(system: System, is_on: bool) -> None:  # noqa: FBT001 a switch
    system.slack.faults.bad_auth = is_on
    system.slack.faults.on_change()


def slack_troubled(system: System) -> int:
    """How many calls were refused, lost or late."""
    return sum(not call.ok or call.is_lost or call.took_s > LATE_S for call in system.slack.calls)


_fault = partial(Fault, family="slack")
_call = partial(_fault, met=slack_troubled)

FAULTS = (
    _call(name="every call is answered 429", inject=_knob("rate_limit", times=MANY, retry_after=1)),
    _call(name="posts are answered 429 for 3 s", inject=_knob("rate_limit", "chat.postMessage", MANY, 3)),
    _call(name="every call is answered 500", inject=_knob("server_error", times=MANY)),
    _call(name="posts are answered 503", inject=_knob("server_error", "chat.postMessage", MANY, 503)),
    _call(name="posts arrive, their answers are lost", inject=_knob("lose_replies", "chat.postMessage", MANY)),
    _call(name="every third answer or so is lost", inject=_knob("lose_replies", times=8)),
    _call(name="every call takes 2 s", inject=_knob("slow", seconds=2.0)),
    _fault(name="nothing answers", inject=_knob("down")),
    _fault(name="sockets fall again and again", inject=_falling_sockets),
    _fault(name="sockets stay open and silent", inject=_knob("half_open")),
    _fault(name="sockets fall, and new tickets are dead", inject=switched(
        lambda system, _: (system.slack.faults.drop_sockets(), system.slack.faults.dead_tickets(6)),
        lambda system: system.slack.faults.clear(),
    )),
    _fault(name="every event comes twice at once", inject=_knob("duplicate", every=1)),
    _fault(name="every event comes again", inject=_knob("redeliver", every=1)),
    _fault(
        name="the token is invalid_auth",
        inject=switched(lambda system, _: _invalid_auth(system, True), lambda system: _invalid_auth(system, False)),
        may_end_bot=True,
    ),
)  # fmt: skip
