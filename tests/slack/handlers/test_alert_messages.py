"""Alertmanager's own messages and its webhook: either alone, both in either order, edits and ends."""

from __future__ import annotations

import dataclasses

import pytest

from bot.incidents.alerting.intake import AlertIntake
from bot.incidents.alerting.reconciling import Reconciler
from bot.lab.slack import AlertGroup
from bot.lab.slack.message import Message
from bot.slack.router import Router
from tests.incidents.alerting.listing import api, listed, peer
from tests.slack.handlers.conftest import HERE, Office, Opened, healthy
from tests.slack.handlers.test_firing import only, ready, send, sent

ALERTS = "C0ALERTS"
LABELS = {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a", "severity": "warning"}
GROUP = AlertGroup(group_labels={"namespace": "shop"}, common_labels=LABELS)


@pytest.fixture
async def office(open_office: Opened) -> Office:
    """A bot that listens in #alerts, too, and waits for nothing."""
    found = await open_office()
    listening(found)
    return found


def listening(office: Office, **changes: object) -> None:
    office.services = dataclasses.replace(
        office.services, alert_channels=frozenset({ALERTS}), anchor_wait_s=0.0, **changes
    )
    office.router = Router(office.services)


async def heard(office: Office) -> None:
    await office.heard("message")
    await office.quiet()


def under(office: Office, ts: str) -> list[Message]:
    """The bot's messages in a thread of #alerts."""
    return [each for each in office.ws.thread(ALERTS, ts) if each.user == office.ws.bot_user_id]


def cards(office: Office, ts: str) -> list[str]:
    return [each.text for each in under(office, ts) if "firing," in each.text]


async def test_a_message_alone_is_diagnosed_in_its_own_thread(office: Office) -> None:
    ts = await office.ws.alertmanager.notify(GROUP)
    await heard(office)

    incident = await only(office)
    assert (incident.channel, incident.thread, incident.namespace) == (ALERTS, ts, "shop")
    assert any("cni_details" in each.action_ids for each in under(office, ts))
    (card,) = cards(office, ts)
    assert "KubePodNotReady" in card
    assert office.roots() == []


async def test_the_webhook_after_the_message_joins_it(office: Office) -> None:
    ts = await office.ws.alertmanager.notify(GROUP)
    await heard(office)
    await sent(office, ready("a"))

    incident = await only(office)
    assert (incident.thread, incident.run) == (ts, 1)
    assert office.roots() == []


async def test_the_message_after_the_webhook_tells_where_the_incident_is(office: Office) -> None:
    await sent(office, ready("a"))
    ts = await office.ws.alertmanager.notify(GROUP)
    await heard(office)

    (incident,) = await office.store.incidents.open_ones()
    assert (incident.channel, incident.thread, incident.run) == (HERE, None, 1)
    (card,) = cards(office, ts)
    assert "It is likely the network" in card
    assert "Open the incident" in card
    assert len(under(office, ts)) == 1


async def test_both_at_the_same_moment_are_one_incident(open_office: Opened) -> None:
    office = await open_office()
    listening(office, takes_webhook=True)
    office.services = dataclasses.replace(office.services, anchor_wait_s=5.0)
    office.router = Router(office.services)
    ts = await office.ws.alertmanager.notify(GROUP)
    await send(office, ready("a"))
    await heard(office)

    incident = await only(office)
    assert incident.run == 1
    assert len(cards(office, ts)) == 1
    found = (await office.store.alerts.of(incident.id)).alerts
    assert [each.name for each in found] == ["KubePodNotReady"]


async def test_a_resolved_message_ends_what_a_message_began(office: Office) -> None:
    ts = await office.ws.alertmanager.notify(GROUP)
    await heard(office)
    office.recordings["shop"] = healthy()
    await office.ws.alertmanager.notify(dataclasses.replace(GROUP, status="resolved"))
    await office.ws.until(lambda: "0 firing, 1 ended" in cards(office, ts)[0])
    await office.quiet()

    assert "*Ended* after" in cards(office, ts)[0]
    assert (await only(office)).status == "healthy"


async def test_an_edited_message_ends_what_it_began(office: Office) -> None:
    """As `update_message: true` has it."""
    ts = await office.ws.alertmanager.notify_as_bot(GROUP)
    await heard(office)
    office.recordings["shop"] = healthy()
    await office.ws.alertmanager.notify_as_bot(dataclasses.replace(GROUP, status="resolved"), update_ts=ts)
    await office.ws.until(lambda: "0 firing, 1 ended" in cards(office, ts)[0])
    await office.quiet()

    assert "*Ended* after" in cards(office, ts)[0]


async def test_further_messages_of_a_group_join(office: Office) -> None:
    ts = await office.ws.alertmanager.notify(GROUP)
    await heard(office)
    again = await office.ws.alertmanager.notify(dataclasses.replace(GROUP, count=4))
    await office.ws.until(lambda: cards(office, again))
    await office.quiet()

    assert (await only(office)).run == 1
    assert "Open the incident" in cards(office, again)[0]
    assert "Open the incident" not in cards(office, ts)[0]


async def test_other_channels_and_what_people_write_is_left_alone(office: Office) -> None:
    await office.alice.say(ALERTS, GROUP.title)
    listening(office)
    office.services = dataclasses.replace(office.services, alert_channels=frozenset({"C0OTHER"}))
    office.router = Router(office.services)
    await office.ws.alertmanager.notify(GROUP)
    await heard(office)

    assert await office.store.incidents.open_ones() == ()
    assert office.roots() == []


async def test_a_message_that_names_nothing_known_says_so_under_it(office: Office) -> None:
    labels = {"alertname": "ProbeFailed", "instance": "10.99.0.1:443"}
    ts = await office.ws.alertmanager.notify(
        AlertGroup(group_labels={"alertname": "ProbeFailed"}, common_labels=labels)
    )
    await heard(office)

    assert "which this cluster does not have" in under(office, ts)[0].text


async def test_what_the_message_does_not_name_is_looked_up(office: Office) -> None:
    """Without labels' names a pod is any word; Alertmanager knows which."""
    words = {"alertname": "LatencyHigh", "team": "checkout", "severity": "warning"}
    group = AlertGroup(group_labels={"alertname": "LatencyHigh"}, common_labels=words)
    async with peer(listed("LatencyHigh", team="checkout", severity="warning", namespace="shop", pod="a")) as one:
        reconciler = Reconciler(
            alertmanagers=(api(one),),
            intake=AlertIntake(office.store.inbox, office.services.service.clusters),
            seen=office.store.seen_alerts,
        )
        listening(office, reconciler=reconciler)
        ts = await office.ws.alertmanager.notify(group)
        await heard(office)

        incident = await only(office)
        assert (incident.channel, incident.thread, incident.namespace) == (ALERTS, ts, "shop")
        (card,) = cards(office, ts)
        assert "`pod shop/a`" in card

        again = await office.ws.alertmanager.notify(group)  # repeat_interval has passed
        await office.ws.until(lambda: cards(office, again))
        assert "Open the incident" in cards(office, again)[0]

        one.alerts.clear()
        office.recordings["shop"] = healthy()
        await office.ws.alertmanager.notify(dataclasses.replace(group, status="resolved"))
        await office.ws.until(lambda: "*Ended* after" in cards(office, ts)[0])
