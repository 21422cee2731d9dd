"""What a differential came to: causes that explain the symptoms, causes ruled out, and what would settle the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bot.domain.facts import Rung, Subject
from bot.domain.finding import Hop, Symptom
from bot.domain.report import CauseReport, Confidence, RemediationReport

_SHOWN_SUBJECTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One cause at all the subjects it concerns, with its reasons as sentences."""

    id: str
    title: str
    taxonomy: tuple[str, ...]
    mechanism: str
    hop: Hop
    confidence: Confidence
    subjects: tuple[Subject, ...]
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()
    unobserved: tuple[str, ...] = ()
    refuted: tuple[str, ...] = ()
    """Look-alikes that the evidence refutes: what it is not, and what shows that."""
    not_refuted: tuple[str, ...] = ()
    """Ids of the look-alikes that nothing refutes."""
    explains: tuple[Symptom, ...] = ()
    fixes: tuple[RemediationReport, ...] = ()
    """Safest first."""
    then: tuple[str, ...] = ()
    """What to do after the fix so that it stays fixed."""
    never: str = ""
    """A drastic step that this cause does not call for, and why not."""
    usual_changes: str = ""
    """What has usually changed before it."""

    def report(self) -> CauseReport:
        """The same as part of a report."""
        likeness = tuple(f"{name} is not refuted by what was observed" for name in self.not_refuted)
        return CauseReport(
            id=self.id,
            title=self.title,
            confidence=self.confidence.value,
            hop=self.hop,
            mechanism=self.mechanism,
            subjects=tuple(str(subject) for subject in self.subjects[:_SHOWN_SUBJECTS]),
            evidence_for=self.evidence_for,
            evidence_against=self.evidence_against,
            unobserved=self.unobserved,
            look_alikes=(*self.refuted, *likeness),
            explains=tuple(f"{symptom.kind} {symptom.subject}" for symptom in self.explains[:_SHOWN_SUBJECTS]),
            usual_changes="" if self.confidence is Confidence.RULED_OUT else self.usual_changes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextObservation:
    """Something not observed that would decide between the remaining causes."""

    fact: str
    """The full name: "node.ip_forward"."""
    subject: Subject
    """One subject to look at; several may need the same look."""
    rung: Rung
    """The least privilege that can see it."""
    look: str
    """How a person observes it, "" when the fact does not say."""
    decides: tuple[str, ...]
    """The causes that it would support, confirm or rule out."""
    why: str = ""
    """Why it was not observed, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differential:
    """All causes held against all facts."""

    selected: tuple[Explanation, ...] = ()
    """The fewest confirmed or likely causes that explain the symptoms, strongest first. Two entries: two faults."""
    alternatives: tuple[Explanation, ...] = ()
    """What remains likely or possible for symptoms that no confirmed cause explains, strongest first."""
    ruled_out: tuple[Explanation, ...] = ()
    """Considered and excluded by evidence; look-alikes of the selected causes first."""
    symptoms: tuple[Symptom, ...] = ()
    unexplained: tuple[Symptom, ...] = ()
    """Symptoms that no selected cause explains (consequences such as pods-not-ready only when nothing else failed)."""
    next_observations: tuple[NextObservation, ...] = ()
    """Cheapest and most telling first."""

    @property
    def is_settled(self) -> bool:
        """Whether every symptom has a confirmed or likely cause (true as well when nothing is wrong)."""
        return not self.unexplained

    @property
    def all(self) -> Iterable[Explanation]:
        """Every explanation, ranked: selected, alternatives, ruled out."""
        return (*self.selected, *self.alternatives, *self.ruled_out)

    @property
    def confidence(self) -> Literal["confirmed", "likely", "possible"] | None:
        """How sure the leading cause is; None without one."""
        for explanation in (*self.selected, *self.alternatives):
            if explanation.confidence is not Confidence.RULED_OUT:
                return explanation.confidence.value
        return None
