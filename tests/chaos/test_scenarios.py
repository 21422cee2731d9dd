"""Seeded chaos: people ask while everything around the bot fails, and nothing that was promised breaks."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.chaos.play import play
from tests.chaos.scenario import TO_MEET_ALL, drawn
from tests.chaos.system import BrokenLab

pytestmark = [pytest.mark.lab, pytest.mark.long]

WHOLE_S = 600.0
"""A scenario that takes longer hangs."""
SHORT = range(TO_MEET_ALL)


def seeds() -> list[int]:
    """Those of CHAOS_SEEDS; else the short list, always the same, or the first CHAOS_FIRST of it."""
    named = [int(each) for each in os.environ.get("CHAOS_SEEDS", "").split()]
    first = os.environ.get("CHAOS_FIRST")
    return named or list(SHORT)[: int(first) if first else None]


@pytest.mark.parametrize("seed", seeds())
async def test_everything_promised_holds(seed: int, broken_lab: BrokenLab) -> None:
    async with asyncio.timeout(WHOLE_S):
        result = await play(drawn(seed), broken_lab)

    assert result.broken == [], f"\nmake chaos SEED={seed}\n{result.faults}\n{result.story}"
