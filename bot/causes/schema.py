"""The fields of a cause file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.domain.facts import Rung, SubjectKind
from bot.domain.finding import Hop, SymptomKind
from bot.domain.report import Risk

CauseId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Sentence = Annotated[str, StringConstraints(min_length=3, max_length=1_000, strip_whitespace=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClauseFile(_Strict):
    """A condition on facts, and the sentence that it proves."""

    that: str
    says: Sentence
    follows: bool = False
    """Of an exclusion: the state is there all the same, and follows from another fault, under which it is reported."""


class LookAlikeFile(_Strict):
    """Another cause with the same symptoms, and the observation that refutes it."""

    cause: CauseId
    refuted_when: str
    says: Sentence


class FixFile(_Strict):
    """One way to fix it."""

    id: CauseId
    risk: Risk
    when: str | None = None
    """Only offered where this holds; without it, always."""
    touches: Literal["none", "pod", "node", "service", "cluster"] | None = None
    """How far it reaches; without it as the risk says, and one Service where the cause is about a Service."""
    does: Sentence
    commands: tuple[str, ...] = ()
    """As typed in a shell of the node, or of any machine for kubectl. A list of facts gives a command for each item."""
    no_command: str = ""
    """Why there is nothing to paste; every fix has commands or this."""
    decide: str = ""
    """What a person must decide or look up for each <placeholder> in the commands."""
    undo: tuple[str, ...] = ()
    then: str = ""
    """What keeps it fixed."""


class CauseFile(_Strict):
    """One cause."""

    id: CauseId
    override: bool = False
    taxonomy: tuple[str, ...] = ()
    title: Sentence
    short: Annotated[str, StringConstraints(min_length=3, max_length=44, strip_whitespace=True)] = ""
    """The title for a headline, after the place: "proxy ARP is off". Without it the title's beginning."""
    mechanism: Sentence
    subject: SubjectKind
    hop: Hop
    applies: str | None = None
    explains: Annotated[tuple[SymptomKind, ...], Field(min_length=1)]
    requires: Annotated[tuple[ClauseFile, ...], Field(min_length=1)]
    supports: tuple[ClauseFile, ...] = ()
    excludes: tuple[ClauseFile, ...] = ()
    look_alikes: tuple[LookAlikeFile, ...] = ()
    unobserved: Sentence
    rungs: Annotated[tuple[Rung, ...], Field(min_length=1)]
    fix: tuple[FixFile, ...] = ()
    never: str = ""
    specificity: int | None = None
    consequence: bool = False
    """A state that follows from other faults more often than it is one: never reported beside what explains it."""
    sufficient: bool = False
    """The wrong state that it requires brings the symptom about by itself: two of them at once are two faults."""
    pattern: bool = False
    """It stands on who reaches whom alone: likely at most, unless `proof` holds."""
    proof: ClauseFile | None = None
    """What shows the mechanism of a pattern itself."""
    changes: str = ""
    """What has usually changed before: shown as a lead to the origin, never as a proof."""
