"""What people say in an incident's thread, and the whole story of one."""

from __future__ import annotations

import json
import time

from bot.domain.incident import Incident
from bot.incidents.alerting.quiet import QUIET_S
from bot.incidents.chronicle import chronicle
from bot.render.incidents import encoded, post_mortem
from tests.slack.handlers.conftest import HERE, Rig, healthy
from tests.slack.handlers.test_firing import only, pass_time, ready, sent
from tests.slack.handlers.test_watching import Clock
from tests.slack.waiting import until


async def say(rig: Rig, text: str, who: str = "alice") -> None:
    """In the thread of the only incident, to the bot."""
    (root,) = rig.roots()
    ts = await rig.ws.user(who).say(HERE, f"<@{rig.ws.bot_user_id}> {text}", root.ts)
    await until(lambda: any(entry.body.get("event", {}).get("ts") == ts for entry in rig.handled))


async def kinds(rig: Rig, incident: Incident) -> list[str]:
    return [one.kind for one in (await chronicle(rig.store, incident.id)).timeline]


async def test_a_note_stands_in_the_timeline(rig: Rig) -> None:
    await rig.diagnosed()
    await say(rig, "note restarted calico-node by hand")

    found = await chronicle(rig.store, (await only(rig)).id)
    assert [(one.kind, one.text, one.by) for one in found.timeline if one.kind == "note"] == [
        ("note", "restarted calico-node by hand", "U0ALICE")
    ]
    assert "Note: restarted calico-node by hand, by U0ALICE" in post_mortem(found)


async def test_somebody_takes_care_of_it_while_it_is_diagnosed_again(rig: Rig) -> None:
    _, verdict = await rig.diagnosed()
    rig.gate.shut()
    await rig.alice.click(HERE, verdict.ts, "cni_rerun")
    await until(lambda: rig.gate.waiting > 0)
    await say(rig, "assign <@U0BOB>")
    rig.gate.open()
    await rig.verdict(rig.roots()[0].ts, 2)
    await rig.quiet()

    assert (await only(rig)).assignee == "U0BOB"
    assert "taken care of by <@U0BOB>" in rig.roots()[0].text
    await say(rig, "assign nobody")
    await rig.ws.until(lambda: "taken care of" not in rig.roots()[0].text)


async def test_beside_a_thread_there_is_nothing_to_note(rig: Rig) -> None:
    await rig.ws.user("alice").say(HERE, f"<@{rig.ws.bot_user_id}> note lost")
    await rig.shown_only_to("alice", "belongs in the thread of an open incident")


async def test_who_may_not_say_anything_notes_nothing(rig: Rig) -> None:
    await rig.diagnosed()
    await say(rig, "note mine", "carol")

    assert "note" not in await kinds(rig, await only(rig))
    await rig.shown_only_to("carol", "Not allowed")


async def test_the_life_of_an_incident(rig: Rig) -> None:
    """From the alert to its end: each stage by its name, each event once, in order."""
    await sent(rig, ready("a"))
    incident = await only(rig)
    found = await chronicle(rig.store, incident.id)
    assert found.phase == "diagnosed"

    rig.recordings["shop"] = healthy()
    await sent(rig, ready("a", "resolved"))
    await pass_time(rig, Clock(time.time()), QUIET_S + 300)

    found = await chronicle(rig.store, incident.id)
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
