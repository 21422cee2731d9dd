"""What cnibot knows before it looks: playbooks, causes and known issues, its own and yours, checked when loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from bot.causes.cause import Cause
from bot.causes.loading import load_causes
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.errors import ConfigurationError
from bot.known_issues.loading import load_known_issues
from bot.known_issues.schema import KnownIssue
from bot.playbooks.applications import Application, ApplicationDial, dials, expected, needed, recognised
from bot.playbooks.loading import load_playbooks
from bot.playbooks.schema import Playbook
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.engine.evidence import Evidence
from bot.rules.source import data_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything that judges, loaded once."""

    playbooks: tuple[Playbook, ...]
    causes: tuple[Cause, ...]
    known_issues: tuple[KnownIssue, ...]

    def playbook(self, name: str) -> Playbook:
        """The playbook of this name. Errors: `ConfigurationError` with the nearest name."""
        for playbook in self.playbooks:
            if playbook.name == name:
                return playbook
        names = [playbook.name for playbook in self.playbooks]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ConfigurationError(f"The playbook {name!r}", f"there is none of this name; {hint}")

    def dials(self, snapshot: Snapshot) -> tuple[ApplicationDial, ...]:
        """The connections that the applications in the snapshot need."""
        return dials(self.playbooks, snapshot)

    def informed(self, evidence: Evidence) -> Evidence:
        """The evidence with the connections that playbooks know to be needed."""
        first = self.informed(evidence.first) if evidence.first else None
        found = self.dials(evidence.snapshot)
        return replace(evidence, dials=needed(found), expected=expected(found), first=first)

    def applications(self, snapshot: Snapshot) -> tuple[Application, ...]:
        """The applications whose pods the snapshot holds."""
        return recognised(self.playbooks, snapshot)


def load_knowledge(more: Sequence[Path] = ()) -> Knowledge:
    """The shipped rules and those of further directories. Errors: `RulesError` with every mistake."""
    roots = (data_directory(), *more)
    specs = tuple(FACTS.values())

    def within(name: str) -> list[Path]:
        return [root / name if name else root for root in roots if (root / name if name else root).is_dir()]

    causes = load_causes(within("causes"), specs)
    return Knowledge(
        causes=causes,
        known_issues=load_known_issues(within("known-issues"), specs, causes),
        playbooks=load_playbooks(within(""), PROBES),
    )
