"""A probe: one question about the network, the facts that answer it, and how they are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.domain.access import Need
from bot.domain.facts import FactBuilder, FactSpec, FactTable
from bot.domain.finding import Finding
from bot.probes.engine.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question. Both functions are pure: same evidence, same facts, same findings.

    `observe` reads the evidence of whatever rungs delivered it and fills the probe's own facts; what it cannot see it
    records with `FactBuilder.miss`. `judge` reads facts only (also those of other probes) and states findings: FAIL
    with a `Symptom` for what does not work, INCONCLUSIVE for what could not be observed, PASS only on evidence.
    """

    name: str
    question: str
    facts: tuple[FactSpec, ...]
    needs: tuple[Need, ...] = ()
    observe: Callable[[Evidence, FactBuilder], None]
    judge: Callable[[FactTable], Sequence[Finding]]
