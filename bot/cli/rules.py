"""`cnibot playbooks|causes|known-issues|probes`: what cnibot knows, and whether your own rules load."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from bot.cli import shells
from bot.cli.common import (
    USAGE,
    PlaybooksDirs,
    begin,
    errors_explained,
    fail,
    knowledge_of,
    say,
    say_exactly,
    say_rows,
)

if TYPE_CHECKING:
    from bot.diagnosis.knowledge import Knowledge


def _group(what: str) -> typer.Typer:
    return typer.Typer(help=what, no_args_is_help=True)


playbooks = _group("What is checked, and in which order: list, show, check.")
causes = _group("What can be wrong, and what tells it from its look-alikes: list, show.")
known_issues = _group("Published issues, matched by evidence and never by title: list, show, check.")
probes = _group("The questions of a diagnosis and the facts that answer them: list, show.")


def _name(offered: shells.Names) -> Any:
    return typer.Argument(show_default=False, autocompletion=offered)


class _HasFile(Protocol):
    @property
    def file(self) -> str: ...


def _loaded(dirs: list[Path] | None) -> "Knowledge":
    with errors_explained():
        return knowledge_of(begin(), dirs)


def _named(wanted: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if wanted not in names:
        near = get_close_matches(wanted, names, n=1)
        fail(f"There is no {what} {wanted!r}." + (f" Did you mean {near[0]}?" if near else ""), USAGE)


def _show_file(of: _HasFile) -> None:
    say_exactly(Path(of.file).read_text(encoding="utf-8"))


@playbooks.command("list")
def list_playbooks(playbooks_dir: PlaybooksDirs = None) -> None:
    """Every playbook with its title."""
    say_rows((each.name, each.title) for each in _loaded(playbooks_dir).playbooks)


@playbooks.command("show")
def show_playbook(name: Annotated[str, _name(shells.playbooks)], playbooks_dir: PlaybooksDirs = None) -> None:
    """A playbook as its file has it."""
    known = {each.name: each for each in _loaded(playbooks_dir).playbooks}
    _named(name, known, "playbook")
    _show_file(known[name])


@playbooks.command("check")
def check_playbooks(playbooks_dir: PlaybooksDirs = None) -> None:
    """Load everything, your own directories included; every mistake with its file and line, exit code 2."""
    _count(_loaded(playbooks_dir))


def _count(found: "Knowledge") -> None:
    counts = f"{len(found.playbooks)} playbooks, {len(found.causes)} causes, {len(found.known_issues)} known issues"
    say(f"{counts}: no mistakes found.")


@causes.command("list")
def list_causes(playbooks_dir: PlaybooksDirs = None) -> None:
    """Every cause with its class in the fault taxonomy and its title."""
    say_rows((each.id, ", ".join(each.taxonomy), each.title) for each in _loaded(playbooks_dir).causes)


@causes.command("show")
def show_cause(name: Annotated[str, _name(shells.causes)], playbooks_dir: PlaybooksDirs = None) -> None:
    """A cause as its file has it: evidence for and against, look-alikes, fixes."""
    known = {each.id: each for each in _loaded(playbooks_dir).causes}
    _named(name, known, "cause")
    _show_file(known[name])


@known_issues.command("list")
def list_known_issues(playbooks_dir: PlaybooksDirs = None) -> None:
    """Every known issue with its title."""
    say_rows((each.id, each.title) for each in _loaded(playbooks_dir).known_issues)


@known_issues.command("show")
def show_known_issue(name: Annotated[str, _name(shells.known_issues)], playbooks_dir: PlaybooksDirs = None) -> None:
    """A known issue as its file has it."""
    known = {each.id: each for each in _loaded(playbooks_dir).known_issues}
    _named(name, known, "known issue")
    _show_file(known[name])


@known_issues.command("check")
def check_known_issues(playbooks_dir: PlaybooksDirs = None) -> None:
    """Load everything, your own directories included; every mistake with its file and line, exit code 2.

    Drafts are no mistakes: they are listed with what is left to be written.
    """
    from bot.known_issues.drafting import unfinished  # noqa: PLC0415 only this command needs it

    found = _loaded(playbooks_dir)
    _count(found)
    for issue, fields in unfinished(found.known_issues):
        say(f"{issue.file}: a draft; still to be written: {', '.join(fields)}")


@known_issues.command("add")
def add_known_issue(
    from_report: Annotated[
        Path,
        typer.Option("--from-report", help="A report: what `diagnose --output json` printed.", dir_okay=False),
    ],
    issue_id: Annotated[str, typer.Option("--id", help="The id; one of the day and the cause by default.")] = "",
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Where your own rules are; it goes to known-issues/ in there. The first that is configured, else "
            "./cnibot-rules.",
            file_okay=False,
        ),
    ] = None,
    playbooks_dir: PlaybooksDirs = None,
) -> None:
    """Draft a known issue from a report, so that the same incident is recognised next time."""
    from bot.incidents.drafting import draft_from_report, read_report  # noqa: PLC0415 only this command needs it

    with errors_explained():
        settings = begin()
        own = (*(playbooks_dir or ()), *settings.playbooks_dirs)
        root = directory or next(iter(own), Path("cnibot-rules"))
        is_new = root.is_dir() and root.resolve() not in {each.resolve() for each in own}
        knowledge = knowledge_of(settings, [*(playbooks_dir or ()), *([root] if is_new else [])])
        written = draft_from_report(read_report(from_report), knowledge, root, issue_id)
    say(f"{written}: drafted. Replace each TODO, then run: cnibot known-issues check --playbooks-dir {root}")


@probes.command("list")
def list_probes() -> None:
    """Every probe with its question."""
    from bot.probes.catalogue import PROBES  # noqa: PLC0415 heavy, and only these commands need it

    say_rows((each.name, each.question) for each in PROBES)


@probes.command("show")
def show_probe(name: Annotated[str, _name(shells.probes)]) -> None:
    """A probe's facts: name, type, what they say, how a person looks."""
    from bot.probes.catalogue import PROBES  # noqa: PLC0415

    known = {each.name: each for each in PROBES}
    _named(name, known, "probe")
    say(known[name].question)
    say_rows((spec.name, spec.type, spec.doc, spec.look) for spec in known[name].facts)
