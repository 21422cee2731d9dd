"""Alertmanager's own messages and its webhook: either alone, both in either order, edits and ends."""

from __future__ import annotations

import dataclasses

import pytest

from bot.alerts.extractors import Extractor, Template
from bot.incidents.alerting.intake import AlertIntake
from bot.incidents.alerting.reconciling import Reconciler
from bot.lab.slack import AlertGroup
from bot.lab.slack.message import Message
from bot.slack.router import Router
from tests.incidents.alerting.listing import api, listed, peer
from tests.slack.handlers.conftest import HERE, Opened, Rig, healthy
from tests.slack.handlers.test_firing import only, ready, send, sent

ALERTS = "C0ALERTS"
LABELS = {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a", "severity": "warning"}
GROUP = AlertGroup(group_labels={"namespace": "shop"}, common_labels=LABELS)


@pytest.fixture
async def rig(open_rig: Opened) -> Rig:
    """A bot that listens in #alerts, too, and waits for nothing."""
    found = await open_rig()
    listening(found)
    return found


def listening(rig: Rig, **changes: object) -> None:
    rig.services = dataclasses.replace(rig.services, alert_channels=frozenset({ALERTS}), anchor_wait_s=0.0, **changes)
    rig.router = Router(rig.services)


async def heard(rig: Rig) -> None:
    await rig.heard("message")
    await rig.quiet()


def under(rig: Rig, ts: str) -> list[Message]:
    """The bot's messages in a thread of #alerts."""
    return [each for each in rig.ws.thread(ALERTS, ts) if each.user == rig.ws.bot_user_id]


def signs(rig: Rig, ts: str) -> list[str]:
    """The bot's reactions on a message in #alerts."""
    message = rig.ws.message(ALERTS, ts)
    assert message is not None
    return [name for name, users in message.reactions.items() if rig.ws.bot_user_id in users]


def cards(rig: Rig, ts: str) -> list[str]:
    return [each.text for each in under(rig, ts) if "firing," in each.text]


async def test_a_message_alone_is_diagnosed_in_its_own_thread(rig: Rig) -> None:
    ts = await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)

    incident = await only(rig)
    assert (incident.channel, incident.thread, incident.namespace) == (ALERTS, ts, "shop")
    assert any("cni_details" in each.action_ids for each in under(rig, ts))
    (card,) = cards(rig, ts)
    assert "KubePodNotReady" in card
    assert rig.roots() == []


async def test_the_alert_itself_shows_how_it_stands_from_its_beginning_to_its_end(rig: Rig) -> None:
    """Nobody need open the thread for it."""
    rig.gate.shut()
    ts = await rig.ws.alertmanager.notify(GROUP)
    await rig.ws.until(lambda: rig.gate.waiting)
    await rig.ws.until(lambda: signs(rig, ts) == ["eyes"])
    rig.gate.open()
    await rig.quiet()
    assert signs(rig, ts) == ["red_circle"]

    rig.recordings["shop"] = healthy()
    await rig.ws.alertmanager.notify(dataclasses.replace(GROUP, status="resolved"))
    await rig.ws.until(lambda: "0 firing, 1 ended" in cards(rig, ts)[0])
    await rig.quiet()
    assert signs(rig, ts) == ["black_circle"]


async def test_the_webhook_after_the_message_joins_it(rig: Rig) -> None:
    ts = await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)
    await sent(rig, ready("a"))

    incident = await only(rig)
    assert (incident.thread, incident.run) == (ts, 1)
    assert rig.roots() == []


async def test_the_message_after_the_webhook_tells_where_the_incident_is(rig: Rig) -> None:
    await sent(rig, ready("a"))
    ts = await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)

    (incident,) = await rig.store.incidents.open_ones()
    assert (incident.channel, incident.thread, incident.run) == (HERE, None, 1)
    (card,) = cards(rig, ts)
    assert "It is likely the network" in card
    assert "Open the incident" in card
    assert "*Who:*" in card
    assert "*Do now:*" in card
    (message,) = under(rig, ts)
    assert message.action_ids == ["cni_details", "cni_not_it"]
    assert signs(rig, ts) == ["red_circle"]


async def test_both_at_the_same_moment_are_one_incident(open_rig: Opened) -> None:
    rig = await open_rig()
    listening(rig, takes_webhook=True)
    rig.services = dataclasses.replace(rig.services, anchor_wait_s=5.0)
    rig.router = Router(rig.services)
    ts = await rig.ws.alertmanager.notify(GROUP)
    await send(rig, ready("a"))
    await heard(rig)

    incident = await only(rig)
    assert incident.run == 1
    assert len(cards(rig, ts)) == 1
    found = (await rig.store.alerts.of(incident.id)).alerts
    assert [each.name for each in found] == ["KubePodNotReady"]


