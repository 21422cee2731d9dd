import itertools

import pytest

from bot.lab.slack.fixtures import furnished
from bot.lab.slack.message import Message, Whisper
from bot.lab.slack.model import Channel
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.page.entries import Entry, channel_entries, thread_entries
from bot.lab.slack.page.people import author, directory
from bot.lab.slack.page.reading import Mark, Reading, channels_of, people
from bot.lab.slack.workspace_state import WorkspaceState

MINUTE = 60.0


@pytest.fixture
def world() -> WorkspaceState:
    """Its clock goes on a minute with every look."""
    clock = itertools.count(1_795_000_000.0, MINUTE)
    return furnished(WorkspaceState(SlackOptions(), clock=lambda: next(clock)))


@pytest.fixture
def channel(world: WorkspaceState) -> Channel:
    return world.channels["C0INCIDENTS"]


def say(world: WorkspaceState, channel: Channel, text: str, user: str = "U0BOB", **more: str) -> Message:
    return world.post(channel, Message(channel=channel.id, ts="", text=text, user=user, **more))  # pyright: ignore[reportArgumentType]


def entries(world: WorkspaceState, channel: Channel, viewer: str = "U0ALICE") -> list[Entry]:
    return channel_entries(world, channel, directory(world, viewer))


def texts(found: list[Entry]) -> list[str]:
    return [entry.message.text for entry in found]


def test_replies_are_in_their_thread_and_not_in_the_channel(world: WorkspaceState, channel: Channel) -> None:
    root = say(world, channel, "root")
    say(world, channel, "reply", thread_ts=root.ts)
    say(world, channel, "next")

    assert texts(entries(world, channel)) == ["root", "next"]
    assert entries(world, channel)[0].replies == 1
    assert texts(thread_entries(world, channel, root.ts, directory(world, "U0ALICE"))) == ["root", "reply"]


def test_a_whisper_stands_where_it_was_said_for_one_person(world: WorkspaceState, channel: Channel) -> None:
    root = say(world, channel, "root")
    world.whisper(Whisper(channel=channel.id, ts="", user="U0ALICE", text="psst"))
    world.whisper(Whisper(channel=channel.id, ts="", user="U0ALICE", text="in the thread", thread_ts=root.ts))

    assert texts(entries(world, channel)) == ["root", "psst"]
    assert texts(entries(world, channel, "U0BOB")) == ["root"]
    assert texts(thread_entries(world, channel, root.ts, directory(world, "U0ALICE"))) == ["root", "in the thread"]


def test_what_one_person_says_in_a_row_stands_together(world: WorkspaceState, channel: Channel) -> None:
    say(world, channel, "one")
    say(world, channel, "two")
    say(world, channel, "three", user="U0ALICE")

    assert [entry.is_compact for entry in entries(world, channel)] == [False, True, False]
    assert [entry.begins_day for entry in entries(world, channel)] == [True, False, False]


def test_a_signature_changes_with_what_is_drawn(world: WorkspaceState, channel: Channel) -> None:
    message = say(world, channel, "one")
    seen = [entries(world, channel)[0].signature]
    world.edit(channel, message, "U0BOB", {"text": "two"})
    seen.append(entries(world, channel)[0].signature)
    world.react(channel, message, "eyes", "U0ALICE", add=True)
    seen.append(entries(world, channel)[0].signature)
    say(world, channel, "reply", thread_ts=message.ts)
    seen.append(entries(world, channel)[0].signature)

    assert len(set(seen)) == 4
    assert entries(world, channel)[0].signature == seen[-1]


def test_unread_marks_last_until_the_channel_was_looked_at(world: WorkspaceState, channel: Channel) -> None:
    reading, names = Reading(), directory(world, "U0ALICE")
    assert reading.mark(channel, names) == Mark()
    say(world, channel, "hello <@U0ALICE>")
    assert reading.mark(channel, names) == Mark(is_unread=True, mentions=1)
    assert reading.mark(channel, directory(world, "U0BOB")) == Mark(), "one has read what one wrote"
    reading.read("U0ALICE", channel)
    assert reading.mark(channel, names) == Mark()


def test_a_reply_that_mentions_somebody_counts_for_them_alone(world: WorkspaceState, channel: Channel) -> None:
    reading = Reading()
    root = say(world, channel, "root")
    reading.read("U0ALICE", channel)
    reading.read("U0CAROL", channel)
    say(world, channel, "<@U0ALICE>?", thread_ts=root.ts)

    assert reading.mark(channel, directory(world, "U0ALICE")) == Mark(mentions=1)
    assert reading.mark(channel, directory(world, "U0CAROL")) == Mark()


def test_the_sidebar_holds_what_a_person_may_see(world: WorkspaceState) -> None:
    assert [user.name for user in people(world)] == ["alice", "bob", "carol", "eve"]
    assert [channel.name for channel in channels_of(world, world.users["U0EVE"])] == ["shared"]
    assert [channel.name for channel in channels_of(world, world.users["U0CAROL"])] == ["incidents"]


def test_an_author_is_never_taken_from_what_a_bot_calls_itself_alone(world: WorkspaceState, channel: Channel) -> None:
    posing = world.post(
        channel, Message(channel=channel.id, ts="", text="x", bot_id="B0ALERTMANAGER", username="alice")
    )
    assert author(posing, world).badge == "APP"
    assert author(posing, world).id == "B0ALERTMANAGER"
