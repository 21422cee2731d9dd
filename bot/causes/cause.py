"""A cause, checked and compiled."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bot.domain.facts import Rung, SubjectKind
from bot.domain.finding import Hop, SymptomKind
from bot.domain.report import Risk
from bot.rules.expression import Expression, Reference
from bot.rules.template import Template


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition and the sentence it proves."""

    that: Expression
    says: Template
    follows: bool = False
    """Of an exclusion: the state is there, and follows from another fault."""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Another cause, and what refutes it."""

    cause: str
    refuted_when: Expression
    says: Template


@dataclass(frozen=True, slots=True)
class Fix:
    """One way to fix it."""

    id: str
    risk: Risk
    does: Template
    commands: tuple[Template, ...]
    undo: tuple[Template, ...]
    then: Template | None
    when: Expression | None = None
    """Where it is offered; None: everywhere."""
    touches: Literal["none", "pod", "node", "service", "cluster"] = "node"
    decide: str = ""
    """What a person must fill in for a <placeholder> in the commands."""
    no_command: str = ""
    """Why there is nothing to paste."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cause:
    """One cause: when it applies, what proves it, what excludes it, what it is mistaken for, what fixes it."""

    id: str
    title: str
    short: str = ""
    mechanism: str
    subject: SubjectKind
    hop: Hop
    explains: tuple[SymptomKind, ...]
    requires: tuple[Clause, ...]
    applies: Expression | None = None
    supports: tuple[Clause, ...] = ()
    excludes: tuple[Clause, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    fixes: tuple[Fix, ...] = ()
    taxonomy: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = ()
    unobserved: str = ""
    never: str = ""
    specificity: int = 0
    is_consequence: bool = False
    is_sufficient: bool = False
    is_pattern: bool = False
    """It stands on who reaches whom alone: likely at most, unless `proof` holds."""
    proof: Clause | None = None
    changes: str = ""
    file: str = ""
    override: bool = False
    references: tuple[Reference, ...] = field(init=False)
    """Every fact that any of its expressions reads, each once."""

    def __post_init__(self) -> None:
        found = (reference for expression in self._expressions() for reference in expression.references)
        object.__setattr__(self, "references", tuple(dict.fromkeys(found)))

    def _expressions(self) -> Iterable[Expression]:
        if self.applies is not None:
            yield self.applies
        proofs = () if self.proof is None else (self.proof,)
        for clause in (*self.requires, *self.supports, *self.excludes, *proofs):
            yield clause.that
        for likeness in self.look_alikes:
            yield likeness.refuted_when
        for fix in self.fixes:
            if fix.when is not None:
                yield fix.when


def is_remote(command: str) -> bool:
    """Whether a command runs wherever the cluster's API answers; all others need a node's shell."""
    return command.partition(" ")[0] in {"kubectl", "helm", "calicoctl"}
