"""Before and after: what the probes say of a change, with the matrix of directions and its latency."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.plan import Baseline, Recheck, Ways
from bot.domain.report import Connectivity, FindingReport, Report
from bot.remediation.verification import ANSWERS, baseline_of, compared, judged, rechecked, ways_words
from tests.incidents.planning import report


def way(source: str, target: str, state: Any, latency_ms: float | None = None) -> Connectivity:
    return Connectivity(source=source, target=target, state=state, tested=1, failed=0, latency_ms=latency_ms)


def seen(base: Report, *ways: Connectivity) -> Report:
    return replace(base, connectivity=ways)


def test_the_matrix_and_the_latency_are_told_before_and_after() -> None:
    before = seen(report("broken", fails=2), way("a", "b", "failed"), way("b", "a", "ok", 0.30))
    after = seen(report(), way("a", "b", "ok", 0.40), way("b", "a", "ok", 0.50))

    better = compared(baseline_of(before), after)

    assert better.is_better
    assert better.sentence == (
        "Healthy: 0 checks fail, before 2. Directions between nodes: 2 of 2 work (before: 1 of 2). "
        "Work again: a to b. Median latency: 0.45 ms (before: 0.30 ms)."
    )


def test_a_direction_that_nobody_tried_counts_neither_as_working_nor_as_healed() -> None:
    before, now = Ways(tested=("a to b",), failing=("a to b",)), Ways(tested=("b to a",))

    assert ways_words(before, now) == "Directions between nodes: 1 of 1 work (before: 0 of 1)."
    assert ways_words(before, Ways()) == ""


def test_an_unknown_direction_is_not_in_the_baseline() -> None:
    assert baseline_of(seen(report(), way("a", "b", "unknown"))).ways == Ways()


def test_what_still_fails_is_named() -> None:
    after = seen(report("broken", fails=1), way("a", "b", "partial"))

    assert "Fail: a to b." in compared(baseline_of(report("broken", fails=2)), after).sentence


EVERY_WAY = Recheck(expects="every-way", namespace="tests", nodes=("a", "b"))


def test_every_direction_has_to_work_where_that_is_asked() -> None:
    after = seen(report(), way("a", "b", "ok", 0.4), way("b", "a", "ok", 0.6))

    better = judged(EVERY_WAY, Baseline(), after)

    assert (better.is_better, better.sentence) == (
        True,
        "All 2 directions between nodes work, median latency 0.50 ms.",
    )


def test_one_that_fails_is_named_and_one_that_nobody_tried_is_not_known() -> None:
    failing = seen(report(), way("a", "b", "ok"), way("b", "a", "partial"))
    untried = seen(report(), way("a", "b", "ok"), way("b", "a", "unknown"))

    assert judged(EVERY_WAY, Baseline(), failing).is_better is False
    assert "1 of 2 directions between nodes fail: b to a." in judged(EVERY_WAY, Baseline(), failing).sentence
    assert judged(EVERY_WAY, Baseline(), untried).is_better is None
    assert "nobody tried b to a" in judged(EVERY_WAY, Baseline(), untried).sentence


BOTH = (way("a", "b", "ok", 0.30), way("b", "a", "ok", 0.50))
AS_BEFORE = Recheck(expects="as-before", nodes=("a", "b"))


def test_a_direction_in_which_large_packets_vanish_does_not_work() -> None:
    loses = replace(way("b", "a", "ok", 0.5), lost_bytes=1400)

    better = judged(AS_BEFORE, Baseline(), seen(report(), way("a", "b", "ok"), loses))

    assert (better.is_better, better.sentence) == (False, "Large packets vanish in 1 of 2 directions: b to a.")


def test_pods_that_reach_each_other_and_no_service_are_worse_off() -> None:
    better = judged(AS_BEFORE, Baseline(), seen(report("broken", fails=1), *BOTH))

    assert (better.is_better, better.sentence) == (False, "It fails.")


def test_what_failed_before_is_no_reason_to_turn_back() -> None:
    known = Baseline(failing=("probe pod kube-system/coredns",))

    better = judged(AS_BEFORE, known, seen(report("broken", fails=1), *BOTH))

    assert better.is_better
    assert better.sentence == "All 2 directions between nodes work, median latency 0.40 ms."


async def test_one_bad_round_undoes_nothing_and_two_do() -> None:
    bad, good = seen(report(), way("a", "b", "failed"), way("b", "a", "ok")), seen(report(), *BOTH)

    async def after(*rounds: Report) -> Any:
        left = list(rounds)

        async def diagnose() -> Report:
            return left.pop(0)

        better = await rechecked(AS_BEFORE, Baseline(), diagnose, between_s=0)
        return better.is_better, len(left)

    assert await after(good, bad) == (True, 1)
    assert await after(bad, good) == (True, 0)
    assert await after(bad, bad) == (False, 0)


@pytest.mark.parametrize("expects", ["better", "not-worse", "every-way", "as-before"])
def test_every_look_after_a_change_names_the_applications_that_answer_wrongly_and_undoes_nothing_for_them(
    expects: Any,
) -> None:
    wrong = FindingReport(probe=ANSWERS, subject="service shop/web", severity="warn", sentence="shop/web got HTTP 503.")
    after = seen(report(), way("a", "b", "ok", 0.4), way("b", "a", "ok", 0.6))
    asked = Recheck(expects=expects, namespace="shop", nodes=("a", "b"))
    before = Baseline(status="broken", failing=("pod-link pod shop/a",))

    plain, told = judged(asked, before, after), judged(asked, before, replace(after, findings=(wrong,)))

    assert told.is_better is plain.is_better is True
    assert told.sentence == f"{plain.sentence} Reached, and not answering as they should: service shop/web."
