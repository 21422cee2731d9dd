"""What the gym runs: single faults, pairs, decoys and healthy labs, in an order that a seed decides."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

from bot.domain.facts import Rung

Kind = Literal["single", "pair", "decoy", "healthy"]
RUNS_PER_QUIET_LAB = 4
CNIS = ("calico-vxlan", "flannel-vxlan", "cilium-tunnel")


@dataclass(frozen=True, slots=True, kw_only=True)
class GymFault:
    """A fault as `cnibot lab faults` lists it; `cause` is what a right verdict names ("" for a decoy)."""

    id: str
    letter: str
    cnis: tuple[str, ...]
    scope: str
    cause: str
    also: tuple[str, ...] = ()
    """Causes that a right verdict may name instead: the same state in other words."""

    @property
    def is_decoy(self) -> bool:
        """Whether it only looks guilty."""
        return not self.cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One lab to break and to diagnose."""

    kind: Kind
    cni: str
    faults: tuple[GymFault, ...] = ()
    nodes: tuple[str, ...] = ()
    """The node to break with each fault ("" lets the lab choose)."""
    runs: int = 1
    """How often to diagnose: a state that must stay quiet is asked again."""

    @property
    def id(self) -> str:
        """Stable: "calico-vxlan: calico-proxy-arp-off + pmtu-black-hole"."""
        return f"{self.cni}: {' + '.join(fault.id for fault in self.faults) or 'healthy'}"

    def diagnoses(self, rungs: Sequence[Rung]) -> list[Rung]:
        """What to diagnose on: a fault on each rung, pairs and labs that must stay quiet on the highest alone."""
        is_single = self.runs == 1 and self.kind in {"single", "decoy"}
        return list(rungs) if is_single else [max(rungs, key=list(Rung).index)] * self.runs


def singles(faults: Iterable[GymFault]) -> Iterator[Case]:
    """Each fault on each CNI that can have it."""
    for fault in faults:
        for cni in fault.cnis:
            kind: Kind = "decoy" if fault.is_decoy else "single"
            yield Case(kind=kind, cni=cni, faults=(fault,), nodes=("",))


def pairs(faults: Sequence[GymFault], *, most: int, seed: int) -> tuple[Case, ...]:
    """Two independent faults at once: different causes, the first on node-1, the second on node-2."""
    possible = [
        Case(kind="pair", cni=cni, faults=(one, other), nodes=("node-1", "node-2"))
        for cni in CNIS
        for one, other in combinations([f for f in faults if cni in f.cnis and not f.is_decoy], 2)
        if one.cause != other.cause and "cluster" not in {one.scope, other.scope}
    ]
    return tuple(random.Random(seed).sample(possible, min(most, len(possible))))


def healthy(runs: int) -> Iterator[Case]:
    """Nothing broken, on each CNI in turn."""
    for number, wanted in enumerate(_shared(runs)):
        yield Case(kind="healthy", cni=CNIS[number % len(CNIS)], runs=wanted)


def decoys_only(faults: Sequence[GymFault], *, runs: int, seed: int) -> Iterator[Case]:
    """One to three decoys at once and nothing broken."""
    chance = random.Random(seed)
    for number, wanted in enumerate(_shared(runs)):
        cni = CNIS[number % len(CNIS)]
        possible = [fault for fault in faults if fault.is_decoy and cni in fault.cnis]
        chosen = tuple(chance.sample(possible, min(len(possible), chance.randint(1, 3))))
        yield Case(kind="decoy", cni=cni, faults=chosen, nodes=("",) * len(chosen), runs=wanted)


def _shared(runs: int) -> Iterator[int]:
    """Runs, by lab."""
    for first in range(0, runs, RUNS_PER_QUIET_LAB):
        yield min(RUNS_PER_QUIET_LAB, runs - first)


def shuffled(faults: Sequence[GymFault], *, singles_wanted: int, decoys_wanted: int, seed: int) -> tuple[Case, ...]:
    """A sample for CI: faults, each with a decoy in every other case, and labs with decoys only."""
    chance = random.Random(seed)
    broken = [case for case in singles(faults) if case.kind == "single"]
    chosen = [
        _with_decoy(case, faults, chance) if number % 2 else case
        for number, case in enumerate(chance.sample(broken, min(singles_wanted, len(broken))))
    ]
    quiet = chain.from_iterable(decoys_only(faults, runs=1, seed=seed + number) for number in range(decoys_wanted))
    cases = [*chosen, *quiet]
    chance.shuffle(cases)
    return tuple(cases)


def _with_decoy(case: Case, faults: Sequence[GymFault], chance: random.Random) -> Case:
    possible = [fault for fault in faults if fault.is_decoy and case.cni in fault.cnis]
    if not possible:
        return case
    decoy = chance.choice(possible)
    if decoy.letter[:1] == case.faults[0].letter[:1]:
        return case  # policies add up: one that allows everything undoes one that denies
    return Case(kind="single", cni=case.cni, faults=(*case.faults, decoy), nodes=(*case.nodes, ""))
