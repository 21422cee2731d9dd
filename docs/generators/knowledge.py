"""docs/reference/playbooks.md and docs/reference/known-issues.md, from the YAML in playbooks/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = """# Playbooks

The orders in which to look. `cnibot playbooks show NAME` prints one in full; `--playbook NAME` follows it.

"""
KNOWN_ISSUES = """# Known issues

Published bugs, held against the evidence. Each can be ruled out as well as matched; a report says which, and why.

| id | what it is | published as | causes |
| --- | --- | --- | --- |
"""


def files(directory: str, key: str) -> list[dict[str, Any]]:
    """The YAML files of a directory, in the order of a key."""
    found = [
        cast("dict[str, Any]", yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (ROOT / directory).glob("*.yaml")
    ]
    return sorted(found, key=lambda one: one[key])


def playbook(one: dict[str, Any]) -> str:
    """A playbook with the questions it asks."""
    steps = [f"{number}. {step['look']} (`{step['probe']}`)" for number, step in enumerate(one["steps"], start=1)]
    head = (f"## {one['name']}", "", f"{one['title']}. For: {one['for']}.", "")
    return "\n".join((*head, *steps, "", *connections(one.get("application", {}))))


def connections(application: dict[str, Any]) -> Iterator[str]:
    """What an application needs: who is cut off from what when a Service is not reached."""
    if dials := application.get("dials"):
        yield f"{application['name']} needs ([source]({application['source_url']})):"
        yield from ("", "| Service | port | asked | what depends on it |", "| --- | --- | --- | --- |")
        for dial in dials:
            asked = question(dial.get("expects", {}))
            missing = " (not in every installation)" if dial.get("optional") else ""
            yield f"| `{dial['to'].get('name', '*')}` | {dial['port']} | {asked} | {dial['why']}{missing} |"
        yield ""


def question(expects: dict[str, Any]) -> str:
    """What is asked of it."""
    for kind, given in expects.items():
        return {"http": f"HTTP, GET {given.get('path', '/')}", "grpc": "gRPC health", "dns": f"DNS {given}"}[kind]
    return "a connection"


def known_issue(one: dict[str, Any]) -> str:
    """A row."""
    references = ", ".join(f"{item['repo']}#{item['number']}" for item in one.get("references", ()))
    causes = ", ".join(f"[{cause}](../causes/{cause}.md)" for cause in one.get("causes", ()))
    title = " ".join(one["title"].split()).replace("|", "\\|")
    return f"| {one['id']} | {title} | {references} | {causes} |\n"


def pages() -> dict[str, str]:
    """Both pages."""
    return {
        "docs/reference/playbooks.md": PLAYBOOKS + "\n".join(map(playbook, files("playbooks", "name"))),
        "docs/reference/known-issues.md": KNOWN_ISSUES
        + "".join(map(known_issue, files("playbooks/known-issues", "id"))),
    }
