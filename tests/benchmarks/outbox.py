"""What the outbox costs: `python -m tests.benchmarks.outbox [ITEMS]`.

Against a real Redis: how fast items are put and taken out, also of one long thread and of many, and how much memory one
that waits takes. Then with the lab's workspace in the same process: how long after `put` the first message of a channel
is there, and how 20 channels at once keep their pace.
"""

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from bot.domain.outgoing import Content, Edit, Place, Post
from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.slack.client import open_client
from bot.slack.outbox import Outbox
from bot.store import Store, open_store
from bot.store.outbox import OutboxQueue
from bot.store.outbox_entries import Arrived, QueueLimits, ToSend
from tests.redis import RedisServer

CHANNELS = 20
BLOCKS = tuple({"type": "section", "text": {"type": "mrkdwn", "text": "x" * 200}} for _ in range(10))


def post(number: int, channel: str, thread: str | None = None) -> Post:
    """A message as large as a verdict."""
    content = Content(text=f"message {number} " + "x" * 400, blocks=BLOCKS)
    return Post(key=f"{channel}/{number}", place=Place(channel=channel, thread=thread), content=content)


async def _memory(store: Store) -> int:
    async with store.connection.client() as redis:
        said: object = await redis.info("memory")  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(said, dict)
    return int(str(said["used_memory"]))


async def _queue(store: Store, items: int, thread_of: Callable[[int], str | None], what: str) -> None:
    queue = OutboxQueue(store.connection, limits=QueueLimits(channel_items=items))
    channel = what.replace(" ", "-")
    before, begun = await _memory(store), time.perf_counter()
    for number in range(items):
        await queue.put(post(number, channel, thread_of(number)), now=0)
    put_s = time.perf_counter() - begun
    waiting = await _memory(store) - before
    begun = time.perf_counter()
    await queue.lease(("posts", channel), "benchmark", now=0, lease_s=1e6)
    for number in range(items):
        todo = await queue.next_post(channel, "benchmark", now=number, in_flight_s=12)
        assert isinstance(todo, ToSend)
        arrived = Arrived(key=todo.key, ts=str(number), thread=todo.thread)
        await queue.sent(arrived, now=number, next_post_at=number, next_edit_at=number)
    taken_s = time.perf_counter() - begun
    left = await _memory(store) - before
    print(
        f"{what}: put {put_s / items * 1e3:.2f} ms, taken and noted {taken_s / items * 1e3:.2f} ms an item; "
        f"{waiting / items / 1024:.1f} KiB waiting, {left / items / 1024:.2f} KiB remembered after it was sent"
    )


async def _first_messages(outbox: Outbox, ws: SlackWorkspace) -> None:
    took: list[float] = []
    for number in range(CHANNELS):
        channel = ws.channel(f"bench-{number}").id
        begun = time.perf_counter()
        await outbox.put(post(0, channel))
        await ws.until(lambda channel=channel: ws.messages(channel))
        took.append((time.perf_counter() - begun) * 1e3)
    print(f"first message of a channel: {statistics.median(took):.0f} ms after put, at most {max(took):.0f} ms")


async def _many_channels(outbox: Outbox, ws: SlackWorkspace, each: int) -> None:
    channels = [ws.channel(f"bench-{number}").id for number in range(CHANNELS)]
    cpu, begun = time.process_time(), time.perf_counter()
    for number in range(1, each + 1):
        for channel in channels:
            await outbox.put(post(number, channel))
            await outbox.put(Edit(key=f"{channel}/0", place=Place(channel=channel), content=Content(text=str(number))))
    await ws.until(lambda: all(len(ws.messages(channel)) > each for channel in channels), timeout=each * 5)
    took_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{CHANNELS} channels, {each} more messages each, with edits: {took_s:.1f} s (1 a second and channel is the "
        f"limit); CPU {cpu_s / each / CHANNELS * 1e3:.1f} ms a message, the workspace's share included"
    )


async def main(items: int) -> None:
    """Print it all."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    options = SlackOptions(extra_channels=tuple(f"bench-{number}" for number in range(CHANNELS)))
    with RedisServer() as server, tempfile.TemporaryDirectory() as directory:
        async with (
            open_store(server.url, Path(directory)) as store,
            SlackWorkspace.start(options) as ws,
            open_client(ws.bot_token, base_url=ws.api_url) as client,
        ):
            await _queue(store, items, lambda _: None, "threads of one message")
            await _queue(store, items, lambda _: "1.0", "one long thread")
            await _queue(store, items, lambda number: f"{number % 50}.0", "fifty threads")
            outbox = Outbox(store.outbox, client)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(outbox.run())
                await _first_messages(outbox, ws)
                await _many_channels(outbox, ws, 8)
                running.cancel()
            print(outbox.counters)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000))
