"""Socket Mode against the lab's workspace on its bad days."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bot.lab.slack.options import SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.slack.bolt import build_app
from bot.slack.client import open_client
from bot.slack.identity import WhoAmI
from bot.slack.socket import SlackRefusedError, SocketMode
from bot.slack.socket_connection import Timing
from tests.slack.intake import Kept
from tests.slack.waiting import until

QUICK = Timing(open_s=1.0, ping_s=0.2, renew_s=600, first_pause_s=0.02, longest_pause_s=0.1)


@dataclass
class Bot:
    """A bot that does nothing but keep what it gets."""

    slack: SlackWorkspace
    socket: SocketMode
    kept: Kept
    running: asyncio.Task[None]

    async def connected(self, many: int = 2) -> None:
        """Until so many connections are up on both sides."""
        await until(lambda: self.socket.live_connections >= many and len(self.slack.sockets.connections) >= many)

    def unacknowledged(self) -> int:
        """How many attempts to tell us something failed."""
        return sum(not attempt.ok for event in self.slack.deliveries.log for attempt in event.attempts)

    async def mentions(self, count: int, first: int = 0) -> None:
        """Alice asks so many times."""
        alice = self.slack.user("alice")
        for number in range(first, first + count):
            await alice.say("incidents", f"{self.slack.mention} help {number}")

    @property
    def heard(self) -> list[str]:
        """The texts of mentions, as kept."""
        bodies = [body for _, body in self.kept.entries.values()]
        return [body["event"]["text"] for body in bodies if body["event"]["type"] == "app_mention"]


@asynccontextmanager
async def bot(
    options: SlackOptions | None = None, *, timing: Timing = QUICK, app_token: str = "", kept: Kept | None = None
) -> AsyncGenerator[Bot]:
    """A bot in a workspace of its own; ended in order at the end."""
    kept = kept or Kept()
    async with SlackWorkspace.start(options) as slack, open_client(slack.bot_token, base_url=slack.api_url) as client:
        app = build_app(client, signing_secret="", inbox=kept, who_am_i=WhoAmI(client))
        socket = SocketMode(app, app_token or slack.app_token, client=client, timing=timing)
        async with asyncio.TaskGroup() as group:
            made = Bot(slack, socket, kept, group.create_task(socket.run()))
            yield made
            socket.stop()


async def test_two_connections_share_what_comes() -> None:
    async with bot() as b:
        await b.connected()
        await b.mentions(10)
        await until(lambda: len(b.heard) == 10)

        assert b.socket.is_ready
        assert [connection.delivered > 0 for connection in b.slack.sockets.connections] == [True, True]


async def test_what_is_not_kept_is_sent_again() -> None:
    async with bot(SlackOptions(ack_timeout_s=0.2), kept=Kept(is_down=True)) as b:
        await b.connected()
        await b.mentions(1)
        await until(b.unacknowledged)
        b.kept.is_down = False
        await until(lambda: b.heard)

    assert len(b.heard) == 1


async def test_dropped_connections_come_back() -> None:
    async with bot() as b:
        await b.connected()
        for number in range(3):
            opened = b.slack.sockets.opened
            b.slack.faults.drop_sockets()
            await until(lambda opened=opened: b.slack.sockets.opened >= opened + 2)
            await b.connected()
            await b.mentions(1, number)
        await until(lambda: len(b.heard) == 3)


@pytest.mark.parametrize(
    "frame", ["[" * 200_000, '{"a":' * 200_000, "{", "[]", "null", "\ud83d".encode("utf-8", "replace").decode()]
)
async def test_a_frame_that_is_none_ends_no_connection(frame: str) -> None:
    async with bot() as made:
        await made.connected()
        before = list(made.slack.sockets.connections)
        for connection in before:
            await connection.ws.send_str(frame)
        await made.mentions(2)
        await until(lambda: len(made.heard) == 2)

        assert made.slack.sockets.connections == before


async def test_a_ticket_that_is_dead_is_not_tried_twice() -> None:
    async with bot() as b:
        await b.connected()
        b.slack.faults.dead_tickets(6)
        b.slack.faults.drop_sockets()
        await until(lambda: b.slack.faults.dead_tickets_left == 0)
        await b.connected()


async def test_a_connection_that_answers_no_ping_is_replaced() -> None:
    """The other side is there and says nothing: nobody closes it for us."""
    async with bot() as b:
        await b.connected()
        dead = set(b.slack.sockets.connections)
        b.slack.faults.half_open()
        await until(lambda: not dead & set(b.slack.sockets.connections))
        assert not b.socket.is_ready
        b.slack.faults.half_open(is_on=False)
        await b.connected()

        assert b.socket.is_ready


async def test_slacks_refresh_leaves_no_moment_without_a_connection() -> None:
    async with bot() as b:
        await b.connected()
        fewest = 2
        changes = b.slack.subscribe()
        for number in range(5):
            opened = b.slack.sockets.opened
            b.slack.sockets.drop("warning")
            async with asyncio.timeout(5):
                while b.slack.sockets.opened < opened + 2 or len(b.slack.sockets.connections) > 2:
                    fewest = min(fewest, len(b.slack.sockets.connections))
                    await anext(changes)
            await b.mentions(1, number)
        await until(lambda: len(b.heard) == 5)

    assert fewest == 2
    assert b.unacknowledged() == 0


async def test_when_socket_mode_is_switched_off_it_goes_on_trying() -> None:
    async with bot() as b:
        await b.connected()
        opened = b.slack.sockets.opened
        b.slack.faults.disable_link()
        await until(lambda: b.slack.sockets.opened >= opened + 2)
        await b.connected()
        await b.mentions(1)
        await until(lambda: b.heard)


async def test_an_old_connection_is_replaced_though_it_seems_well() -> None:
    async with bot(timing=replace(QUICK, renew_s=0.1)) as b:
        await until(lambda: b.slack.sockets.opened >= 8)
        await b.mentions(20)
        await until(lambda: len(b.heard) == 20)

        assert len(b.slack.sockets.connections) <= 5


async def test_too_many_connections_are_waited_out() -> None:
    """Ten are allowed; the rolling update of another replica takes them for a moment."""
    async with bot(SlackOptions(max_connections=1)) as b:
        await b.connected(1)
        await until(lambda: len(b.slack.calls.of("apps.connections.open")) >= 6)

        assert b.socket.is_ready


@pytest.mark.parametrize("token", ["xapp-wrong", "xoxb-not-an-app-token"])
async def test_a_token_that_slack_refuses_ends_it(token: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with bot(app_token=token) as b:
            await b.running

    assert caught.group_contains(SlackRefusedError, match="check the app-level token")


async def test_slack_being_away_does_not_end_it() -> None:
    async with bot() as b:
        await b.connected()
        b.slack.faults.down()
        await until(lambda: not b.slack.sockets.connections)
        await until(lambda: not b.socket.is_ready)
        b.slack.faults.down(is_down=False)
        await b.connected()


async def test_what_was_read_is_answered_before_the_end() -> None:
    async with bot() as b:
        await b.connected()
        b.kept.is_open.clear()
        await b.mentions(1)
        await until(lambda: any(connection.pending for connection in b.slack.sockets.connections))
        b.socket.stop()
        b.kept.is_open.set()
        await b.running

    assert len(b.heard) == 1
    assert b.unacknowledged() == 0
    assert not b.socket.is_ready
