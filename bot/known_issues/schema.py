"""The fields of a known issue's file, and a known issue as the matcher sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.domain.facts import SubjectKind
from bot.domain.finding import SymptomKind
from bot.domain.report import Risk
from bot.known_issues.versions import VersionRange
from bot.rules.expression import Expression
from bot.rules.template import Template

IssueId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Sentence = Annotated[str, StringConstraints(min_length=3, max_length=2_000, strip_whitespace=True)]
Component = Literal["cni", "kubernetes", "kernel"]
Trust = Literal["confirmed-by-maintainer", "reported-with-evidence", "anecdotal"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReferenceFile(_Strict):
    """One upstream thread."""

    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    number: Annotated[int, Field(ge=1)]
    kind: Literal["issue", "pr", "discussion"] = "issue"
    state: Literal["open", "closed", "merged", "unknown"] = "unknown"
    title: str = ""

    def __str__(self) -> str:
        return f"{self.repo}#{self.number}"


class ConditionFile(_Strict):
    """A condition on facts, and the sentence that it proves."""

    that: str
    says: Sentence


class VersionsFile(_Strict):
    """Version ranges in which it occurs; a component that is not named may have any version."""

    cni: str | None = None
    kubernetes: str | None = None
    kernel: str | None = None


class WorkaroundFile(_Strict):
    """One step that helped."""

    risk: Risk
    does: Sentence


class KnownIssueFile(_Strict):
    """One known issue."""

    id: IssueId
    override: bool = False
    title: Sentence
    references: tuple[ReferenceFile, ...]
    about: SubjectKind = SubjectKind.CLUSTER
    """Whose facts the conditions read."""
    causes: tuple[str, ...] = ()
    """Any of these causes must stand (confirmed, likely or possible)."""
    symptoms: tuple[SymptomKind, ...] = ()
    """Where no cause fits it: the symptoms that bring it up, when nothing explains them."""
    cnis: tuple[str, ...] = ()
    """CNIs that it concerns; empty for any."""
    matches_when: tuple[ConditionFile, ...] = ()
    rules_out: tuple[ConditionFile, ...] = ()
    check: tuple[Sentence, ...] = ()
    """What no probe sees and a person has to check: while there is any, it is possible at most."""
    look_alike_of: tuple[SymptomKind, ...] = ()
    """Often blamed for these symptoms: reported as ruled out too, so that nobody has to ask."""
    heals: bool = False
    """What it describes goes away by itself: it is held against trouble that was gone at a second look."""
    versions: VersionsFile = VersionsFile()
    affected: str = ""
    fixed_in: str = ""
    environment: str = ""
    mechanism: Sentence
    workaround: tuple[WorkaroundFile, ...] = ()
    """Safest first."""
    confidence: Trust
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition and the sentence it proves."""

    that: Expression
    says: Template


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownIssue:
    """One known issue, checked and compiled."""

    id: str
    title: str
    references: tuple[ReferenceFile, ...]
    about: SubjectKind
    causes: tuple[str, ...]
    symptoms: tuple[SymptomKind, ...]
    cnis: tuple[str, ...]
    matches_when: tuple[Condition, ...]
    rules_out: tuple[Condition, ...]
    check: tuple[str, ...]
    look_alike_of: tuple[SymptomKind, ...]
    heals: bool
    versions: Mapping[Component, VersionRange]
    affected: str
    fixed_in: str
    environment: str
    mechanism: str
    workaround: tuple[WorkaroundFile, ...]
    confidence: Trust
    notes: str
    file: str
    override: bool
