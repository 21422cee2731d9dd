"""The generator: (seed, data plane) to a scenario, always the same one."""

import importlib
import pkgutil
from functools import cache
from itertools import groupby
from random import Random

import bot.gym.generated.mechanisms as package
from bot.domain.errors import ConfigurationError
from bot.gym.generated.draw import CNIS, MECHANISMS, Draw, Mechanism, an_edge, as_scenario
from bot.gym.generated.scenario import Scenario

FAMILY_WEIGHTS = {
    "netfilter": 8,
    "route": 5,
    "queue": 3,
    "neighbour": 3,
    "kernel": 2,
    "link": 2,
    "dns": 2,
    "object": 4,
}
LATER_SHARES = {"sandbox": 0.04, "translation": 0.1}
"""Families that came later are drawn first, by a chance of their own: the ids of all others keep their meaning."""
LATER_DECOYS = {"rewriting-meets-nothing": 0.1}
"""Likewise decoys."""


@cache
def mechanisms() -> tuple[Mechanism, ...]:
    """Every mechanism and decoy, by family and id."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(MECHANISMS.values(), key=lambda one: (one.family, one.id)))


def scenario(seed: int, cni: str) -> Scenario:
    """The fault of this seed on this data plane."""
    chance = Random(f"fault/{cni}/{seed}")
    family = chance.choices(list(FAMILY_WEIGHTS), weights=list(FAMILY_WEIGHTS.values()))[0]
    for later, share in LATER_SHARES.items():
        if Random(f"{later}/{cni}/{seed}").random() < share:
            family = later
    return _composed(chance, [one for one in _of(cni) if one.family == family], seed, cni)


def decoy(seed: int, cni: str) -> Scenario:
    """The decoy of this seed on this data plane."""
    chance = Random(f"decoy/{cni}/{seed}")
    possible = [one for one in _of(cni) if one.family == "decoy" and one.id not in LATER_DECOYS]
    for later, share in LATER_DECOYS.items():
        if Random(f"{later}/{cni}/{seed}").random() < share:
            possible = [MECHANISMS[later]]
    return _composed(chance, possible, seed, cni)


def named(name: str) -> Scenario:
    """The scenario of an id. Errors: `ConfigurationError` for what is none."""
    cni, _, number = name.partition("/")
    seed = number.removeprefix("decoy-")
    if cni not in CNIS or not seed.isdecimal():
        raise ConfigurationError(f"The scenario {name}", f"one is called CNI/SEED or CNI/decoy-SEED, CNI {CNIS}")
    return (decoy if number.startswith("decoy-") else scenario)(int(seed), cni)


def plan(faults: int, decoys: int, *, seed: int, cnis: tuple[str, ...] = CNIS) -> tuple[Scenario, ...]:
    """So many of each, on the data planes in turn, ordered so that one lab of each suffices."""
    drawn = [scenario(seed + number, cnis[number % len(cnis)]) for number in range(faults)]
    drawn += [decoy(seed + number, cnis[number % len(cnis)]) for number in range(decoys)]
    grouped = groupby(sorted(drawn, key=lambda one: cnis.index(one.cni)), key=lambda one: one.cni)
    return tuple(one for cni, some in grouped for one in _mixed(list(some), f"{seed}/{cni}"))


def _mixed(some: list[Scenario], seed: str) -> list[Scenario]:
    """Decoys between the faults."""
    Random(seed).shuffle(some)
    return some


def _of(cni: str) -> list[Mechanism]:
    return [one for one in mechanisms() if cni in one.cnis]


def _composed(chance: Random, possible: list[Mechanism], seed: int, cni: str) -> Scenario:
    found = chance.choices(possible, weights=[one.weight for one in possible])[0]
    draw = Draw(chance, cni, an_edge(chance, is_remote=found.is_remote))
    return as_scenario(found, found.compose(draw), draw, seed)
