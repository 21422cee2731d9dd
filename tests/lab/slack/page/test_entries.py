import itertools

import pytest

from bot.lab.slack.fixtures import furnished
from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import Channel
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.page.entries import Entry, channel_entries, thread_entries
from bot.lab.slack.page.people import author, directory
from bot.lab.slack.page.reading import Mark, Reading, channels_of, people
from bot.lab.slack.workspace_state import WorkspaceState

MINUTE = 60.0


@pytest.fixture
def state() -> WorkspaceState:
    """Its clock goes on a minute with every look."""
    clock = itertools.count(1_795_000_000.0, MINUTE)
    return furnished(WorkspaceState(SlackOptions(), clock=lambda: next(clock)))


@pytest.fixture
def channel(state: WorkspaceState) -> Channel:
    return state.channels["C0INCIDENTS"]


def say(state: WorkspaceState, channel: Channel, text: str, user: str = "U0BOB", **more: str) -> Message:
    return state.post(channel, Message(channel=channel.id, ts="", text=text, user=user, **more))  # pyright: ignore[reportArgumentType]


def entries(state: WorkspaceState, channel: Channel, viewer: str = "U0ALICE") -> list[Entry]:
    return channel_entries(state, channel, directory(state, viewer))


def texts(found: list[Entry]) -> list[str]:
    return [entry.message.text for entry in found]


def test_replies_are_in_their_thread_and_not_in_the_channel(state: WorkspaceState, channel: Channel) -> None:
    root = say(state, channel, "root")
    say(state, channel, "reply", thread_ts=root.ts)
    say(state, channel, "next")

    assert texts(entries(state, channel)) == ["root", "next"]
    assert entries(state, channel)[0].replies == 1
    assert texts(thread_entries(state, channel, root.ts, directory(state, "U0ALICE"))) == ["root", "reply"]


def test_an_ephemeral_message_stands_where_it_was_said_for_one_person(state: WorkspaceState, channel: Channel) -> None:
    root = say(state, channel, "root")
    state.ephemeral(Ephemeral(channel=channel.id, ts="", user="U0ALICE", text="psst"))
    state.ephemeral(Ephemeral(channel=channel.id, ts="", user="U0ALICE", text="in the thread", thread_ts=root.ts))

    assert texts(entries(state, channel)) == ["root", "psst"]
    assert texts(entries(state, channel, "U0BOB")) == ["root"]
    assert texts(thread_entries(state, channel, root.ts, directory(state, "U0ALICE"))) == ["root", "in the thread"]


def test_what_one_person_says_in_a_row_stands_together(state: WorkspaceState, channel: Channel) -> None:
    say(state, channel, "one")
    say(state, channel, "two")
    say(state, channel, "three", user="U0ALICE")

    assert [entry.is_compact for entry in entries(state, channel)] == [False, True, False]
    assert [entry.begins_day for entry in entries(state, channel)] == [True, False, False]


def test_a_signature_changes_with_what_is_drawn(state: WorkspaceState, channel: Channel) -> None:
    message = say(state, channel, "one")
    seen = [entries(state, channel)[0].signature]
    state.edit(channel, message, "U0BOB", {"text": "two"})
    seen.append(entries(state, channel)[0].signature)
    state.react(channel, message, "eyes", "U0ALICE", add=True)
    seen.append(entries(state, channel)[0].signature)
    say(state, channel, "reply", thread_ts=message.ts)
    seen.append(entries(state, channel)[0].signature)

    assert len(set(seen)) == 4
    assert entries(state, channel)[0].signature == seen[-1]


def test_unread_marks_last_until_the_channel_was_looked_at(state: WorkspaceState, channel: Channel) -> None:
    reading, names = Reading(), directory(state, "U0ALICE")
    assert reading.mark(channel, names) == Mark()
    say(state, channel, "hello <@U0ALICE>")
    assert reading.mark(channel, names) == Mark(is_unread=True, mentions=1)
    assert reading.mark(channel, directory(state, "U0BOB")) == Mark(), "one has read what one wrote"
    reading.read("U0ALICE", channel)
    assert reading.mark(channel, names) == Mark()


def test_a_reply_that_mentions_somebody_counts_for_them_alone(state: WorkspaceState, channel: Channel) -> None:
    reading = Reading()
    root = say(state, channel, "root")
    reading.read("U0ALICE", channel)
    reading.read("U0CAROL", channel)
    say(state, channel, "<@U0ALICE>?", thread_ts=root.ts)

    assert reading.mark(channel, directory(state, "U0ALICE")) == Mark(mentions=1)
    assert reading.mark(channel, directory(state, "U0CAROL")) == Mark()


def test_the_sidebar_holds_what_a_person_may_see(state: WorkspaceState) -> None:
    assert [user.name for user in people(state)] == ["alice", "bob", "carol", "eve"]
    assert [channel.name for channel in channels_of(state, state.users["U0EVE"])] == ["shared"]
    assert [channel.name for channel in channels_of(state, state.users["U0CAROL"])] == ["incidents"]


def test_an_author_is_never_taken_from_what_a_bot_calls_itself_alone(state: WorkspaceState, channel: Channel) -> None:
    posing = state.post(
        channel, Message(channel=channel.id, ts="", text="x", bot_id="B0ALERTMANAGER", username="alice")
    )
    assert author(posing, state).badge == "APP"
    assert author(posing, state).id == "B0ALERTMANAGER"
