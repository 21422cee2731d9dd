"""A quiet channel: one reply for each incident, edited, and nobody is mentioned."""

from __future__ import annotations

import dataclasses

import pytest

from bot.lab.slack.message import Message
from bot.slack.outbox import Outbox
from bot.slack.router import Router
from tests.slack.handlers.conftest import HERE, QUICK, Opened, Rig, healthy
from tests.slack.handlers.test_firing import ready, sent


@pytest.fixture
async def rig(open_rig: Opened) -> Rig:
    found = await open_rig()
    # The outbox that runs is another one of the same store: what counts is who puts.
    outbox = Outbox(found.store.outbox, found.services.client, timing=QUICK, quiet_channels=frozenset({HERE}))
    found.services = dataclasses.replace(found.services, quiet_channels=frozenset({HERE}), outbox=outbox)
    found.router = Router(found.services)
    return found


def thread(rig: Rig) -> tuple[Message, list[Message]]:
    (root,) = rig.roots()
    return root, [each for each in rig.ws.thread(HERE, root.ts) if each.ts != root.ts]


async def test_a_question_gets_one_reply_however_often_it_is_asked(rig: Rig) -> None:
    ts, _ = await rig.diagnosed()
    await rig.quiet()
    rig.recordings["shop"] = healthy()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")
    await rig.ws.until(lambda: "HEALTHY" in rig.ws.thread(HERE, ts)[-1].text)
    await rig.quiet()

    root, replies = thread(rig)
    assert len(replies) == 1
    assert replies[0].files == []
    everything = f"{root.text} {root.blocks} {replies[0].text} {replies[0].blocks}"
    assert "U0ALICE" in everything
    assert "<@" not in everything


async def test_an_alert_gets_one_reply_from_its_beginning_to_its_end(rig: Rig) -> None:
    await sent(rig, ready("a"))
    _, (card,) = thread(rig)
    assert "1 firing, 0 ended" in card.text
    assert "Proxy ARP is off" in card.text

    rig.recordings["shop"] = healthy()
    await sent(rig, ready("a", "resolved"))
    await rig.ws.until(lambda: "Checked again" in thread(rig)[1][0].text)
    assert len(thread(rig)[1]) == 1
