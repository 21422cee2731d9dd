"""docs/reference/playbooks.md and docs/reference/known-issues.md, from the YAML in playbooks/."""

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
    return "\n".join((f"## {one['name']}", "", f"{one['title']}. For: {one['for']}.", "", *steps, ""))


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
