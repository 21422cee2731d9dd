"""What the kernel knows of processes: whose children they are, what they were given, what they have open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def _all() -> Iterator[int]:
    return (int(each.name) for each in _PROC.iterdir() if each.name.isdecimal())


def _parent(pid: int) -> int:
    try:
        return int(
            (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
        )
    except (OSError, IndexError):
        return 0


def children(pid: int) -> list[int]:
    """Of this process, not theirs."""
    return [each for each in _all() if _parent(each) == pid]


def descendants(pid: int) -> set[int]:
    """Its children, theirs and so on."""
    parents = {each: _parent(each) for each in _all()}
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {each for each, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def marked(variable: str, value: str) -> set[int]:
    """Processes that were given this environment variable."""
    wanted, found = f"{variable}={value}".encode(), set[int]()
    for pid in _all():
        with suppress(OSError):
            if wanted in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def commands(pids: Iterable[int]) -> list[str]:
    """Of those that still run."""
    found = list[str]()
    for pid in pids:
        with suppress(OSError):
            command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
            found.append(command.decode(errors="replace").strip()[:200])
    return found


def descriptors(pid: int) -> int:
    """How many files and sockets the process has open."""
    return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
