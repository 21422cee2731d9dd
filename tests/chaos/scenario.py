"""What a seed means: who asks what when, and what fails when, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.faults.fault import Fault
from tests.chaos.requests import Kind, Request

NAMESPACES = ("seldon-mesh", "mlflow", "shop")
KINDS: tuple[Kind, ...] = ("command", "command", "mention", "alert")
ASKED_WITHIN_S = 4.0
FAULTS_AT_ONCE = 3
TO_MEET_ALL = -(-len(FAULTS) // FAULTS_AT_ONCE)
"""So many seeds."""
LASTS_S, LONGER_S = (1.0, 6.0), (1.0, 20.0)
"""How long a fault lasts: in the seeds that CI plays, and in all others."""


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
    has_own_store: bool
    """The bot starts its redis-server itself."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Of the workspace, beside those that are always there."""
        return (*(each.channel for each in self.requests if each.kind != "alert"), "afterwards")


def _faults(seed: int, chance: Random) -> list[Fault]:
    """The first seeds meet every fault; others draw theirs, from as many families."""
    if seed < TO_MEET_ALL:
        return [FAULTS[(seed + number * TO_MEET_ALL) % len(FAULTS)] for number in range(FAULTS_AT_ONCE)]
    families = chance.sample(sorted({each.family for each in FAULTS}), FAULTS_AT_ONCE)
    return [chance.choice([each for each in FAULTS if each.family == family]) for family in families]


def drawn(seed: int) -> Scenario:
    """Always the same."""
    chance = Random(seed)
    kinds: list[Kind] = [chance.choice(KINDS) for _ in range(chance.randint(1, 3))]
    requests = [
        Request(kind, "alerts" if kind == "alert" else f"asked{number}", namespace, chance.uniform(0.0, ASKED_WITHIN_S))
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
    is_store_faulty = any(injection.fault.family == "store" for injection in injections)
    return Scenario(
        seed=seed,
        requests=tuple(requests),
        injections=tuple(injections),
        has_own_store=not is_store_faulty and chance.random() < 0.5,
    )
