"""The buttons under a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store import Entry
from tests.slack.handlers.conftest import HERE, Office, healthy


async def with_button(office: Office, channel: str, action_id: str, value: str = "") -> str:
    """A message of the bot's with one button, as another version may have left it."""
    button = {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "Press"}}
    blocks = [{"type": "actions", "elements": [button | ({"value": value} if value else {})]}]
    client: Any = office.services.client
    answer = await client.chat_postMessage(channel=channel, text="old", blocks=blocks)
    return str(answer["ts"])


async def test_details_show_everything_in_a_window(office: Office) -> None:
    _, verdict = await office.diagnosed()

    await office.alice.click(HERE, verdict.ts, "cni_details")

    _, words = await office.modal("alice", "Ruled out")
    assert "calico-proxy-arp-off" in words


async def test_a_guest_who_presses_details_is_told_in_the_window_why_not(office: Office) -> None:
    _, verdict = await office.diagnosed()

    await office.ws.user("carol").click(HERE, verdict.ts, "cni_details")

    _, words = await office.modal("carol", "Guests may not use cnibot")
    assert "proxy-arp" not in words


async def test_a_rerun_goes_on_in_the_thread_and_closes_what_is_mended(office: Office) -> None:
    ts, verdict = await office.diagnosed()
    office.recordings["shop"] = healthy()

    await office.ws.user("bob").click(HERE, verdict.ts, "cni_rerun")

    again = await office.verdict(ts, count=2)
    assert "HEALTHY" in again.text
    await office.said("Nothing is wrong now", ts)
    await office.quiet()
    assert await office.store.incidents.open_ones() == ()
    assert office.ws.user("bob").whispers() == []


async def test_a_rerun_of_a_closed_incident_that_finds_something_opens_it_again(office: Office) -> None:
    ts, verdict = await office.diagnosed("diagnose payments")
    await office.quiet()
    office.recordings["payments"] = office.recordings["shop"]

    await office.alice.click(HERE, verdict.ts, "cni_rerun")

    assert "BROKEN" in (await office.verdict(ts, count=2)).text
    await office.quiet()
    (incident,) = await office.store.incidents.open_ones()
    assert (incident.run, incident.status) == (2, "broken")
    assert "BROKEN" in office.ws.thread(HERE, ts)[0].text


async def test_a_report_is_shared_once(office: Office) -> None:
    ts, verdict = await office.diagnosed()

    await office.pick("alice", verdict, "cni_share")
    shared = await office.said("Shared by <@U0ALICE>")
    assert office.ws.permalink(HERE, ts) in shared.text
    await office.ws.until(lambda: any(one.files for one in office.ws.thread(HERE, shared.ts)))
    await office.pick("bob", verdict, "cni_share")

    await office.whispered("bob", "already been shared with the channel")
    await office.quiet()
    assert len(office.roots()) == 2


async def test_not_it_is_recorded_and_said_in_the_thread(office: Office) -> None:
    ts, verdict = await office.diagnosed()

    await office.pick("alice", verdict, "cni_not_it")
    window, _ = await office.modal("alice", "cni_not_it_view")
    await office.alice.submit(window, {"cni_not_it_input": "it was <!channel> the firewall"})

    note = await office.said("says that it is not", ts)
    await office.quiet()
    assert "Doubted by* <@U0ALICE>" in (await office.verdict(ts)).text
    assert "doubted by* <@U0ALICE>" in office.roots()[0].text
    assert "the firewall" in note.text
    assert "<!channel>" not in note.text
    (entry,) = await office.store.feedback.all()
    assert (entry.user, entry.run, entry.text) == ("U0ALICE", 1, "it was <!channel> the firewall")


async def test_an_unknown_button_is_answered(office: Office) -> None:
    ts = await with_button(office, HERE, "cni_approve_everything", "x")

    await office.alice.click(HERE, ts, "cni_approve_everything")

    await office.whispered("alice", "no longer works")


@pytest.mark.parametrize("value", ["inc-00000000:1", "nonsense", ""])
async def test_a_button_whose_incident_is_forgotten_is_answered(value: str, office: Office) -> None:
    ts = await with_button(office, HERE, "cni_rerun", value)

    await office.alice.click(HERE, ts, "cni_rerun")

    await office.whispered("alice", "no longer kept")


async def test_a_button_counts_only_in_the_channel_of_its_incident(office: Office) -> None:
    await office.diagnosed()
    (incident,) = await office.store.incidents.open_ones()
    ts = await with_button(office, "C0ALERTS", "cni_rerun", f"{incident.id}:1")

    await office.alice.click("alerts", ts, "cni_rerun")

    await office.whispered("alice", "another channel", "alerts")


async def test_a_window_that_cannot_be_opened_in_time_is_owned_up_to(office: Office) -> None:
    body = {
        "type": "block_actions",
        "user": {"id": "U0ALICE"},
        "channel": {"id": HERE},
        "container": {"channel_id": HERE, "message_ts": "1.1"},
        "trigger_id": "1.2.expired",
        "actions": [{"action_id": "cni_details", "value": "inc-00000000:1"}],
    }
    await office.router.handle(Entry(id="9-9", kind="action", body=body, received_at=0, attempt=2))

    await office.whispered("alice", "Press the button again")
