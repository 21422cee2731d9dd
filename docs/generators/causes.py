"""One page for each cause in docs/causes/, and their index in playbooks/causes/INDEX.md, from the same YAML.

A name in braces, `{pod.own_dev}`, is a fact that a report fills in.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
INDEX = """# Causes

What cnibot can name as the reason. An id is stable. A class says by its letter where the fault is: P sandbox and
address management, L the pod's link, address and routes, G its gateway, R the node's routes, B bridge, O overlay and
underlay, M path MTU, S Services, D DNS, N policies and firewalls, K kernel and node, C Cilium.

| id | class | hop | cause |
| --- | --- | --- | --- |
"""
PROOF = "All of these. One that is not true rules the cause out, one that was not seen leaves it open."
GRADES = (
    ("requires", "## What proves it", PROOF),
    ("supports", "## What makes it likelier", ""),
    ("excludes", "## What rules it out", ""),
)


def causes() -> list[dict[str, Any]]:
    """Every cause file, by id."""
    found = [
        cast("dict[str, Any]", yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (ROOT / "playbooks" / "causes").glob("*.yaml")
    ]
    return sorted(found, key=lambda cause: cause["id"])


def listed(clauses: list[dict[str, Any]]) -> Iterator[str]:
    """Clauses as a list: the sentence, and the condition on facts that it stands for."""
    for clause in clauses:
        yield f"- {' '.join(clause['says'].split())}: `{clause['that']}`"


def evidence(cause: dict[str, Any]) -> Iterator[str]:
    """What speaks for it and against it."""
    if "applies" in cause:
        yield from ("## Where it applies", "", f"`{cause['applies']}`", "")
    for key, heading, note in GRADES:
        if cause.get(key):
            yield from (heading, "", *((note, "") if note else ()), *listed(cause[key]), "")
    if cause.get("look_alikes"):
        yield from ("## What it is mistaken for", "")
        for other in cause["look_alikes"]:
            says = " ".join(other["says"].split())
            yield f"- [{other['cause']}]({other['cause']}.md) is refuted when {says}: `{other['refuted_when']}`"
        yield ""


def remedies(cause: dict[str, Any]) -> Iterator[str]:
    """How to see it by hand, and what fixes it."""
    yield from ("## How to see it by hand", "", " ".join(cause["unobserved"].split()), "")
    if cause.get("changes"):
        yield from (f"It usually follows {' '.join(cause['changes'].split())}.", "")
    if cause.get("fix"):
        yield from ("## What fixes it", "")
    for fix in cause.get("fix", ()):
        yield from remedy(fix)
    if cause.get("never"):
        yield from (f"Not this: {' '.join(cause['never'].split())}.", "")


def remedy(fix: dict[str, Any]) -> Iterator[str]:
    """One fix: what it does, what a person decides, and its commands or why there are none."""
    yield from (f"**{fix['id']}** (risk {fix['risk']}): {' '.join(fix['does'].split())}.", "")
    for word, key in (("You decide", "decide"), ("No command", "no_command")):
        if fix.get(key):
            yield from (f"{word}: {' '.join(fix[key].split())}.", "")
    for word, key in (("do", "commands"), ("undo", "undo")):
        if fix.get(key):
            yield from (f"To {word}:", "", "```", *fix[key], "```", "")
    if fix.get("then"):
        yield from (f"Then: {' '.join(fix['then'].split())}.", "")


def page(cause: dict[str, Any]) -> str:
    """One cause."""
    letters = f" · class {', '.join(cause['taxonomy'])}" if cause.get("taxonomy") else ""
    head = (f"# {cause['id']}", "", f"{' '.join(cause['title'].split())}.", "")
    facts = (f"Hop: {cause['hop']} · about a {cause['subject']} · seen from: {', '.join(cause['rungs'])}{letters}", "")
    explains = f"Explains: {', '.join(cause['explains'])}."
    body = (" ".join(cause["mechanism"].split()), "", explains, "")
    return "\n".join((*head, *facts, *body, *evidence(cause), *remedies(cause))).rstrip() + "\n"


def pages() -> dict[str, str]:
    """The index and all pages."""
    rows = [
        f"| [{cause['id']}](../../docs/causes/{cause['id']}.md) | {', '.join(cause.get('taxonomy', ()))} "
        f"| {cause['hop']} | {' '.join(cause['title'].split())} |\n"
        for cause in causes()
    ]
    return {
        "playbooks/causes/INDEX.md": INDEX + "".join(rows),
        **{f"docs/causes/{cause['id']}.md": page(cause) for cause in causes()},
    }
