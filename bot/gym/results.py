"""The gym's figures on disk: written after each case, so that a run that was cut off can go on."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot.domain.errors import ConfigurationError
from bot.domain.facts import Rung
from bot.gym.cases import Case
from bot.gym.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the figures were taken: seconds mean little without it."""

    cpus: int
    kernel: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All scores of a run, and how to repeat it."""

    command: str
    machine: Machine
    scores: tuple[Score, ...] = ()


def this_machine() -> Machine:
    """What the figures of this run are taken on."""
    return Machine(
        cpus=os.cpu_count() or 1,
        kernel=".".join(platform.release().split(".")[:2]),
        python=".".join(platform.python_version_tuple()[:2]),
    )


def in_days(days: Iterable[str]) -> str:
    """When figures were taken: "2026-11-23 (918) and 2026-11-30 (26)"."""
    return " and ".join(f"{day or 'a day not noted'} ({number})" for day, number in sorted(Counter(days).items()))


def as_json(results: Results, **more: object) -> str:
    """The results as one JSON object, a line for each score; `more` are further values at its top."""
    head = msgspec.json.encode({"command": results.command, "machine": results.machine, **more}).decode()
    lines = ",\n".join(msgspec.json.encode(score).decode() for score in results.scores)
    return f'{head[:-1]},"scores":[\n{lines}\n]}}\n'


def save(path: Path, results: Results) -> None:
    """Write the figures; whoever reads meanwhile sees the old ones or the new ones."""
    new = path.with_suffix(".new")
    new.write_text(as_json(results), encoding="utf-8")
    new.replace(path)


def load(path: Path) -> Results:
    """The figures of an earlier run. Errors: `ConfigurationError` when the file holds something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"The gym's figures {path}", str(error)) from error


def left(cases: Iterable[Case], rungs: Sequence[Rung], results: Results) -> list[Case]:
    """The cases that are not scored yet on these rungs. A case that comes twice counts twice."""
    scored = Counter(score.case for score in results.scores)
    found: list[Case] = []
    for case in cases:
        needed = len(case.diagnoses(rungs))
        if scored[case.id] >= needed:
            scored[case.id] -= needed
        else:
            found.append(case)
    return found
