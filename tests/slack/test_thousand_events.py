"""A thousand events, every tenth delivered again, some twice at once, connections falling: each is handled once."""

import asyncio
from collections import Counter
from pathlib import Path

from bot.lab.slack.workspace import SlackWorkspace
from bot.slack.bolt import build_app
from bot.slack.client import open_client
from bot.slack.identity import WhoAmI
from bot.slack.socket import SocketMode
from bot.slack.socket_connection import Timing
from bot.store import Entry, open_store
from tests.slack.waiting import until

MANY = 1000


async def test_each_is_handled_once(tmp_path: Path) -> None:
    handled: Counter[str] = Counter()
    stopping = asyncio.Event()

    async def handle(entry: Entry) -> None:
        handled[entry.body["event"]["text"]] += 1

    async with (
        SlackWorkspace.start() as slack,
        open_store(None, tmp_path) as store,
        open_client(slack.bot_token, base_url=slack.api_url) as client,
    ):
        app = build_app(client, signing_secret="", inbox=store.inbox, who_am_i=WhoAmI(client))
        socket = SocketMode(app, slack.app_token, client=client, timing=Timing(first_pause_s=0.01))
        slack.faults.redeliver(every=10)
        slack.faults.duplicate(every=7)
        slack.faults.reorder(every=13)
        alice = slack.user("alice")
        async with asyncio.TaskGroup() as group:
            group.create_task(socket.run())
            group.create_task(store.inbox.work(handle, stopping=stopping))
            await until(lambda: socket.live_connections == 2)
            for number in range(MANY):
                if number in {300, 600}:
                    slack.faults.drop_sockets()
                await alice.say("incidents", f"{slack.mention} number {number}")
                if number % 20 == 0:
                    await until(lambda number=number: len(handled) >= number - 40, 20)
            await until(lambda: len(handled) == MANY, 60)
            repeated = sum(len(event.attempts) > 1 for event in slack.deliveries.log)
            stopping.set()
            socket.stop()

    assert set(handled.values()) == {1}
    assert repeated >= MANY // 10
