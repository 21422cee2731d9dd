"""The published accuracy is about the lab and the causes as they are now: `make gym` was run after ids changed."""

from pathlib import Path

import pytest

from bot.diagnosis.knowledge import load_knowledge
from bot.gym.cases import singles
from bot.gym.generated.generate import named
from bot.gym.generated.results import load as load_generated
from bot.gym.page import summary
from bot.gym.results import Results, load
from bot.gym.run import RUNGS, lab_faults

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "accuracy.json"
AGAIN = "run make gym"


@pytest.fixture(scope="module")
def figures() -> Results:
    return load(FIGURES)


def test_every_fault_of_the_lab_has_figures_on_each_rung_and_no_other(figures: Results) -> None:
    alone = [score for score in figures.scores if score.kind in {"single", "decoy"} and " + " not in score.case]
    wanted = {(case.id, str(rung)) for case in singles(lab_faults()) for rung in RUNGS}

    assert {(score.case, score.rung) for score in alone} == wanted, AGAIN


def test_what_was_expected_is_what_the_lab_breaks(figures: Results) -> None:
    causes = {fault.id: fault.cause for fault in lab_faults()}

    for score in figures.scores:
        faults = score.case.partition(": ")[2].split(" + ")
        expected = tuple(causes[fault] for fault in faults if fault != "healthy" and causes[fault])
        assert score.expected == expected, AGAIN


def test_every_cause_named_still_exists(figures: Results) -> None:
    known = {cause.id for cause in load_knowledge().causes}

    assert {score.verdict for score in figures.scores if score.verdict} <= known, AGAIN


def test_the_targets_are_met_over_enough_cases(figures: Results) -> None:
    total = summary(figures.scores)

    assert total.misses == ()
    assert total.singles >= 60
    assert total.pairs >= 40
    assert total.quiet >= 200


def test_every_published_id_still_draws_the_scenario_that_was_measured() -> None:
    run = load_generated(FIGURES.with_name("accuracy-generated.json"))

    assert sum(one.is_scored for one in run.results) >= 30
    for one in run.results:
        again = named(one.id)
        drawn = (one.mechanism, one.place, one.selector, one.direction)
        assert (again.mechanism, again.place, again.selector, again.direction) == drawn, AGAIN


def test_each_rung_names_more_causes_than_the_one_below_it(figures: Results) -> None:
    """Else its permissions buy nothing."""
    named = [sum(score.is_top1 for score in figures.scores if score.rung == rung) for rung in RUNGS]

    assert named == sorted(set(named))
