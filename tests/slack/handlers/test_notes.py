"""What people say in an incident's thread, and the whole story of one."""

from __future__ import annotations

import json
import time

from bot.domain.incident import Incident
from bot.incidents.alerting.quiet import QUIET_S
from bot.incidents.chronicle import chronicle
from bot.render.incidents import encoded, post_mortem
from tests.slack.handlers.conftest import HERE, Office, healthy
from tests.slack.handlers.test_firing import only, pass_time, ready, sent
from tests.slack.handlers.test_watching import Clock
from tests.slack.waiting import until


async def say(office: Office, text: str, who: str = "alice") -> None:
    """In the thread of the only incident, to the bot."""
    (root,) = office.roots()
    ts = await office.ws.user(who).say(HERE, f"<@{office.ws.bot_user_id}> {text}", root.ts)
    await until(lambda: any(entry.body.get("event", {}).get("ts") == ts for entry in office.handled))


async def kinds(office: Office, incident: Incident) -> list[str]:
    return [one.kind for one in (await chronicle(office.store, incident.id)).timeline]


async def test_a_note_stands_in_the_timeline(office: Office) -> None:
    await office.diagnosed()
    await say(office, "note restarted calico-node by hand")

    found = await chronicle(office.store, (await only(office)).id)
    assert [(one.kind, one.text, one.by) for one in found.timeline if one.kind == "note"] == [
        ("note", "restarted calico-node by hand", "U0ALICE")
    ]
    assert "Note: restarted calico-node by hand, by U0ALICE" in post_mortem(found)


async def test_somebody_takes_care_of_it_while_it_is_diagnosed_again(office: Office) -> None:
    _, verdict = await office.diagnosed()
    office.gate.shut()
    await office.alice.click(HERE, verdict.ts, "cni_rerun")
    await until(lambda: office.gate.waiting > 0)
    await say(office, "assign <@U0BOB>")
    office.gate.open()
    await office.verdict(office.roots()[0].ts, 2)
    await office.quiet()

    assert (await only(office)).assignee == "U0BOB"
    assert "taken care of by <@U0BOB>" in office.roots()[0].text
    await say(office, "assign nobody")
    await office.ws.until(lambda: "taken care of" not in office.roots()[0].text)


async def test_beside_a_thread_there_is_nothing_to_note(office: Office) -> None:
    await office.ws.user("alice").say(HERE, f"<@{office.ws.bot_user_id}> note lost")
    await office.whispered("alice", "belongs into the thread of an open incident")


async def test_who_may_not_say_anything_notes_nothing(office: Office) -> None:
    await office.diagnosed()
    await say(office, "note mine", "carol")

    assert "note" not in await kinds(office, await only(office))
    await office.whispered("carol", "Not allowed")


async def test_the_life_of_an_incident(office: Office) -> None:
    """From the alert to its end: each stage by its name, each event once, in order."""
    await sent(office, ready("a"))
    incident = await only(office)
    found = await chronicle(office.store, incident.id)
    assert found.phase == "diagnosed"

    office.recordings["shop"] = healthy()
    await sent(office, ready("a", "resolved"))
    await pass_time(office, Clock(time.time()), QUIET_S + 300)

    found = await chronicle(office.store, incident.id)
    assert found.phase == "resolved"
    assert [one.kind for one in found.timeline if not one.kind.startswith("alert")] == [
        "opened", "run", "verdict", "run", "verdict", "closed",
    ]  # fmt: skip
    assert {one.kind for one in found.timeline} >= {"alert-fired", "alert-ended"}
    assert found.found is not None
    assert found.found.verdict.cause == "calico-proxy-arp-off"

    text = post_mortem(found)
    assert text.startswith("# Post-mortem (draft): ")
    assert "Run: diagnosis to verify the end of all alerts, by an alert" in text
    for title in ("## Timeline", "## Impact", "## Cause: ", "## Actions", "## Follow-ups"):
        assert title in text
    whole = json.loads(encoded(found))
    assert (whole["schema"], whole["phase"], whole["incident"]["id"]) == ("cnibot.incident/v1", "resolved", incident.id)
    assert whole["found"]["verdict"]["cause"] == "calico-proxy-arp-off"
