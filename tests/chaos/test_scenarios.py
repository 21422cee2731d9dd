"""Seeded chaos: people ask while everything around the bot fails, and nothing that was promised breaks."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.chaos.play import play
from tests.chaos.scenario import TO_MEET_ALL, Life, drawn, lives
from tests.chaos.system import BrokenLab

pytestmark = [pytest.mark.lab, pytest.mark.long]

WHOLE_S = 600.0
"""A scenario that takes longer hangs."""


def played() -> list[Life]:
    """One life of the seeds of CHAOS_LIFE; else those of CHAOS_SEEDS; else the list that meets every fault."""
    together = tuple(drawn(int(each)) for each in os.environ.get("CHAOS_LIFE", "").split())
    if together:
        return [Life(scenarios=together)]
    named = [int(each) for each in os.environ.get("CHAOS_SEEDS", "").split()]
    return lives(named or range(TO_MEET_ALL))


@pytest.mark.parametrize("life", played(), ids=lambda life: life.seeds.replace(" ", "-"))
async def test_everything_promised_holds(life: Life, broken_lab: BrokenLab) -> None:
    async with asyncio.timeout(WHOLE_S * len(life.scenarios)):
        results = await play(life, broken_lab)

    last = results[-1]
    assert last.broken == [], f'\nmake chaos SEED="{life.seeds}", in seed {last.seed}\n{last.faults}\n{last.story}'
