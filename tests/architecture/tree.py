"""The source tree as the architecture tests read it."""

import os
import shutil
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {".git", ".hypothesis", ".venv", ".state", "__pycache__", "build", "dist"}


def _is_generated(name: str) -> bool:
    return name in GENERATED or name.endswith(("cache", ".egg-info"))


@cache
def source_files() -> tuple[Path, ...]:
    """Every file that is kept, without what tools leave behind."""
    found: list[Path] = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not _is_generated(name)]
        found += [Path(directory, name) for name in names if not _is_generated(name)]
    return tuple(sorted(found))


def python_files(under: str) -> list[Path]:
    """The modules under a directory; an empty directory is an error, so that no rule passes on nothing."""
    found = sorted((ROOT / under).rglob("*.py"))
    assert found, f"no modules under {under}"
    return found


def copied(target: Path, *names: str) -> Path:
    """A copy of some top-level files and directories, to be broken at will."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    return target