async def test_a_resolved_message_ends_what_a_message_began(rig: Rig) -> None:
    ts = await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)
    rig.recordings["shop"] = healthy()
    await rig.ws.alertmanager.notify(dataclasses.replace(GROUP, status="resolved"))
    await rig.ws.until(lambda: "0 firing, 1 ended" in cards(rig, ts)[0])
    await rig.quiet()

    assert "*Ended* after" in cards(rig, ts)[0]
    assert (await only(rig)).status == "healthy"


async def test_an_edited_message_ends_what_it_began(rig: Rig) -> None:
    """As `update_message: true` has it."""
    ts = await rig.ws.alertmanager.notify_as_bot(GROUP)
    await heard(rig)
    rig.recordings["shop"] = healthy()
    await rig.ws.alertmanager.notify_as_bot(dataclasses.replace(GROUP, status="resolved"), update_ts=ts)
    await rig.ws.until(lambda: "0 firing, 1 ended" in cards(rig, ts)[0])
    await rig.quiet()

    assert "*Ended* after" in cards(rig, ts)[0]


async def test_further_messages_of_a_group_join(rig: Rig) -> None:
    ts = await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)
    again = await rig.ws.alertmanager.notify(dataclasses.replace(GROUP, count=4))
    await rig.ws.until(lambda: cards(rig, again))
    await rig.quiet()

    assert (await only(rig)).run == 1
    assert "Open the incident" in cards(rig, again)[0]
    assert "Open the incident" not in cards(rig, ts)[0]


async def test_alerts_of_another_sender_are_read_by_example(open_rig: Opened) -> None:
    looks = Extractor(
        firing=(Template("PROBLEM: {alertname} in {namespace}"),),
        resolved=(Template("OK: {alertname} in {namespace}"),),
    )
    rig = await open_rig(extractors={ALERTS: looks})
    listening(rig)
    ts = await rig.ws.alertmanager.say("PROBLEM: HttpPing in shop")
    await heard(rig)
    await rig.ws.until(lambda: cards(rig, ts))
    assert (await only(rig)).namespace == "shop"

    await rig.ws.alertmanager.say("OK: HttpPing in shop")
    await rig.ws.until(lambda: "Alertmanager says resolved, cnibot does not" in "".join(cards(rig, ts)))


async def test_other_channels_and_what_people_write_is_left_alone(rig: Rig) -> None:
    await rig.alice.say(ALERTS, GROUP.title)
    listening(rig)
    rig.services = dataclasses.replace(rig.services, alert_channels=frozenset({"C0OTHER"}))
    rig.router = Router(rig.services)
    await rig.ws.alertmanager.notify(GROUP)
    await heard(rig)

    assert await rig.store.incidents.open_ones() == ()
    assert rig.roots() == []


async def test_a_message_that_names_nothing_known_says_so_under_it(rig: Rig) -> None:
    labels = {"alertname": "ProbeFailed", "instance": "10.99.0.1:443"}
    ts = await rig.ws.alertmanager.notify(AlertGroup(group_labels={"alertname": "ProbeFailed"}, common_labels=labels))
    await heard(rig)

    assert "which this cluster does not have" in under(rig, ts)[0].text
    assert signs(rig, ts) == ["white_circle"]


async def test_what_the_message_does_not_name_is_looked_up(rig: Rig) -> None:
    """Without labels' names a pod is any word; Alertmanager knows which."""
    words = {"alertname": "LatencyHigh", "team": "checkout", "severity": "warning"}
    group = AlertGroup(group_labels={"alertname": "LatencyHigh"}, common_labels=words)
    async with peer(listed("LatencyHigh", team="checkout", severity="warning", namespace="shop", pod="a")) as one:
        reconciler = Reconciler(
            alertmanagers=(api(one),),
            intake=AlertIntake(rig.store.inbox, rig.services.service.clusters),
            seen=rig.store.seen_alerts,
        )
        listening(rig, reconciler=reconciler)
        ts = await rig.ws.alertmanager.notify(group)
        await heard(rig)

        incident = await only(rig)
        assert (incident.channel, incident.thread, incident.namespace) == (ALERTS, ts, "shop")
        (card,) = cards(rig, ts)
        assert "`pod shop/a`" in card

        again = await rig.ws.alertmanager.notify(group)  # repeat_interval has passed
        await rig.ws.until(lambda: cards(rig, again))
        assert "Open the incident" in cards(rig, again)[0]

        one.alerts.clear()
        rig.recordings["shop"] = healthy()
        await rig.ws.alertmanager.notify(dataclasses.replace(group, status="resolved"))
        await rig.ws.until(lambda: "*Ended* after" in cards(rig, ts)[0])
