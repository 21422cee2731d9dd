"""What the gym counts as right, and what it runs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diagnosis.knowledge import load_knowledge
from bot.domain.report import (
    CauseReport,
    Coverage,
    FindingReport,
    KnownIssueReport,
    LookAlike,
    Report,
    ReportScope,
    Verdict,
)
from bot.gym.cases import CNIS, Case, GymFault, decoys_only, healthy, pairs, shuffled, singles
from bot.gym.page import page, summary
from bot.gym.results import Results, this_machine
from bot.gym.score import Answers, Score, score

PROXY_ARP = GymFault(
    id="calico-proxy-arp-off", letter="G1", cnis=("calico-vxlan",), scope="node", cause="calico-proxy-arp-off"
)
NO_DEFAULT = GymFault(
    id="node-default-route-missing", letter="G2", cnis=CNIS, scope="node", cause="node-default-route-missing"
)
DECOY = GymFault(id="leftover-cni0", letter="", cnis=CNIS, scope="node", cause="")


@pytest.fixture(scope="module")
def answers() -> Answers:
    causes = {cause.id: cause for cause in load_knowledge().causes}
    return Answers(causes=causes, issues={"calico-3270": frozenset({"node-default-route-missing"})})


def report(
    cause: str | None, *, status: str = "broken", hop: str | None = "gateway", more: tuple[str, ...] = ()
) -> Report:
    named = tuple(
        CauseReport(id=each, title=each, confidence="confirmed", hop="gateway", explains=("gateway-silent pod a/b",))
        for each in ((cause,) if cause else ()) + more
    )
    failed = FindingReport(probe="p", subject="s", severity="fail", sentence="no answer")
    return Report(
        scope=ReportScope(cluster="lab", namespace="seldon-mesh"),
        started_at="2026-01-01T00:00:00Z",
        took_s=2.0,
        verdict=Verdict(status=status, cause=cause, confidence="confirmed" if cause else None, hop=hop),  # type: ignore[arg-type]
        causes=named,
        findings=(failed,) if status != "healthy" else (),
        coverage=Coverage(access="agent", nodes_observed=3, nodes_total=3, pods_observed=4, pods_total=4),
    )


def scored(faults: tuple[GymFault, ...], of: Report, answers: Answers, *, rung: str = "agent") -> Score:
    kind = (
        "pair" if len(faults) > 1 else "decoy" if faults and faults[0].is_decoy else "single" if faults else "healthy"
    )
    case = Case(kind=kind, cni="calico-vxlan", faults=faults, nodes=("",) * len(faults))
    return score(case, rung, of, answers)


def test_the_right_cause_on_the_right_hop_counts(answers: Answers) -> None:
    got = scored((PROXY_ARP,), report("calico-proxy-arp-off"), answers)

    assert (got.is_top1, got.is_complete, got.is_hop_right, got.is_overclaimed) == (True, True, True, False)


def test_a_wrong_cause_called_confirmed_is_overclaimed(answers: Answers) -> None:
    got = scored((PROXY_ARP,), report("node-default-route-missing"), answers)

    assert (got.is_top1, got.is_overclaimed) == (False, True)


def test_confirming_from_a_rung_that_cannot_see_it_is_overclaimed(answers: Answers) -> None:
    assert scored((PROXY_ARP,), report("calico-proxy-arp-off"), answers, rung="api").is_overclaimed


def test_another_wording_of_the_same_state_is_accepted_where_the_fault_says_so(answers: Answers) -> None:
    either = replace(PROXY_ARP, also=("node-default-route-missing",))

    assert scored((either,), report("node-default-route-missing"), answers).is_top1


def test_a_pair_is_complete_only_when_both_are_named(answers: Answers) -> None:
    both = (PROXY_ARP, NO_DEFAULT)
    one = scored(both, report("calico-proxy-arp-off"), answers)
    two = scored(both, report("calico-proxy-arp-off", more=("node-default-route-missing",)), answers)

    assert (one.is_top1, one.is_complete) == (True, False)
    assert two.is_complete


def test_any_cause_or_failure_in_a_decoy_lab_is_a_false_alarm(answers: Answers) -> None:
    assert scored((DECOY,), report(None, status="healthy", hop=None), answers).is_top1
    assert not scored((DECOY,), report("calico-proxy-arp-off"), answers).is_top1
    assert not scored((DECOY,), report(None, status="inconclusive", hop="dns"), answers).is_top1


def test_a_consequence_is_no_overclaim_beside_its_cause_and_one_without(answers: Answers) -> None:
    follows = "service-no-ready-endpoints"

    assert not scored((PROXY_ARP,), report("calico-proxy-arp-off", more=(follows,)), answers).is_overclaimed
    assert scored((PROXY_ARP,), report(follows), answers).is_overclaimed
    assert scored((PROXY_ARP,), report("calico-proxy-arp-off", more=("pod-eth0-down",)), answers).is_overclaimed


def test_a_known_issue_about_another_cause_is_counted_as_wrong(answers: Answers) -> None:
    issue = KnownIssueReport(id="calico-3270", match="matches")
    got = scored((PROXY_ARP,), replace(report("calico-proxy-arp-off"), known_issues=(issue,)), answers)

    assert got.wrong_known_issues == ("calico-3270",)


def test_the_page_names_every_miss(answers: Answers) -> None:
    scores = [
        scored((PROXY_ARP,), report("calico-proxy-arp-off"), answers),
        scored((NO_DEFAULT,), report("calico-proxy-arp-off"), answers),
    ]

    text = page(Results(command="make gym", machine=this_machine(), scores=tuple(scores)))

    assert "| single faults: right cause first | 1 of 2 (50.0 %) | 97 % |" in text
    assert "node-default-route-missing | calico-proxy-arp-off | confirmed | **no** |" in text
    assert summary(scores).misses == (
        "single faults named right: 1 of 2 (50.0 %) of at least 97 %",
        "hops right: 1 of 2 (50.0 %) of at least 100 %",
        "confirmed without sufficient evidence: 1, none is allowed",
    )
    assert not summary(scores[:1]).misses


def test_healthy_labs_take_the_data_planes_in_turn() -> None:
    assert [(case.cni, case.runs) for case in healthy(14)] == [*((cni, 4) for cni in CNIS), (CNIS[0], 2)]


@given(seed=st.integers(0, 1000), wanted=st.integers(0, 10))
def test_a_seed_decides_everything(seed: int, wanted: int) -> None:
    faults = (PROXY_ARP, NO_DEFAULT, DECOY)
    one = shuffled(faults, singles_wanted=wanted, decoys_wanted=wanted, seed=seed)

    assert one == shuffled(faults, singles_wanted=wanted, decoys_wanted=wanted, seed=seed)
    assert all(len(case.faults) == len(case.nodes) for case in one)


@given(seed=st.integers(0, 1000))
def test_a_decoy_never_stands_beside_a_fault_of_its_own_family(seed: int) -> None:
    denies = GymFault(id="denies", letter="N3", cnis=CNIS, scope="cluster", cause="network-policy-denies")
    allows = GymFault(id="allows", letter="N1", cnis=CNIS, scope="cluster", cause="")

    for case in shuffled((denies, allows), singles_wanted=3, decoys_wanted=0, seed=seed):
        assert case.faults == (denies,)


def test_pairs_have_different_causes_and_different_nodes() -> None:
    for case in pairs((PROXY_ARP, NO_DEFAULT, DECOY), most=9, seed=1):
        assert len({fault.cause for fault in case.faults}) == 2
        assert len(set(case.nodes)) == 2


def test_every_fault_runs_on_each_data_plane_that_can_have_it() -> None:
    cases = list(singles((PROXY_ARP, NO_DEFAULT, DECOY)))

    assert [(case.kind, case.cni, case.faults[0].id) for case in cases] == [
        ("single", "calico-vxlan", "calico-proxy-arp-off"),
        *(("single", cni, "node-default-route-missing") for cni in CNIS),
        *(("decoy", cni, "leftover-cni0") for cni in CNIS),
    ]
    assert all(fault.is_decoy for case in decoys_only((PROXY_ARP, DECOY), runs=9, seed=1) for fault in case.faults)


def test_a_look_alike_counts_as_refuted_by_its_value_not_by_its_words(answers: Answers) -> None:
    """The published figure falls when a refutation is missing."""
    names = [one.cause for one in answers.causes["calico-proxy-arp-off"].look_alikes]
    reported = report("calico-proxy-arp-off")

    def refuted(by: tuple[bool, ...]) -> tuple[int, int]:
        likenesses = tuple(
            LookAlike(cause=name, is_refuted=is_refuted) for name, is_refuted in zip(names, by, strict=True)
        )
        lead = replace(reported.causes[0], likenesses=likenesses)
        got = scored((PROXY_ARP,), replace(reported, causes=(lead,)), answers)
        return got.look_alikes_refuted, got.look_alikes

    every = tuple(True for _ in names)
    assert refuted(every) == (len(names), len(names))
    assert refuted((False, *every[1:])) == (len(names) - 1, len(names))
