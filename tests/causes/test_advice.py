"""Honest advice: safest first, and no new CNI for what a sysctl, a route or a restart cures; the report says so."""

import re
from functools import cache

import pytest

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.domain.report import Verdict
from bot.incidents.verdict import next_steps
from bot.probes.catalogue import FACTS
from bot.render.terminal import MOST
from bot.rules.source import data_directory
from tests.causes.world import Fixture, fixtures

ALL = fixtures()
REPLACING = re.compile(
    r"(replac|chang|switch|exchang)\w* (of )?(the |your |to )?(another )?cni\b|reinstall the cni\b"
    r"|migrat\w* to (cilium|calico|flannel)|(helm|kubectl) (install|apply|delete|uninstall)\b.*(cilium|calico|flannel)",
    re.IGNORECASE,
)


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


@pytest.mark.parametrize("cause", causes(), ids=lambda one: one.id)
def test_every_cause_says_why_the_cni_stays(cause: Cause) -> None:
    assert re.match(r"replacing the CNI (once more )?is not called for(,| before) \w", cause.never)


@pytest.mark.parametrize("cause", causes(), ids=lambda one: one.id)
def test_fixes_are_offered_and_the_safest_comes_first(cause: Cause) -> None:
    risks = [fix.risk for fix in cause.fixes]

    assert risks
    assert risks == sorted(risks)


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_no_report_offers_another_cni_and_each_says_that_it_is_not_called_for(fixture: Fixture) -> None:
    """What is offered at the evidence of each fault, and what stands among the next steps on the first screen."""
    differential = differentiate(causes(), fixture.facts, fixture.symptoms)
    leading = differential.selected[0]
    assert leading.confidence.value != "ruled_out"
    decided = Verdict(status="broken", cause=leading.id, confidence=leading.confidence.value)

    offered = [text for one in differential.selected for fix in one.fixes for text in (fix.why, *fix.commands)]
    steps = next_steps(differential, decided)

    assert offered
    assert [text for text in (*offered, *leading.then) if REPLACING.search(text)] == []
    assert leading.never in steps[:MOST]


@pytest.mark.parametrize(
    "advice",
    [
        "replace the CNI",
        "Switch to another CNI",
        "migrate to Cilium",
        "helm install cilium cilium/cilium",
        "Changing CNI",
    ],
)
def test_the_pattern_knows_such_advice(advice: str) -> None:
    assert REPLACING.search(advice)
