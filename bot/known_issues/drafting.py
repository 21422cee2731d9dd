"""A report as the draft of a known issue, so that a team's own incident is recognised next time.

What a report proves is filled in: the cause or the symptoms, the facts at one of its subjects as conditions, the
versions as ranges of the same minor version. What only people know is marked with TODO; `cnibot known-issues check`
loads a draft and lists what is left to be written.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bot.domain.errors import bounded
from bot.domain.facts import VARIABLES, FactSpec, SubjectKind
from bot.domain.report import CauseReport, FindingReport, Report
from bot.domain.subject_name import SubjectName
from bot.known_issues.schema import KnownIssue
from bot.known_issues.versions import parse_version

TODO = "TODO"
MAX_CONDITIONS = 6
MAX_EVIDENCE = 8
_KEBAB = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why a report gives no record."""

    why: str


def draft(
    report: Report, specs: Mapping[str, FactSpec], subjects: Mapping[str, SubjectKind], issue_id: str = ""
) -> dict[str, Any] | Nothing:
    """The fields of a record drawn from the report, in the order in which a file has them.

    `specs` are the facts by name, `subjects` what each cause is about.
    """
    cause = next((each for each in report.causes if each.id == report.verdict.cause), None)
    shown = [each for each in report.findings if each.symptom]
    if cause is None and not shown:
        return Nothing("the report names neither a cause nor a symptom")
    about, subject = _about(cause, shown, subjects)
    fields: dict[str, Any] = {
        "id": issue_id or default_id(report),
        "title": f"{TODO}: what goes wrong, in one line ({_plain(cause.title if cause else report.verdict.summary)})",
        "references": [],
        "about": about.value,
    }
    if cause is not None:
        fields["causes"] = [cause.id]
    else:
        fields["symptoms"] = list(dict.fromkeys(each.symptom for each in shown))
    if report.cni != "unknown":
        fields["cnis"] = [report.cni]
    conditions = list(_conditions(report.findings, subject, about, specs))[:MAX_CONDITIONS]
    if conditions:
        fields["matches_when"] = conditions
    versions = _versions(report)
    if versions:
        fields["versions"] = versions
    return fields | _prose(report, cause)


def default_id(report: Report) -> str:
    """The day, and the cause or the hop: "incident-2026-11-22-calico-proxy-arp-off"."""
    words = f"incident {report.started_at[:10]} {report.verdict.cause or report.verdict.hop or report.scope.namespace}"
    return _KEBAB.sub("-", words.lower()).strip("-")[:80].strip("-")


def as_yaml(fields: Mapping[str, Any]) -> str:
    """The file's text."""
    head = "# Drafted from a report. Replace each TODO, and add references if you have any:\n"
    example = "# - {repo: projectcalico/calico, number: 8689, kind: issue}\n"
    return head + example + yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=110)


def unfinished(issues: Iterable[KnownIssue]) -> Iterator[tuple[KnownIssue, tuple[str, ...]]]:
    """Drafts, each with the fields that a person has still to write."""
    for issue in issues:
        texts: dict[str, str] = {
            "title": issue.title,
            "mechanism": issue.mechanism,
            "affected": issue.affected,
            "environment": issue.environment,
            "workaround": " ".join(each.does for each in issue.workaround),
        }
        left = tuple(name for name, text in texts.items() if TODO in text)
        if left:
            yield issue, left if issue.references else (*left, "references")


def _about(
    cause: CauseReport | None, shown: Iterable[FindingReport], subjects: Mapping[str, SubjectKind]
) -> tuple[SubjectKind, str]:
    """The kind of subject, and the one whose facts become conditions."""
    if cause is not None and cause.id in subjects:
        kind = subjects[cause.id]
        return kind, next((each for each in cause.subjects if SubjectName.read(each).kind == kind), kind.value)
    first = next(iter(shown)).subject if shown else ""
    word = SubjectName.read(first).kind
    return (SubjectKind(word), first) if word in {each.value for each in SubjectKind} else (SubjectKind.CLUSTER, first)


def _conditions(
    findings: Iterable[FindingReport], subject: str, about: SubjectKind, specs: Mapping[str, FactSpec]
) -> Iterator[dict[str, str]]:
    """What failing findings saw at one subject, as far as it can be the same elsewhere: truths and named values.

    Addresses, names and measured numbers belong to this incident alone.
    """
    known: set[str] = set()
    for finding in findings:
        if finding.severity not in {"fail", "warn"} or finding.subject != subject:
            continue
        for key, value in finding.evidence.items():
            name = key if "." in key else f"{about.value}.{key}"
            spec = specs.get(name)
            if spec is None or name in known or name.partition(".")[0] not in VARIABLES[about]:
                continue
            literal = _literal(spec, value)
            if literal:
                known.add(name)
                yield {"that": f"{name} == {literal}", "says": f"{_plain(spec.doc).rstrip('.')}: {{{name}}}"}


def _literal(spec: FactSpec, value: object) -> str:
    if spec.type == "bool" and isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if spec.type == "str" and isinstance(value, str) and value in spec.values else ""


def _versions(report: Report) -> dict[str, str]:
    given: dict[str, tuple[str, ...]] = {
        "cni": (report.cni_version,),
        "kubernetes": (report.kubernetes_version,),
        "kernel": report.kernels,
    }
    ranges = {
        name: " || ".join(dict.fromkeys(_minor(one) for one in each if _minor(one))) for name, each in given.items()
    }
    return {name: text for name, text in ranges.items() if text}


def _minor(text: str) -> str:
    """The range of the version's minor release: ">=3.30.0 <3.31.0"; "" for what is no version."""
    version = parse_version(text) if text else None
    if version is None:
        return ""
    major, minor, patch, rank, _ = version
    first = f"{major}.{minor}.0" if rank == 3 or patch else f"{major}.{minor}.0-alpha"
    return f">={first} <{major}.{minor + 1}.0"


def _prose(report: Report, cause: CauseReport | None) -> dict[str, Any]:
    evidence = cause.evidence_for if cause else tuple(f.sentence for f in report.findings if f.severity == "fail")
    seen = "; ".join(_plain(sentence, 200) for sentence in evidence[:MAX_EVIDENCE])
    fixes = sorted(report.remediations, key=lambda fix: fix.risk)
    steps = [{"risk": fix.risk, "does": _plain(fix.why)} for fix in fixes]
    where = f"{report.scope.namespace} on {report.scope.cluster}"
    return {
        "affected": f"{TODO}: seen on {_plain(_software(report))}; widen or narrow the version ranges",
        "environment": f"{TODO}: what is special about the cluster",
        "mechanism": f"{TODO}: why it happens. {_plain(cause.mechanism, 600) if cause else ''}".strip(),
        "workaround": steps or [{"risk": "r0", "does": f"{TODO}: what helped"}],
        "confidence": "anecdotal",
        "notes": _plain(f"Drafted from the diagnosis of {where} at {report.started_at}. Seen: {seen}", 1_900),
    }


def _software(report: Report) -> str:
    named = {
        report.cni: report.cni_version,
        "Kubernetes": report.kubernetes_version,
        "kernel": ", ".join(report.kernels),
    }
    return ", ".join(f"{name} {version}" for name, version in named.items() if version) or "unknown versions"


def _plain(text: str, most: int = 300) -> str:
    """Text of a report on one line, bounded."""
    return bounded(text, most)
