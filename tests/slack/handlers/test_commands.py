"""Commands that answer the caller alone."""

from __future__ import annotations

import pytest

from tests.slack.handlers.conftest import HERE, Office, Opened


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "/cni diagnose NAMESPACE"),
        ("help", "/cni watch NAMESPACE"),
        ("status", "2 of 2 connections"),
        ("incidents", "There are no open incidents"),
        ("playbooks", "namespace"),
        ("known-issues", "calico-8689"),
        ("known-issues CALICO-8689", "8689"),
        ("known-issues calico-868", "Did you mean `/cni known-issues calico-8689"),
        ("diagnos shop", "Did you mean `/cni diagnose shop`"),
        ("diagnose", "Which namespace?"),
        ("diagnose shop cluster moon", "There is no cluster 'moon'"),
        ("<!channel> &lt;!here&gt;", "There is no command"),
    ],
)
async def test_an_answer_is_for_the_caller_alone(text: str, part: str, office: Office) -> None:
    await office.alice.slash(HERE, "/cni", text)

    answer = await office.whispered("alice", part)
    await office.quiet()
    assert "<!" not in answer
    assert office.roots() == []


async def test_incidents_are_listed_with_their_threads(office: Office) -> None:
    ts, _ = await office.diagnosed()
    await office.alice.slash(HERE, "/cni", "incidents")

    assert office.ws.permalink(HERE, ts) in await office.whispered("alice", "Open incidents")


async def test_status_says_which_cluster_does_not_answer(open_office: Opened) -> None:
    office = await open_office(clusters=("lab", "eu"))
    office.unreachable.add("eu")
    await office.alice.slash(HERE, "/cni", "status")

    told = await office.whispered("alice", "Cluster eu")
    assert "refuses connections" in told


async def test_the_second_cluster_is_diagnosed_by_name(open_office: Opened) -> None:
    office = await open_office(clusters=("lab", "eu"))
    _, verdict = await office.diagnosed("diagnose shop cluster EU")

    assert "shop on eu" in verdict.text


async def test_what_a_bot_says_is_not_listened_to(office: Office) -> None:
    event = {"type": "app_mention", "bot_id": "B1", "user": "U0ALICE", "channel": HERE, "ts": "1.1", "text": "help"}
    assert await office.store.inbox.accept("Ev1", "event", {"event": event})

    await office.quiet()
    assert office.alice.whispers() == []


async def test_a_mention_without_words_shows_help(office: Office) -> None:
    await office.alice.say(HERE, office.ws.mention)

    await office.whispered("alice", "/cni diagnose NAMESPACE")
