"""A team's incident becomes a known issue: a report read back from its JSON, drafted, checked, written."""

import os
import re
from pathlib import Path

import msgspec

from bot.diagnosis.knowledge import Knowledge
from bot.domain.errors import ConfigurationError
from bot.domain.foreign import read_file
from bot.domain.report import SCHEMA, Report
from bot.known_issues.drafting import Nothing, as_yaml, draft
from bot.known_issues.loading import build
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.source import parse

MAX_BYTES = 64 << 20
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def read_report(path: Path) -> Report:
    """The report in a file that `cnibot diagnose --output json` wrote. Errors: `ConfigurationError`."""
    try:
        report = msgspec.json.decode(read_file(path, MAX_BYTES), type=Report)
    except OSError as error:
        raise ConfigurationError(str(path), f"reading failed: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(str(path), f"it is not a report of cnibot: {error}") from error
    if report.schema != SCHEMA:
        raise ConfigurationError(str(path), f"it has the schema {report.schema!r}; this version reads {SCHEMA!r}")
    return report


def draft_from_report(report: Report, knowledge: Knowledge, directory: Path, issue_id: str = "") -> Path:
    """Write DIRECTORY/known-issues/ID.yaml and return its path; what is there is never overwritten.

    Errors: `ConfigurationError` for an id that is taken or none, a report that shows nothing, a directory that cannot
    be written; `RulesError` should the draft not load.
    """
    if issue_id and not (_ID.fullmatch(issue_id) and len(issue_id) <= 80):
        raise ConfigurationError(f"The id {issue_id!r}", "write small letters, digits and single hyphens")
    fields = draft(report, FACTS, {cause.id: cause.subject for cause in knowledge.causes}, issue_id)
    if isinstance(fields, Nothing):
        raise ConfigurationError("The report", f"{fields.why}: there is nothing to recognise again")
    name = str(fields["id"])
    if any(issue.id == name for issue in knowledge.known_issues):
        raise ConfigurationError(f"The id {name!r}", "a known issue has it already; choose another with --id")
    target = directory / "known-issues" / f"{name}.yaml"
    text = as_yaml(fields)
    build(parse(text, str(target)), Vocabulary(FACTS.values()), frozenset(cause.id for cause in knowledge.causes))
    _write(target, text)
    return target


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(str(target), "it is there already, and is not overwritten") from error
    except OSError as error:
        raise ConfigurationError(str(target), f"writing failed: {error.strerror or error}") from error
