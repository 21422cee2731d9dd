"""The gym's results as a page and as figures."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.gym.generated.page import section
from bot.gym.generated.results import GeneratedResults
from bot.gym.results import Results, in_days
from bot.gym.score import Score

TARGETS = {"single": 0.97, "pair": 0.90, "hop": 1.0}
MEDIAN_S, P95_S = 3.0, 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of one run, on the agent rung unless said otherwise."""

    cases: int
    singles: int
    singles_top1: int
    pairs: int
    pairs_complete: int
    hops: int
    hops_right: int
    quiet: int
    """Healthy and decoy-only labs."""
    false_alarms: int
    overclaimed: int
    """On any rung."""
    wrong_known_issues: int
    look_alikes: int
    look_alikes_refuted: int
    median_s: float
    p95_s: float
    exec_calls_median: float

    @property
    def misses(self) -> tuple[str, ...]:
        """Which targets of accuracy are missed, in words; none when all is well. Seconds depend on the machine."""
        shares = (
            ("single faults named right", self.singles_top1, self.singles, TARGETS["single"]),
            ("pairs of faults both named", self.pairs_complete, self.pairs, TARGETS["pair"]),
            ("hops right", self.hops_right, self.hops, TARGETS["hop"]),
        )
        few = [
            f"{what}: {_share(part, whole)} of at least {100 * target:.0f} %"
            for what, part, whole, target in shares
            if part < target * whole
        ]
        none = (
            ("false alarms in healthy and decoy-only labs", self.false_alarms),
            ("confirmed without sufficient evidence", self.overclaimed),
            ("known issues wrongly matched", self.wrong_known_issues),
        )
        return (*few, *(f"{what}: {count}, none is allowed" for what, count in none if count))


def summary(scores: Sequence[Score], *, rung: str = "agent") -> Summary:
    """The figures of these scores."""
    here = [score for score in scores if score.rung == rung]
    single = [score for score in here if score.kind == "single"]
    pair = [score for score in here if score.kind == "pair"]
    quiet = [score for score in here if score.kind in {"healthy", "decoy"}]
    times = sorted(score.took_s for score in here)
    return Summary(
        cases=len(here),
        singles=len(single),
        singles_top1=sum(score.is_top1 for score in single),
        pairs=len(pair),
        pairs_complete=sum(score.is_complete for score in pair),
        hops=len(single) + len(pair),
        hops_right=sum(score.is_hop_right for score in (*single, *pair)),
        quiet=len(quiet),
        false_alarms=sum(not score.is_top1 for score in quiet),
        overclaimed=sum(score.is_overclaimed for score in scores),
        wrong_known_issues=sum(len(score.wrong_known_issues) for score in here),
        look_alikes=sum(score.look_alikes for score in single),
        look_alikes_refuted=sum(score.look_alikes_refuted for score in single),
        median_s=statistics.median(times) if times else 0.0,
        p95_s=times[min(len(times) - 1, int(0.95 * len(times)))] if times else 0.0,
        exec_calls_median=statistics.median(score.exec_calls for score in here) if here else 0.0,
    )


def page(results: Results, generated: GeneratedResults | None = None) -> str:
    """`docs/accuracy.md`: generated faults first; then the lab's own: the figures, each case, each miss."""
    return "\n".join(_lines(results, generated)) + "\n"


def _lines(results: Results, generated: GeneratedResults | None) -> Iterator[str]:
    scores, machine = results.scores, results.machine
    total = summary(scores)
    yield "# Accuracy"
    yield ""
    if generated:
        yield from section(generated)
        yield "## The lab's own list of faults"
        yield ""
        yield "Rules and this list grew together: its figures say that nothing got lost, not how the rules generalise."
        yield ""
    yield "Each case is a fresh lab on real kernel networking with three nodes, broken by a real change; the bot"
    yield "is given no hint. The agent rung is what `cnibot diagnose` uses when it may. Taken by"
    yield f"`{results.command}`"
    yield f"on a machine with {machine.cpus} CPUs, Linux {machine.kernel} and Python {machine.python},"
    yield f"on {in_days(one.taken_on for one in scores)}."
    yield ""
    yield "| figure | value | target |"
    yield "|---|---|---|"
    single, pair = (f"{100 * TARGETS[kind]:.0f} %" for kind in ("single", "pair"))
    yield f"| single faults: right cause first | {_share(total.singles_top1, total.singles)} | {single} |"
    yield f"| two faults at once: both named | {_share(total.pairs_complete, total.pairs)} | {pair} |"
    yield f"| hop right | {_share(total.hops_right, total.hops)} | 100 % |"
    yield f"| false alarms in healthy and decoy-only labs | {total.false_alarms} of {total.quiet} | 0 |"
    yield f"| confirmed without sufficient evidence, on any rung | {total.overclaimed} | 0 |"
    yield f"| look-alikes refuted by evidence | {_share(total.look_alikes_refuted, total.look_alikes)} | |"
    yield f"| known issues wrongly matched | {total.wrong_known_issues} | 0 |"
    yield f"| seconds to the verdict, median | {total.median_s:.1f} | {MEDIAN_S:.0f} |"
    yield f"| seconds to the verdict, 95th percentile | {total.p95_s:.1f} | {P95_S:.0f} |"
    yield f"| execs into the cluster, median | {total.exec_calls_median:g} | 3: one a node |"
    yield ""
    yield from _by_rung(scores)
    yield from _cases([score for score in scores if score.rung == "agent"])


def _by_rung(scores: Sequence[Score]) -> Iterator[str]:
    yield "## What lower rungs can still tell"
    yield ""
    yield "| rung | right cause first | inconclusive | wrong cause | hop right |"
    yield "|---|---|---|---|---|"
    for rung in dict.fromkeys(score.rung for score in scores):
        here = [score for score in scores if score.rung == rung and score.kind in {"single", "pair"}]
        right = sum(score.is_top1 for score in here)
        silent = sum(not score.verdict for score in here)
        hops = _share(sum(score.is_hop_right for score in here), len(here))
        yield f"| {rung} | {_share(right, len(here))} | {silent} | {len(here) - right - silent} | {hops} |"
    yield ""


def _cases(scores: Sequence[Score]) -> Iterator[str]:
    yield "## Cases"
    yield ""
    yield "| case | expected | verdict | confidence | right | hop | s |"
    yield "|---|---|---|---|---|---|---|"
    grouped: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.kind, score.case].append(score)
    for _, same in sorted(grouped.items()):
        first = next((score for score in same if not score.is_top1), same[0])
        expected = ", ".join(first.expected) or "nothing"
        verdict = first.verdict or first.status
        times = f" ({len(same)} runs)" if len(same) > 1 else ""
        right = "yes" if all(s.is_top1 and (s.kind != "pair" or s.is_complete) for s in same) else "**no**"
        hop = "yes" if all(s.is_hop_right for s in same) else "**no**"
        median = statistics.median(s.took_s for s in same)
        yield f"| {first.case}{times} | {expected} | {verdict} | {first.confidence} | {right} | {hop} | {median:.1f} |"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "not run"
