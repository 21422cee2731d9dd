"""The gym's figures on disk: written after each case, so that a run that was cut off can go on."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot.domain.errors import ConfigurationError
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


def left(cases: Sequence[str], results: Results) -> list[int]:
    """Which of the cases, by their ids, have no scores yet: their places. A case that comes twice counts twice."""
    done: dict[str, int] = {}
    rungs = {score.rung for score in results.scores}
    for score in results.scores:
        done[score.case] = done.get(score.case, 0) + 1
    places: list[int] = []
    for place, case in enumerate(cases):
        if done.get(case, 0) >= len(rungs) > 0:
            done[case] -= len(rungs)
        else:
            places.append(place)
    return places
