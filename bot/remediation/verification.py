"""Whether a change helped: the probes that found the fault, before and after it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from bot.domain.errors import BotError
from bot.domain.listing import and_more
from bot.domain.plan import Baseline, Recheck, Ways
from bot.domain.report import Connectivity, Report
from bot.remediation.executor import Better

MOST_WAYS = 4
BETWEEN_ROUNDS_S = 15.0
"""What evicted pods leave behind in connection tables is gone by then."""
ANSWERS = "application-answers"
"""The probe by which applications say that they do not work, though the network carries what they say."""


def baseline_of(report: Report) -> Baseline:
    """What a later report is compared with."""
    return Baseline(
        status=report.verdict.status,
        cause=report.verdict.cause or "",
        failing=failing(report),
        nodes_observed=report.coverage.nodes_observed,
        pods_observed=report.coverage.pods_observed,
        ways=ways_of(report),
        nodes=tuple(sorted({*report.blast_radius.nodes, *report.blast_radius.fault_nodes})),
    )


def ways_of(report: Report) -> Ways:
    """The matrix of directions between nodes, as far as it was tried."""
    tried = [one for one in report.connectivity if one.state != "unknown"]
    times = [one.latency_ms for one in tried if one.state == "ok" and one.latency_ms is not None]
    return Ways(
        tested=tuple(map(_way, tried)),
        failing=tuple(_way(one) for one in tried if one.state != "ok"),
        losing=tuple(_way(one) for one in tried if one.lost_bytes is not None),
        latency_ms=round(median(times), 2) if times else None,
    )


def _way(one: Connectivity) -> str:
    return f"{one.source} to {one.target}"


def ways_words(before: Ways, now: Ways) -> str:
    """Both matrices in sentences, with what changed; "" where nothing was tried afterwards."""
    if not now.tested:
        return ""
    working, worked = (len(one.tested) - len(one.failing) for one in (now, before))
    rows = [
        f"Directions between nodes: {working} of {len(now.tested)} work (before: {worked} of {len(before.tested)})."
    ]
    healed = [one for one in before.failing if one in now.tested and one not in now.failing]
    rows += [f"Work again: {and_more(healed, MOST_WAYS)}."] if healed else []
    rows += [f"Fail: {and_more(now.failing, MOST_WAYS)}."] if now.failing else []
    if now.latency_ms is not None:
        was = f" (before: {before.latency_ms:.2f} ms)" if before.latency_ms is not None else ""
        rows.append(f"Median latency: {now.latency_ms:.2f} ms{was}.")
    return " ".join(rows)


def failing(report: Report) -> tuple[str, ...]:
    """What fails, each once."""
    return tuple(sorted({f"{one.probe} {one.subject}" for one in report.findings if one.severity == "fail"}))


async def rechecked(
    asked: Recheck,
    before: Baseline,
    diagnose: Callable[[], Awaitable[Report]],
    *,
    between_s: float = BETWEEN_ROUNDS_S,
) -> Better:
    """What a diagnosis says that a plan asks for. One bad round undoes no node: there the second one decides."""
    try:
        better = judged(asked, before, await diagnose())
        if better.is_better or asked.expects != "as-before":
            return better
        await asyncio.sleep(between_s)
        return judged(asked, before, await diagnose())
    except BotError as error:
        return Better(is_better=None, sentence=f"No diagnosis could be had afterwards: {error}")


def judged(asked: Recheck, before: Baseline, after: Report) -> Better:
    """What a diagnosis says that a plan asked for, and which applications answer wrongly."""
    if asked.expects == "every-way":
        better = every_way(asked.nodes, ways_of(after))
    elif asked.expects == "as-before":
        better = as_before(asked.nodes, before, after)
    else:
        better = compared(before, after, expects=asked.expects)
    return replace(better, sentence=" ".join(filter(None, (better.sentence, answers_words(after)))))


def every_way(nodes: Sequence[str], now: Ways) -> Better:
    """Whether pods on each of these nodes reach pods on each other one. What was not tried is not known."""
    wanted = [f"{source} to {target}" for source in nodes for target in nodes if source != target]
    failing = [one for one in wanted if one in now.failing]
    untried = [one for one in wanted if one not in now.tested]
    losing = [one for one in wanted if one in now.losing]
    latency = f", median latency {now.latency_ms:.2f} ms" if now.latency_ms is not None else ""
    if failing:
        sentence = f"{len(failing)} of {len(wanted)} directions between nodes fail: {and_more(failing, MOST_WAYS)}."
        return Better(is_better=False, sentence=sentence)
    if losing:
        sentence = f"Large packets vanish in {len(losing)} of {len(wanted)} directions: {and_more(losing, MOST_WAYS)}."
        return Better(is_better=False, sentence=sentence)
    if untried:
        return Better(is_better=None, sentence=f"Not known: nobody tried {and_more(untried, MOST_WAYS)}.")
    return Better(is_better=True, sentence=f"All {len(wanted)} directions between nodes work{latency}.")


def as_before(nodes: Sequence[str], before: Baseline, after: Report) -> Better:
    """Whether they do, and no probe fails that did not fail before: pods that reach pods may reach no Service."""
    ways = every_way(nodes, ways_of(after))
    known = {one.partition(" ")[0] for one in before.failing}
    new = [one for one in after.findings if one.severity == "fail" and one.probe not in known]
    return Better(is_better=False, sentence=new[0].sentence) if ways.is_better and new else ways


def compared(before: Baseline, after: Report, *, expects: Literal["better", "not-worse"] = "better") -> Better:
    """Whether it is as expected now, with the matrices. Who saw less than before cannot tell."""
    better = _judged(before, after, expects=expects)
    said = (better.sentence, ways_words(before.ways, ways_of(after)))
    return replace(better, sentence=" ".join(filter(None, said)))


def answers_words(after: Report) -> str:
    """Which applications are reached and answer wrongly, in a sentence; "" where none does.

    It decides nothing: what was cut off before and starts only now answers wrongly for a while after the best of fixes.
    """
    wrong = [one.subject for one in after.findings if one.probe == ANSWERS and one.severity == "warn"]
    return f"Reached, and not answering as they should: {and_more(sorted(wrong), MOST_WAYS)}." if wrong else ""


def _judged(before: Baseline, after: Report, *, expects: Literal["better", "not-worse"]) -> Better:
    now = failing(after)
    counts = f"{len(now)} checks fail, before {len(before.failing)}"
    if after.verdict.status == "healthy":
        return Better(is_better=True, sentence=f"Healthy: {counts}.")
    seen = after.coverage.nodes_observed
    if seen < before.nodes_observed or after.verdict.status == "inconclusive":
        why = f"{seen} nodes could be inspected, {before.nodes_observed} before; {after.verdict.summary}"
        return Better(is_better=None, sentence=f"Not known: {why}")
    new = sorted(set(now) - set(before.failing))
    named = {cause.id for cause in after.causes if cause.confidence in {"confirmed", "likely"}}
    if new:
        worse = f"Something else fails now: {new[0]}."
    elif expects == "not-worse":
        return Better(is_better=True, sentence=f"Nothing became worse: {counts}.")
    elif before.cause and before.cause in named:
        worse = f"The cause is still there ({before.cause})."
    elif len(now) >= len(before.failing):
        worse = "Nothing became better."
    else:
        return Better(is_better=True, sentence=f"{counts}. What is left: {after.verdict.summary}")
    return Better(is_better=False, sentence=f"{worse} {counts}.")
