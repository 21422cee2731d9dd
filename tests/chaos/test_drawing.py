"""What seeds mean, and what the page says of them."""

from __future__ import annotations

import json

import pytest

from tests.architecture.tree import ROOT
from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.scenario import FAULTS_AT_ONCE, MOST_OF_A_LIFE, TO_MEET_ALL, drawn, lives


def test_a_seed_is_always_the_same_scenario() -> None:
    assert all(drawn(seed) == drawn(seed) for seed in (0, TO_MEET_ALL, 10**6))


def test_the_first_seeds_meet_every_fault() -> None:
    assert {injection.fault for seed in range(TO_MEET_ALL) for injection in drawn(seed).injections} == set(FAULTS)


def test_a_drawn_scenario_has_faults_of_different_families() -> None:
    for seed in range(TO_MEET_ALL, TO_MEET_ALL + 50):
        assert len({injection.fault.family for injection in drawn(seed).injections}) == FAULTS_AT_ONCE


@pytest.mark.parametrize("seeds", [range(TO_MEET_ALL), range(1000, 1050), range(5, 6)])
def test_each_seed_is_played_in_one_life(seeds: range) -> None:
    found = lives(seeds)

    assert sorted(scenario.seed for life in found for scenario in life.scenarios) == list(seeds)
    assert all(len(life.scenarios) <= MOST_OF_A_LIFE for life in found)


def test_whose_store_is_the_bots_own_is_not_the_one_that_fails() -> None:
    found = lives(range(TO_MEET_ALL))

    assert {life.has_own_store for life in found} == {True, False}
    assert not any(scenario.is_store_faulty for life in found if life.has_own_store for scenario in life.scenarios)


def test_lives_are_played_with_pictures_and_without() -> None:
    assert {life.has_pictures for life in lives(range(TO_MEET_ALL))} == {True, False}


def test_the_page_tells_of_every_fault_and_of_no_broken_promise() -> None:
    results = json.loads((ROOT / "docs" / "chaos.json").read_text(encoding="utf-8"))["results"]

    assert {fault for result in results for fault in result["faults"]} == set(map(str, FAULTS))
    assert [result["broken"] for result in results if result["broken"]] == []
