"""What cnibot knows, for those who ask: playbooks and known issues."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bot.domain.outgoing import Content
from bot.render.marks import RISK_WORDS
from bot.slack.views.parts import Part, message, part
from bot.slack.views.report_lines import bullet
from bot.slack.views.text import NOTHING, Mrkdwn, code, escape, joined, reference, said

if TYPE_CHECKING:
    from bot.domain.software import Software
    from bot.known_issues.schema import KnownIssue, WorkaroundFile
    from bot.playbooks.schema import Playbook

_WITH_TITLE = 2_900
_AFFECTED = 10
_TRUST = {
    "confirmed-by-maintainer": "a maintainer confirmed it",
    "reported-with-evidence": "reported with evidence",
    "anecdotal": "anecdotal",
}


def playbook_list(playbooks: Sequence["Playbook"]) -> Content:
    """The playbooks, and what each looks at."""
    note = said("`/cni diagnose` follows `namespace`, and recognises applications on its own.")
    return message("", [part(said("*Playbooks*"), playbooks, _playbook, most=40), Part(items=(note,), is_small=True)])


def _playbook(one: "Playbook") -> Mrkdwn:
    return bullet(joined(code(one.name), said(" "), escape(one.title, 140)))


def known_issue_list(issues: Sequence["KnownIssue"]) -> Content:
    """All of them: with titles as far as there is room, then by id."""
    rows: list[Mrkdwn] = []
    used = 0
    for one in issues:
        row = bullet(joined(code(one.id), said(" "), escape(one.title, 90)))
        used += len(row) + 1
        if used > _WITH_TITLE:
            break
        rows.append(row)
    rest = joined(*(code(one.id) for one in issues[len(rows) :][:60]), by=" ")
    note = said(
        "A title proves nothing: a verdict shows which of them match the evidence. `/cni known-issues ID` shows one."
    )
    return message(
        "",
        [
            Part(title=said("*Known issues*"), items=tuple(rows)),
            Part(items=(joined(said("Further ones: "), rest),) if rest else ()),
            Part(items=(note,), is_small=True),
        ],
    )


def known_issue(issue: "KnownIssue") -> Content:
    """One known issue: what it is, how it is recognised, what helped."""
    return message(
        f"{issue.id}: {issue.title}",
        [
            Part(items=(escape(issue.mechanism, 900),)),
            Part(items=tuple(_facts(issue)), rank=3),
            part(said("*Check by hand*"), issue.check, lambda one: bullet(escape(one)), most=5, rank=2),
            part(said("*What helped* (safest first)"), issue.workaround, _helped, most=8, rank=1, least=3),
            Part(title=said("*Mind*"), items=(escape(issue.notes, 500),) if issue.notes else (), rank=4),
        ],
    )


def affected_versions(cluster: str, software: "Software", issues: Sequence["KnownIssue"]) -> Content:
    """The known issues whose affected versions include those of a cluster: a note, with nobody mentioned."""
    runs = joined(code(cluster, 80), said(" runs "), escape(f"{software.cni} {software.cni_version}", 80))
    count = said("a known issue") if len(issues) == 1 else escape(f"{len(issues)} known issues")
    title = joined(said("*Versions:* "), runs, said(", which "), count, said(" may concern:"))
    note = said(
        "Nothing is known to be wrong: a version alone is no evidence, and a verdict names an issue only where it is "
        "seen. `/cni known-issues ID` shows one."
    )
    return message("", [part(title, issues, _affected, most=_AFFECTED), Part(items=(note,), is_small=True)])


def _affected(issue: "KnownIssue") -> Mrkdwn:
    fixed = joined(said(", fixed in "), escape(issue.fixed_in, 120)) if issue.fixed_in else NOTHING
    versions = "; ".join(f"{name} {versions.source}" for name, versions in issue.versions.items())
    where = joined(said(" ("), escape(versions, 160), fixed, said(")"))
    return bullet(joined(code(issue.id), said(" "), escape(issue.title, 140), where))


def _helped(one: "WorkaroundFile") -> Mrkdwn:
    return bullet(joined(escape(one.does), said(" "), said("("), escape(RISK_WORDS[one.risk]), said(")")))


def _facts(issue: "KnownIssue") -> Iterator[Mrkdwn]:
    rows = (
        ("CNIs", ", ".join(issue.cnis) or "any"),
        ("Versions", "; ".join(f"{name} {versions.source}" for name, versions in issue.versions.items())),
        ("Affected", issue.affected),
        ("Fixed in", issue.fixed_in),
        ("Seen on", issue.environment),
        ("Related causes", ", ".join(issue.causes)),
        ("Confidence", _TRUST[issue.confidence]),
    )
    yield from (joined(said("*"), escape(name), said(":* "), escape(text)) for name, text in rows if text)
    threads = joined(*(reference(str(one)) for one in issue.references[:6]), by=", ")
    yield joined(said("*Threads:* "), threads) if threads else NOTHING
