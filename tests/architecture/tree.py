"""The source tree as the architecture tests read it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {".git", ".hypothesis", ".venv", ".state", "__pycache__", "build", "dist"}


def source_files() -> Iterator[Path]:
    """Every file that is kept, without what tools leave behind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not any(part in GENERATED or part.endswith(("cache", ".egg-info")) for part in parts):
            yield path


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
