"""Whatever happens, in whatever order: each post appears exactly once, in its place, with its newest words."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.domain.outgoing import Priority
from bot.lab.slack import Message, SlackOptions, SlackWorkspace
from bot.lab.slack.ids import Ids
from bot.slack.client import open_client
from bot.slack.outbox.calls import METADATA
from bot.store import open_store
from bot.store.outbox_entries import ToEdit, ToReact, ToSend
from tests.redis import RedisServer
from tests.slack.outbox.rig import Rig, VirtualClock


@dataclass(frozen=True)
class Say:
    """A post: the first of a thread has the thread's number as its key."""

    thread: int
    priority: Priority


@dataclass(frozen=True)
class Change:
    """An edit of one of the posts so far, or a second put of its key."""

    which: int
    priority: Priority
    is_repeat: bool


@dataclass(frozen=True)
class Trouble:
    """Slack's next calls fail."""

    kind: str
    method: str
    times: int


@dataclass(frozen=True)
class Crash:
    """Kill -9 with an item in hand: before it was sent, or before that was noted."""

    is_sent: bool


@dataclass(frozen=True)
class Work:
    """Time passes."""

    seconds: float


METHODS = st.sampled_from(
    ["chat.postMessage", "chat.update", "conversations.history", "conversations.replies"],
)
OPERATIONS = st.lists(
    st.one_of(
        st.builds(Say, st.integers(0, 2), st.sampled_from(Priority)),
        st.builds(Say, st.integers(0, 2), st.sampled_from(Priority)),
        st.builds(Change, st.integers(0, 30), st.sampled_from(Priority), st.booleans()),
        st.builds(Change, st.integers(0, 30), st.sampled_from(Priority), st.just(False)),
        st.builds(Trouble, st.sampled_from(["lose", "limit", "error"]), METHODS, st.integers(1, 3)),
        st.builds(Crash, st.booleans()),
        st.builds(Work, st.sampled_from([0.1, 1, 3, 20])),
    ),
    min_size=1,
    max_size=25,
)


@dataclass
class Story:
    """What was put, and so what must be in Slack at the end."""

    newest: dict[str, str] = field(default_factory=dict[str, str])
    threads: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    texts: int = 0

    def text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"


@pytest.fixture
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)


@given(operations=OPERATIONS)
@example(operations=[Trouble("lose", "chat.postMessage", 1), Say(0, Priority.NORMAL), Work(20)])
@example(
    operations=[
        Say(0, Priority.NORMAL),
        Say(0, Priority.NORMAL),
        Crash(is_sent=True),
        Say(0, Priority.VERDICT),
        Work(20),
    ]
)
@example(
    operations=[Say(0, Priority.NORMAL), Work(3), Change(0, Priority.PROGRESS, is_repeat=False), Crash(is_sent=False)]
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_each_post_appears_once_in_order_with_its_newest_edit(
    operations: list[object], redis_server: RedisServer, without_proxy: None
) -> None:
    asyncio.run(_tell(operations, redis_server))


async def _tell(operations: list[object], server: RedisServer) -> None:
    clock = VirtualClock()
    with tempfile.TemporaryDirectory() as directory:
        async with (
            open_store(server.url, Path(directory)) as store,
            SlackWorkspace.start(SlackOptions()) as ws,
            open_client(ws.bot_token, base_url=ws.api_url) as client,
        ):
            async with store.connection.client() as redis:
                await redis.flushall()  # pyright: ignore[reportUnknownMemberType] untyped arguments
            ws.state.clock = clock.now
            ws.state.ids = Ids(clock.now)
            rig = Rig(store=store, ws=ws, client=client, clock=clock)
            story = Story()
            for operation in operations:
                await _do(operation, story, rig)
            ws.faults.clear()
            await rig.work(rig.outbox())
            _judge(story, rig)
            state = await rig.queue.state()
            assert (state.waiting, state.dead) == (0, 0)
            assert await rig.queue.units() == set()


async def _do(operation: object, story: Story, rig: Rig) -> None:
    outbox = rig.outbox()
    match operation:
        case Say(thread, priority):
            keys = story.threads.setdefault(thread, [])
            key, root = f"{thread}/{len(keys)}", f"{thread}/0" if keys else None
            keys.append(key)
            story.newest[key] = story.text()
            await outbox.put(rig.post(key, story.newest[key], priority, thread_key=root))
        case Change(which, priority, is_repeat) if story.newest:
            key = sorted(story.newest)[which % len(story.newest)]
            if is_repeat:
                await outbox.put(rig.post(key, "said a second time"))
            else:
                story.newest[key] = story.text()
                await outbox.put(rig.edit(key, story.newest[key], priority))
        case Trouble("lose", method, times):
            rig.ws.faults.lose_replies(method, times)
        case Trouble("limit", method, times):
            rig.ws.faults.rate_limit(method, times, retry_after=3)
        case Trouble("error", method, times):
            rig.ws.faults.server_error(method, times)
        case Crash(is_sent):
            await _crash(rig, is_sent=is_sent)
        case Work(seconds):
            await rig.work(outbox, for_s=seconds)
        case _:
            pass


async def _crash(rig: Rig, *, is_sent: bool) -> None:
    """Everything that a worker does, up to a point."""
    context = rig.outbox().context
    for unit in sorted(await rig.queue.units()):
        if not await rig.queue.lease(unit, context.token, now=rig.clock.now(), lease_s=rig.timing.lease_s):
            continue
        channel, now = unit[1], rig.clock.now()
        if unit[0] == "posts":
            todo = await rig.queue.next_post(channel, context.token, now=now, in_flight_s=rig.timing.in_flight_s)
        else:
            todo = await rig.queue.next_change(channel, context.token, now=now, budget=context.budget)
        if not is_sent:
            continue
        try:
            match todo:
                case ToSend(is_uncertain=False):
                    await context.delivery.send(todo)
                case ToEdit():
                    await context.delivery.update(channel, todo.ts, todo.content)
                case ToSend() | ToReact():
                    pass
                case _:
                    pass
        except Exception:  # noqa: BLE001, S110 it is dead: nobody learns of it
            pass


def _judge(story: Story, rig: Rig) -> None:
    messages = {_key(message): message for message in rig.messages()}
    posted = [_key(message) for message in rig.messages()]
    notes = [key for key in posted if key.endswith(":withheld")]

    assert sorted(set(posted) - set(notes)) == sorted(story.newest), "each post is there, and nothing else"
    assert len(posted) == len(set(posted)), "and only once"
    for keys in story.threads.values():
        root = messages[keys[0]]
        thread = [_key(one) for one in rig.ws.thread("incidents", root.ts) if not _key(one).endswith(":withheld")]
        assert thread == keys, "in its thread, in order"
    assert {key: messages[key].text for key in story.newest} == story.newest


def _key(message: Message) -> str:
    assert message.metadata
    assert message.metadata["event_type"] == METADATA
    return str(message.metadata["event_payload"]["key"])
