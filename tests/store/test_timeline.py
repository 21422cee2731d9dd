"""The timeline: what happened, once, in order, bounded."""

from __future__ import annotations

import pytest

from bot.domain.incident import TimelineEvent
from bot.store import Store, timeline


def event(at: float, text: str = "") -> TimelineEvent:
    return TimelineEvent(at=at, kind="note", text=text, by="U0ALICE")


async def test_an_event_is_kept_once_and_events_are_in_order(store: Store) -> None:
    assert await store.timeline.add("inc-1", "b", event(2))
    assert await store.timeline.add("inc-1", "a", event(1, "first"))
    assert not await store.timeline.add("inc-1", "a", event(3, "again"))

    assert await store.timeline.of("inc-1") == (event(1, "first"), event(2))
    assert await store.timeline.of("inc-2") == ()


async def test_it_has_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MOST", 2)
    kept = [await store.timeline.add("inc-1", str(number), event(number, "x" * 9_000)) for number in range(3)]

    assert kept == [True, True, False]
    assert {len(one.text) for one in await store.timeline.of("inc-1")} == {timeline.MOST_TEXT}
