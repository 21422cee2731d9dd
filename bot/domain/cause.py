"""What a differential came to: causes that explain the symptoms, causes ruled out, and what would settle the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bot.domain.facts import Rung, Subject
from bot.domain.finding import Hop, Symptom
from bot.domain.report import CauseReport, Confidence, LookAlike, RemediationReport, Statement

_SHOWN_SUBJECTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One cause at all the subjects it concerns, with its reasons as sentences."""

    id: str
    title: str
    short: str = ""
    """The title for a headline: "proxy ARP is off"."""
    taxonomy: tuple[str, ...]
    mechanism: str
    hop: Hop
    confidence: Confidence
    subjects: tuple[Subject, ...]
    supporting: tuple[Statement, ...] = ()
    opposing: tuple[Statement, ...] = ()
    unobserved: tuple[str, ...] = ()
    likenesses: tuple[LookAlike, ...] = ()
    """What it is mistaken for: first what the evidence refutes, then what nothing does."""
    explains: tuple[Symptom, ...] = ()
    fixes: tuple[RemediationReport, ...] = ()
    """Safest first."""
    then: tuple[str, ...] = ()
    """What to do after the fix so that it stays fixed."""
    never: str = ""
    """A drastic step that this cause does not call for, and why not."""
    usual_changes: str = ""
    """What has usually changed before it."""

    @property
    def evidence_for(self) -> tuple[str, ...]:
        """What supports it, in sentences."""
        return tuple(one.sentence for one in self.supporting)

    @property
    def evidence_against(self) -> tuple[str, ...]:
        """What opposes it, in sentences."""
        return tuple(one.sentence for one in self.opposing)

    @property
    def not_refuted(self) -> tuple[str, ...]:
        """Ids of the look-alikes that nothing refutes."""
        return tuple(one.cause for one in self.likenesses if not one.is_refuted)

    def statement(self) -> Statement:
        """That it holds, at whom."""
        named = tuple(str(subject) for subject in self.subjects[:_SHOWN_SUBJECTS])
        fact = self.short or f"{self.title[:1].lower()}{self.title[1:]}"
        return Statement(subjects=named, text=fact, more=len(self.subjects) - len(named))

    def report(self) -> CauseReport:
        """The same as part of a report."""
        return CauseReport(
            id=self.id,
            title=self.title,
            confidence=self.confidence.value,
            hop=self.hop,
            short=self.short,
            mechanism=self.mechanism,
            subjects=tuple(str(subject) for subject in self.subjects[:_SHOWN_SUBJECTS]),
            evidence_for=self.evidence_for,
            evidence_against=self.evidence_against,
            unobserved=self.unobserved,
            look_alikes=tuple(one.sentence for one in self.likenesses),
            supporting=self.supporting,
            opposing=self.opposing,
            likenesses=self.likenesses,
            explains=tuple(f"{symptom.kind} {symptom.subject}" for symptom in self.explains[:_SHOWN_SUBJECTS]),
            usual_changes="" if self.confidence is Confidence.RULED_OUT else self.usual_changes,
            never="" if self.confidence is Confidence.RULED_OUT else self.never,
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
    consequences: tuple[Explanation, ...] = ()
    """States that hold and follow from the selected causes, which explain all that these would."""
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
