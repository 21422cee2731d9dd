"""Slack's own rate limits, on a clock that tests turn."""

from __future__ import annotations

import pytest

from bot.lab.slack.fixtures import furnished
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.rates import Rates
from bot.lab.slack.web_api import METHODS
from bot.lab.slack.workspace_state import WorkspaceState


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rates(clock: Clock, *, strict: bool = True) -> tuple[Rates, WorkspaceState]:
    state = furnished(WorkspaceState(SlackOptions(strict_rates=strict), clock))
    return Rates(state), state


def test_one_post_a_second_after_a_short_burst(clock: Clock) -> None:
    limits, state = rates(clock)
    post = METHODS["chat.postMessage"]
    answers = [limits.exceeded(state.bot_app(), post, "C1") for _ in range(6)]
    assert answers == [None, None, None, None, 1, 1]
    assert limits.exceeded(state.bot_app(), post, "C2") is None, "other channels stay usable"
    clock.now += 1
    assert [limits.exceeded(state.bot_app(), post, "C1") for _ in range(2)] == [None, 1]


def test_tiers_are_per_method_for_all_channels_together(clock: Clock) -> None:
    limits, state = rates(clock)
    update = METHODS["chat.update"]
    answers = [limits.exceeded(state.bot_app(), update, f"C{n}") for n in range(80)]
    assert answers.count(None) == 75, "tier 3 is 50 a minute, with some tolerance"
    assert answers[-1] == 2
    assert limits.exceeded(state.bot_app(), METHODS["reactions.add"], "C1") is None
    clock.now += 60
    assert [limits.exceeded(state.bot_app(), update, "C1") for _ in range(51)].count(None) == 50


def test_each_app_has_its_own_allowance(clock: Clock) -> None:
    limits, state = rates(clock)
    for _ in range(5):
        limits.exceeded(state.bot_app(), METHODS["chat.postMessage"], "C1")
    assert limits.exceeded(state.apps["A0ALERTMANAGER"], METHODS["chat.postMessage"], "C1") is None


def test_no_limits_unless_asked_for(clock: Clock) -> None:
    limits, state = rates(clock, strict=False)
    assert {limits.exceeded(state.bot_app(), METHODS["chat.postMessage"], "C1") for _ in range(100)} == {None}
