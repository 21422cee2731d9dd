"""Commands that answer the caller alone."""

from __future__ import annotations

import pytest

from tests.slack.handlers.conftest import HERE, Opened, Rig


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
async def test_an_answer_is_for_the_caller_alone(text: str, part: str, rig: Rig) -> None:
    await rig.alice.slash(HERE, "/cni", text)

    answer = await rig.shown_only_to("alice", part)
    await rig.quiet()
    assert "<!" not in answer
    assert rig.roots() == []


async def test_incidents_are_listed_with_their_threads(rig: Rig) -> None:
    ts, _ = await rig.diagnosed()
    await rig.alice.slash(HERE, "/cni", "incidents")

    assert rig.ws.permalink(HERE, ts) in await rig.shown_only_to("alice", "Open incidents")


async def test_status_says_which_cluster_does_not_answer(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("lab", "eu"))
    rig.unreachable.add("eu")
    await rig.alice.slash(HERE, "/cni", "status")

    reported = await rig.shown_only_to("alice", "Cluster eu")
    assert "refuses connections" in reported


async def test_the_second_cluster_is_diagnosed_by_name(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("lab", "eu"))
    _, verdict = await rig.diagnosed("diagnose shop cluster EU")

    assert "shop on eu" in verdict.text


async def test_what_a_bot_says_is_not_listened_to(rig: Rig) -> None:
    event = {"type": "app_mention", "bot_id": "B1", "user": "U0ALICE", "channel": HERE, "ts": "1.1", "text": "help"}
    assert await rig.store.inbox.accept("Ev1", "event", {"event": event})

    await rig.quiet()
    assert rig.alice.ephemerals() == []


async def test_a_mention_without_words_shows_help(rig: Rig) -> None:
    await rig.alice.say(HERE, rig.ws.mention)

    await rig.shown_only_to("alice", "/cni diagnose NAMESPACE")
