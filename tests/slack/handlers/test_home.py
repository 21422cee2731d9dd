"""The App Home."""

from __future__ import annotations

import json

from tests.slack.handlers.conftest import HERE, Rig


def words(rig: Rig, who: str) -> str:
    view = rig.ws.user(who).home()
    return json.dumps(view.payload, ensure_ascii=False) if view else ""


async def test_it_shows_open_incidents_and_health(rig: Rig) -> None:
    ts, _ = await rig.diagnosed()
    await rig.quiet()
    await rig.alice.open_home()

    shown = await rig.ws.until(lambda: words(rig, "alice"))
    assert rig.ws.permalink(HERE, ts) in shown
    assert "2 of 2 connections" in shown


async def test_a_guest_sees_why_not(rig: Rig) -> None:
    await rig.diagnosed()
    await rig.ws.user("carol").open_home()

    shown = await rig.ws.until(lambda: words(rig, "carol"))
    assert "Guests may not use cnibot" in shown
    assert "shop" not in shown
