"""What a seed means: who asks what when, and what fails when, for how long; and which seeds share a bot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.faults.fault import Fault
from tests.chaos.requests import Kind, Request

NAMESPACES = ("seldon-mesh", "mlflow", "shop")
KINDS: tuple[Kind, ...] = ("command", "command", "mention", "alert")
ASKED_WITHIN_S = 4.0
FAULTS_AT_ONCE = 4
TO_MEET_ALL = -(-len(FAULTS) // FAULTS_AT_ONCE)
"""So many seeds."""
LASTS_S, LONGER_S = (1.0, 6.0), (1.0, 20.0)
"""How long a fault lasts: in the seeds that CI plays, and in all others."""
MOST_OF_A_LIFE = 5
"""Scenarios: a start of bot, lab and workspace costs as much CPU as one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault, from when on, and for how long."""

    fault: Fault
    at_s: float
    lasts_s: float
    seed: int
    """Of what the fault draws itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One seed's."""

    seed: int
    requests: tuple[Request, ...]
    injections: tuple[Injection, ...]

    @property
    def afterwards(self) -> str:
        """The channel in which it is seen whether the bot still works."""
        return f"afterwards{self.seed}"

    @property
    def channels(self) -> tuple[str, ...]:
        """Of the workspace, beside those that are always there."""
        return (*(each.channel for each in self.requests), self.afterwards)

    @property
    def is_store_faulty(self) -> bool:
        """Whether one of its faults is the store's."""
        return any(injection.fault.family == "store" for injection in self.injections)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Scenarios that one bot goes through, one after the other."""

    scenarios: tuple[Scenario, ...]

    @property
    def has_own_store(self) -> bool:
        """The bot starts its redis-server itself."""
        return not any(each.is_store_faulty for each in self.scenarios)

    @property
    def has_pictures(self) -> bool:
        """The bot's installation has matplotlib: one in three, for drawing takes more time than all the rest."""
        return self.scenarios[0].seed % 3 == 1

    @property
    def seeds(self) -> str:
        """As `make chaos SEED="3 7"` takes them."""
        return " ".join(str(each.seed) for each in self.scenarios)


def _faults(seed: int, chance: Random) -> list[Fault]:
    """The first seeds meet every fault; others draw theirs, from as many families."""
    if seed < TO_MEET_ALL:
        return list(FAULTS[seed::TO_MEET_ALL])
    families = chance.sample(sorted({each.family for each in FAULTS}), FAULTS_AT_ONCE)
    return [chance.choice([each for each in FAULTS if each.family == family]) for family in families]


def drawn(seed: int) -> Scenario:
    """Always the same."""
    chance = Random(seed)
    kinds: list[Kind] = [chance.choice(KINDS) for _ in range(chance.randint(1, 3))]
    requests = [
        Request(kind, f"{kind}{seed}x{number}", namespace, chance.uniform(0.0, ASKED_WITHIN_S))
        for number, (kind, namespace) in enumerate(zip(kinds, chance.sample(NAMESPACES, len(kinds)), strict=True))
        if kind != "alert" or "alert" not in kinds[:number]
    ]
    injections = [
        Injection(
            fault=fault,
            at_s=chance.uniform(0.0, ASKED_WITHIN_S),
            lasts_s=chance.uniform(*(LASTS_S if seed < TO_MEET_ALL else LONGER_S)),
            seed=chance.getrandbits(32),
        )
        for fault in _faults(seed, chance)
    ]
    return Scenario(seed=seed, requests=tuple(requests), injections=tuple(injections))


def lives(seeds: Iterable[int]) -> list[Life]:
    """Few lives for all these seeds: those with faults of the store, then those whose store is the bot's own."""
    scenarios = [drawn(seed) for seed in seeds]
    faulty = [each for each in scenarios if each.is_store_faulty]
    others = [each for each in scenarios if not each.is_store_faulty]
    return [Life(scenarios=part) for kind in (faulty, others) for part in _parts(kind)]


def _parts(scenarios: Sequence[Scenario]) -> list[tuple[Scenario, ...]]:
    """As equal as they can be, for as many processes play them."""
    number = -(-len(scenarios) // MOST_OF_A_LIFE)
    return [tuple(scenarios[first::number]) for first in range(number)]
