"""Each known issue: evidence that brings it up, and evidence that takes it away again.

"Matches" where no probe's sight is lacking; "possible" where a person has to check something that no probe sees. What
rules it out is one change of the same evidence: its cause goes, or its surroundings are others.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.causes.differential import differentiate
from bot.domain.facts import FactTable
from bot.domain.finding import Symptom
from bot.domain.report import KnownIssueReport
from bot.known_issues.match import match
from tests.causes.cluster_facts import FLAVOURS, changed, healthy, subject, symptom, table
from tests.known_issues.test_match import BY_NAME, causes, issues

FIXTURES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "fixtures.yaml").read_bytes())


@cache
def known() -> Mapping[str, Any]:
    return {issue.id: issue for issue in issues()}


def found(issue: str, facts: FactTable, symptoms: tuple[Symptom, ...]) -> KnownIssueReport | None:
    every = match(issues(), facts, differentiate(causes(), facts, symptoms))
    return next((one for one in every if one.id == issue), None)


def evidence(issue: str) -> tuple[FactTable, FactTable, tuple[Symptom, ...]]:
    """The facts that bring an issue up, those that take it away, and the symptoms of both."""
    given = FIXTURES[issue]
    special, away = given.get("seen", {}), given.get("away", {})
    if "symptom" in given:
        values, symptoms = changed(healthy(), special), (symptom(given["symptom"]),)
        return table(values), table(changed(values, away)), symptoms
    fixture = BY_NAME[given["fixture"]]
    values = changed(fixture.values, special)
    return table(values), table(changed(values, away)) if away else fixture.cleared, fixture.symptoms


def test_there_is_a_fixture_for_each_issue_and_no_other() -> None:
    assert sorted(FIXTURES) == sorted(known())


@pytest.mark.parametrize("issue", sorted(known()))
def test_its_evidence_brings_it_up(issue: str) -> None:
    facts, _, symptoms = evidence(issue)

    one = found(issue, facts, symptoms)

    assert one is not None, "it does not come up"
    assert one.match == ("possible" if known()[issue].check else "matches"), one.why
    assert one.why


@pytest.mark.parametrize("issue", sorted(known()))
def test_other_evidence_takes_it_away(issue: str) -> None:
    _, away, symptoms = evidence(issue)

    one = found(issue, away, symptoms)

    assert one is None or one.match == "ruled_out", one.why


@pytest.mark.parametrize("issue", sorted(known()))
def test_a_healthy_cluster_that_shows_the_same_symptoms_does_not_match(issue: str) -> None:
    """The title of an issue and its symptoms are not enough: without its evidence nothing matches."""
    _, _, symptoms = evidence(issue)
    one = found(issue, table(healthy()), symptoms)

    assert one is None or one.match != "matches", one.why


def test_the_founding_fault_brings_up_no_network_manager() -> None:
    """kubespray#7037 is about interfaces that are reset, not about a sysctl that is off."""
    for name in ("calico-proxy-arp-off", "calico-proxy-arp-off-everywhere"):
        fixture = BY_NAME[name]
        assert found("kubespray-7037", fixture.facts, fixture.symptoms) is None


def test_every_subject_of_the_fixtures_exists() -> None:
    """A misspelt subject would change nothing, and a test would prove nothing."""
    there = set(healthy())
    for given in FIXTURES.values():
        assert {subject(name) for name in (*given.get("seen", {}), *given.get("away", {}))} <= there


CLAIMS = (
    "gateway-silent pod shop/a", "pod-isolated pod shop/a", "pod-no-route pod shop/a", "pod-link-down pod shop/a",
    "service-unreachable service shop/s: shop/a>shop/b", "dns-failing cluster: shop/a>kube-system/dns-1",
    "cross-node-unreachable pair node-1>node-2: shop/a>shop/b", "large-packets-lost pair node-1>node-2",
    "outside-unreachable node node-1", "node-unreachable pair node-1>node-2", "pod-without-network pod shop/a",
    "local-pods-unreachable pod shop/a: shop/a>shop/c", "endpoint-unreachable pod shop/b: shop/a>shop/b",
)  # fmt: skip


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("reach", ["timeout", "mixed"])
def test_a_symptom_that_nothing_explains_names_no_issue_by_itself(flavour: str, claim: str, reach: str) -> None:
    """What an issue is about (policies, a cache, a version) must be there: it would be named in every outage."""
    failing: dict[str, dict[str, Any]] = {
        "service shop/s": {"reach": reach, "failing_for": 1},
        "pod shop/a": {"reach_remote_pods": reach, "dns_service": reach, "dns_service_tcp": reach},
        "cluster": {"dns_service_state": reach},
    }
    facts, symptoms = table(changed(healthy(flavour), failing)), (symptom(claim),)

    every = match(issues(), facts, differentiate(causes(), facts, symptoms))

    assert {one.id: one.why for one in every if one.match != "ruled_out"} == {}
