"""The App Home."""

from __future__ import annotations

import json

from tests.slack.handlers.conftest import HERE, Office


def words(office: Office, who: str) -> str:
    view = office.ws.user(who).home()
    return json.dumps(view.payload, ensure_ascii=False) if view else ""


async def test_it_shows_open_incidents_and_health(office: Office) -> None:
    ts, _ = await office.diagnosed()
    await office.quiet()
    await office.alice.open_home()

    shown = await office.ws.until(lambda: words(office, "alice"))
    assert office.ws.permalink(HERE, ts) in shown
    assert "2 of 2 connections" in shown


async def test_a_guest_sees_why_not(office: Office) -> None:
    await office.diagnosed()
    await office.ws.user("carol").open_home()

    shown = await office.ws.until(lambda: words(office, "carol"))
    assert "Guests may not use cnibot" in shown
    assert "shop" not in shown
