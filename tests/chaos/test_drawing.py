"""What seeds mean, and what the page says of them."""

from __future__ import annotations

import json

from tests.architecture.tree import ROOT
from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.scenario import FAULTS_AT_ONCE, TO_MEET_ALL, drawn


def test_a_seed_is_always_the_same_scenario() -> None:
    assert all(drawn(seed) == drawn(seed) for seed in (0, TO_MEET_ALL, 10**6))


def test_the_first_seeds_meet_every_fault() -> None:
    assert {injection.fault for seed in range(TO_MEET_ALL) for injection in drawn(seed).injections} == set(FAULTS)


def test_a_drawn_scenario_has_faults_of_different_families() -> None:
    for seed in range(TO_MEET_ALL, TO_MEET_ALL + 50):
        assert len({injection.fault.family for injection in drawn(seed).injections}) == FAULTS_AT_ONCE


def test_the_page_tells_of_every_fault_and_of_no_broken_promise() -> None:
    results = json.loads((ROOT / "docs" / "chaos.json").read_text(encoding="utf-8"))["results"]

    assert {fault for result in results for fault in result["faults"]} == set(map(str, FAULTS))
    assert [result["broken"] for result in results if result["broken"]] == []
