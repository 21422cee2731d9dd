"""The locks fit pyproject.toml, pin with hashes and name no place to fetch from; `.ci/lock.py check` notices."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, copied

LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def check(tree: Path) -> str:
    """What the checker says about a directory; empty when all is well."""
    command = [sys.executable, str(ROOT / ".ci" / "lock.py"), "check", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) == (done.stdout == ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of pyproject.toml and the locks."""
    return copied(tmp_path, "pyproject.toml", *LOCKS)


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace the first match; no match is an error, so that no test breaks nothing."""
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def test_locks_fit() -> None:
    assert check(ROOT) == ""


def test_every_lock_is_there() -> None:
    assert LOCKS == [
        "requirements-build.lock",
        "requirements-dev.lock",
        "requirements-lab.lock",
        "requirements.lock",
    ]


def test_new_requirement_must_be_locked(tree: Path) -> None:
    edit(tree / "pyproject.toml", r"^dependencies = \[", 'dependencies = [\n  "left-pad>=1",')

    said = check(tree)

    assert "requirements.lock: left-pad>=1 is not locked" in said
    assert "to lock again: make lock" in said


def test_tightened_requirement_must_be_locked_again(tree: Path) -> None:
    edit(tree / "pyproject.toml", r'"rich>=[^"]*"', '"rich>=9999"')

    assert re.search(r"requirements\.lock: rich is locked at [\d.]+, pyproject\.toml asks for rich>=9999", check(tree))


def test_dropped_requirement_must_leave_the_lock(tree: Path) -> None:
    edit(tree / "pyproject.toml", r'^  "rich>=[^"]*",\n', "")

    assert "requirements.lock: rich is locked, and pyproject.toml no longer asks for it" in check(tree)


@pytest.mark.parametrize(
    "line",
    ["--index-url https://packages.example/simple", "-f /srv/wheels", "rich @ file:///srv/rich.whl", "./rich.whl"],
)
def test_no_place_to_fetch_from(tree: Path, line: str) -> None:
    lock = tree / "requirements.lock"
    lock.write_text(f"{line}\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")

    assert f"requirements.lock: line 1 names a place to fetch from: {line}" in check(tree)


def test_every_pin_has_a_hash(tree: Path) -> None:
    edit(tree / "requirements.lock", r"^(rich==\S+) \\\n(    --hash=\S+( \\)?\n)+", r"\1\n")

    assert "requirements.lock: rich has no hash" in check(tree)


def test_locks_agree_with_each_other(tree: Path) -> None:
    """What is tested is what is shipped."""
    edit(tree / "requirements.lock", r"^msgspec==\S+", "msgspec==9999.0")

    assert "requirements.lock: msgspec 9999.0 differs from requirements-dev.lock" in check(tree)
