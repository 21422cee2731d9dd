"""The set-up script says what is wrong and what to do, in one line each."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import copied


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A place where nothing is set up yet."""
    return copied(tmp_path, ".ci", "pyproject.toml", *(f"requirements-{kind}.lock" for kind in ("lab", "dev")))


def setup(tree: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = subprocess.run(
        [str(tree / ".ci" / "setup"), *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_interpreter_that_does_not_run(tree: Path) -> None:
    code, said = setup(tree, "lab", PYTHON="/bin/false")

    assert (code, said) == (1, "setup: PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13 that runs\n")
    assert not (tree / ".venv").exists()


def test_interpreter_of_another_version(tree: Path) -> None:
    old = tree / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    code, said = setup(tree, "dev", PYTHON=str(old))

    assert code == 1
    assert f"PYTHON={old} is not a Python 3.11, 3.12 or 3.13" in said


def test_unknown_kind(tree: Path) -> None:
    code, said = setup(tree, "everything")

    assert (code, said) == (1, "setup: usage: .ci/setup lab|dev|system|browser|monitoring\n")
