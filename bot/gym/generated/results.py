"""The results of generated scenarios on disk: written after each one, so that a run that was cut off can go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot.domain.errors import ConfigurationError
from bot.gym.generated.figures import Figures, figures
from bot.gym.generated.outcome import Result
from bot.gym.generated.scenario import Scenario
from bot.gym.results import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedResults:
    """A run, and how to repeat it."""

    command: str
    machine: Machine
    seed: int
    results: tuple[Result, ...] = ()


def as_json(run: GeneratedResults, **more: object) -> str:
    """The run as one JSON object, a line for each result; `more` are further values at its top."""
    head = msgspec.json.encode({"command": run.command, "machine": run.machine, "seed": run.seed, **more}).decode()
    lines = ",\n".join(msgspec.json.encode(one).decode() for one in run.results)
    return f'{head[:-1]},"results":[\n{lines}\n]}}\n'


def summary(run: GeneratedResults) -> dict[str, Figures]:
    """The figures, by rung."""
    rungs = list(dict.fromkeys(one.rung for one in run.results if one.rung))
    return {rung: figures(of_rung(run.results, rung)) for rung in rungs}


def of_rung(results: Iterable[Result], rung: str) -> list[Result]:
    """The results of a rung, with what was not diagnosed on any."""
    return [one for one in results if one.rung in {rung, ""}]


def save(path: Path, run: GeneratedResults) -> None:
    """Write the run; whoever reads meanwhile sees the old one or the new one."""
    new = path.with_suffix(".new")
    new.write_text(as_json(run), encoding="utf-8")
    new.replace(path)


def load(path: Path) -> GeneratedResults:
    """An earlier run. Errors: `ConfigurationError` when the file holds something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=GeneratedResults)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"The gym's results {path}", str(error)) from error


def left(scenarios: Iterable[Scenario], results: Sequence[Result]) -> tuple[Scenario, ...]:
    """The scenarios that have no result yet."""
    done = {one.id for one in results}
    return tuple(one for one in scenarios if one.id not in done)
