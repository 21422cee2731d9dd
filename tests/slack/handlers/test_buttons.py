"""The buttons under a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store import Entry
from tests.slack.handlers.conftest import HERE, Rig, healthy


async def with_button(rig: Rig, channel: str, action_id: str, value: str = "") -> str:
    """A message of the bot's with one button, as another version may have left it."""
    button = {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "Press"}}
    blocks = [{"type": "actions", "elements": [button | ({"value": value} if value else {})]}]
    client: Any = rig.services.client
    answer = await client.chat_postMessage(channel=channel, text="old", blocks=blocks)
    return str(answer["ts"])


async def test_details_show_everything_in_a_window(rig: Rig) -> None:
    _, verdict = await rig.diagnosed()

    await rig.alice.click(HERE, verdict.ts, "cni_details")

    _, words = await rig.modal("alice", "Ruled out")
    assert "calico-proxy-arp-off" in words


async def test_a_guest_who_presses_details_is_told_in_the_window_why_not(rig: Rig) -> None:
    _, verdict = await rig.diagnosed()

    await rig.ws.user("carol").click(HERE, verdict.ts, "cni_details")

    _, words = await rig.modal("carol", "Guests may not use cnibot")
    assert "proxy-arp" not in words


async def test_a_rerun_goes_on_in_the_thread_and_closes_what_is_mended(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()
    rig.recordings["shop"] = healthy()

    await rig.ws.user("bob").click(HERE, verdict.ts, "cni_rerun")

    again = await rig.verdict(ts, count=2)
    assert "HEALTHY" in again.text
    await rig.said("Nothing is wrong now", ts)
    await rig.quiet()
    assert await rig.store.incidents.open_ones() == ()
    assert rig.ws.user("bob").ephemerals() == []


async def test_a_rerun_of_a_closed_incident_that_finds_something_opens_it_again(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed("diagnose payments")
    await rig.quiet()
    rig.recordings["payments"] = rig.recordings["shop"]

    await rig.alice.click(HERE, verdict.ts, "cni_rerun")

    assert "BROKEN" in (await rig.verdict(ts, count=2)).text
    await rig.quiet()
    (incident,) = await rig.store.incidents.open_ones()
    assert (incident.run, incident.status) == (2, "broken")
    assert "BROKEN" in rig.ws.thread(HERE, ts)[0].text


async def test_a_report_is_shared_once(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()

    await rig.pick("alice", verdict, "cni_share")
    shared = await rig.said("Shared by <@U0ALICE>")
    assert rig.ws.permalink(HERE, ts) in shared.text
    await rig.ws.until(lambda: any(one.files for one in rig.ws.thread(HERE, shared.ts)))
    await rig.pick("bob", verdict, "cni_share")

    await rig.shown_only_to("bob", "already been shared with the channel")
    await rig.quiet()
    assert len(rig.roots()) == 2


async def test_not_it_is_recorded_and_said_in_the_thread(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()

    await rig.pick("alice", verdict, "cni_not_it")
    window, _ = await rig.modal("alice", "cni_not_it_view")
    await rig.alice.submit(window, {"cni_not_it_input": "it was <!channel> the firewall"})

    note = await rig.said("says that it is not", ts)
    await rig.quiet()
    assert "Doubted by* <@U0ALICE>" in (await rig.verdict(ts)).text
    assert "doubted by* <@U0ALICE>" in rig.roots()[0].text
    assert "the firewall" in note.text
    assert "<!channel>" not in note.text
    (entry,) = await rig.store.feedback.all()
    assert (entry.user, entry.run, entry.text) == ("U0ALICE", 1, "it was <!channel> the firewall")


async def test_an_unknown_button_is_answered(rig: Rig) -> None:
    ts = await with_button(rig, HERE, "cni_approve_everything", "x")

    await rig.alice.click(HERE, ts, "cni_approve_everything")

    await rig.shown_only_to("alice", "no longer works")


@pytest.mark.parametrize("value", ["inc-00000000:1", "nonsense", ""])
async def test_a_button_whose_incident_is_forgotten_is_answered(value: str, rig: Rig) -> None:
    ts = await with_button(rig, HERE, "cni_rerun", value)

    await rig.alice.click(HERE, ts, "cni_rerun")

    await rig.shown_only_to("alice", "no longer kept")


async def test_a_button_counts_only_in_the_channel_of_its_incident(rig: Rig) -> None:
    await rig.diagnosed()
    (incident,) = await rig.store.incidents.open_ones()
    ts = await with_button(rig, "C0ALERTS", "cni_rerun", f"{incident.id}:1")

    await rig.alice.click("alerts", ts, "cni_rerun")

    await rig.shown_only_to("alice", "another channel", "alerts")


async def test_a_window_that_cannot_be_opened_in_time_is_owned_up_to(rig: Rig) -> None:
    body = {
        "type": "block_actions",
        "user": {"id": "U0ALICE"},
        "channel": {"id": HERE},
        "container": {"channel_id": HERE, "message_ts": "1.1"},
        "trigger_id": "1.2.expired",
        "actions": [{"action_id": "cni_details", "value": "inc-00000000:1"}],
    }
    await rig.router.handle(Entry(id="9-9", kind="action", body=body, received_at=0, attempt=2))

    await rig.shown_only_to("alice", "Press the button again")
