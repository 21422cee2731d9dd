"""The figures of generated scenarios: shares with their 95 % intervals, baselines, and what a batch fell on."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.gym.generated.outcome import Result

_Z = 1.959964
"""Two-sided 95 %."""
FAULT_OUTCOMES = ("right", "partly", "honest", "vague", "misled", "healthy", "wrong-confirmed")
DECOY_OUTCOMES = ("quiet", "unsure", "alarm", "wrong-confirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a whole."""

    part: int
    whole: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval, 95 %: it holds for small numbers, and for none and all."""
        return wilson(self.part, self.whole)

    def __str__(self) -> str:
        if not self.whole:
            return "not run"
        low, high = self.interval
        return (
            f"{self.part} of {self.whole} ({100 * self.part / self.whole:.0f} %, {100 * low:.0f} to {100 * high:.0f} %)"
        )


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The bounds of a share; (0, 1) of nothing."""
    if whole == 0:
        return 0.0, 1.0
    share, z2 = part / whole, _Z**2
    centre = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = _Z * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole**2)) / (1 + z2 / whole)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run came to, on one rung."""

    faults: Mapping[str, int]
    """Outcomes of what was shown to be broken."""
    decoys: Mapping[str, int]
    without_effect: int
    not_done: int
    hop: Share
    culprit: Share
    direction: Share
    """Of the faults that affect replies only."""
    flips: Share
    """Of the faults diagnosed twice."""
    wrong_confirmed: tuple[str, ...]
    """The ids, to ask for again."""
    healthy_while_broken: tuple[str, ...]
    median_s: float
    p95_s: float

    @property
    def broken(self) -> int:
        """How many faults count."""
        return sum(self.faults.values())

    def share(self, *outcomes: str) -> Share:
        """How many of the faults had one of these outcomes."""
        return Share(part=sum(self.faults.get(one, 0) for one in outcomes), whole=self.broken)

    @property
    def quiet(self) -> Share:
        """Decoys that nobody blamed."""
        return Share(part=self.decoys.get("quiet", 0) + self.decoys.get("unsure", 0), whole=sum(self.decoys.values()))


def figures(results: Iterable[Result]) -> Figures:
    """The figures of these results, which are of one rung."""
    every = list(results)
    scored = [one for one in every if one.is_scored]
    faults = [one for one in scored if not one.is_decoy]
    replies = [one for one in faults if one.direction == "reply"]
    repeated = [one for one in faults if one.is_repeated]
    times = sorted(one.took_s for one in scored)
    return Figures(
        faults=_counted(faults, FAULT_OUTCOMES),
        decoys=_counted([one for one in scored if one.is_decoy], DECOY_OUTCOMES),
        without_effect=sum(one.outcome == "no effect" for one in every),
        not_done=sum(one.outcome == "not done" for one in every),
        hop=_share(faults, lambda one: one.is_hop_right),
        culprit=_share(faults, lambda one: one.is_culprit_named),
        direction=_share(replies, lambda one: one.is_direction_named),
        flips=_share(repeated, lambda one: bool(one.again)),
        wrong_confirmed=tuple(one.id for one in scored if one.outcome == "wrong-confirmed"),
        healthy_while_broken=tuple(one.id for one in faults if one.outcome == "healthy"),
        median_s=statistics.median(times) if times else 0.0,
        p95_s=times[min(len(times) - 1, int(0.95 * len(times)))] if times else 0.0,
    )


def _counted(results: Sequence[Result], outcomes: Sequence[str]) -> dict[str, int]:
    counted = Counter(one.outcome for one in results)
    return {outcome: counted.get(outcome, 0) for outcome in outcomes}


def _share(results: Sequence[Result], holds: Callable[[Result], bool]) -> Share:
    return Share(part=sum(holds(one) for one in results), whole=len(results))


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a program would reach that looks at less; it knows the answers of this very run, so it is flattered."""

    name: str
    right: Share


def baselines(results: Iterable[Result]) -> tuple[Baseline, ...]:
    """Always the most frequent cause; and the most frequent one for what the alert says."""
    faults = [one for one in results if one.is_scored and not one.is_decoy]
    by_symptom: dict[str, list[Result]] = defaultdict(list)
    for one in faults:
        by_symptom[one.symptom].append(one)
    by_alert = sum(_most(some) for some in by_symptom.values())
    return (
        Baseline(name="always the most frequent cause", right=Share(part=_most(faults), whole=len(faults))),
        Baseline(name="by the alert's words alone", right=Share(part=by_alert, whole=len(faults))),
    )


def _most(results: Sequence[Result]) -> int:
    """How many are right when the cause is named that fits most of them."""
    counted = Counter(cause for one in results for cause in set(one.causes))
    return max(counted.values(), default=0)


def by(results: Iterable[Result], key: Callable[[Result], str]) -> dict[str, Figures]:
    """The figures of each group, sorted by its name."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for one in results:
        groups[key(one)].append(one)
    return {name: figures(groups[name]) for name in sorted(groups)}
