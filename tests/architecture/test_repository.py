"""What the tree must not hold: somebody's machine, a package index, other projects' habits."""

import re

from tests.architecture.tree import ROOT, source_files

# Written in two parts, or this file would be the first offender.
FORBIDDEN = {
    "a package index": "|".join(("pypi" + r"\.org", "python" + "hosted", "registry\\.npmjs" + r"\.org")),
    "a path of somebody's machine": "|".join(
        (r"(?<![\w.])/work" + "/main", r"/home/(?!me\b)[a-z]{2}", r"/root/\.", r"/opt/" + "pypi")
    ),
    "a directory outside the tree": r"(?<!\w)\.\./" + r"shared\b",
    "an unmerged conflict": "^" + "<" * 7 + " ",
}


def texts() -> list[tuple[str, str]]:
    """(path, text) of every text file."""
    found: list[tuple[str, str]] = []
    for path in source_files():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((str(path.relative_to(ROOT)), data.decode("utf-8")))
    return found


def test_nothing_that_belongs_elsewhere() -> None:
    offenders = [
        f"{path}:{number}: {what}"
        for path, text in texts()
        for what, pattern in FORBIDDEN.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]

    assert offenders == []


def test_top_level_is_the_agreed_one() -> None:
    """A new directory at the top is a decision, not an accident."""
    agreed = {
        ".ci", ".dockerignore", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "Dockerfile", "LICENSE",
        "Makefile", "README.md", "bot", "deploy", "docs", "playbooks", "pyproject.toml", "requirements-build.lock",
        "requirements-dev.lock", "requirements-lab.lock", "requirements.lock",
        "tests",
    }  # fmt: skip
    found = {path.relative_to(ROOT).parts[0] for path in source_files()}

    assert found - agreed - {".coverage"} <= {name for name in found if name.startswith(".coverage")}


def test_files_stay_readable_in_one_sitting() -> None:
    """At 400 lines look for the second subject; nothing passes 450 that say something, and there are no exceptions."""
    long = {
        path: lines
        for path, text in texts()
        if path.startswith(("bot/", "tests/")) and path.endswith(".py")
        if (lines := sum(1 for line in text.splitlines() if line.strip())) > 450
    }

    assert long == {}
