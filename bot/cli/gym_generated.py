"""`cnibot lab gym --generated N`: faults that a seed composes, proven by sockets; and what one of them does."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from bot.cli.common import PROBLEM, USAGE, fail
from bot.diagnosis.knowledge import Knowledge
from bot.domain.facts import Rung
from bot.gym.generated.draw import CNIS
from bot.gym.generated.generate import named, plan
from bot.gym.generated.inject import explained
from bot.gym.generated.lab_names import read_names
from bot.gym.generated.outcome import Outcome, Result
from bot.gym.generated.page import section
from bot.gym.generated.results import GeneratedResults, as_json, left, load, save, summary
from bot.gym.generated.run import Options, play
from bot.gym.generated.scenario import Scenario
from bot.gym.results import this_machine
from bot.lab.cluster.control import LabClient

REPEAT_EVERY = 2
MUST_NOT_HAPPEN: Mapping[Outcome, str] = {
    "wrong-confirmed": "confirmed what nobody did",
    "alarm": "blamed something though nothing was broken",
    "healthy": "called healthy what was broken",
}
"""Each such verdict fails a run: somebody would act on it, or not look any further. What was left open, or named with
less than it could have been, is reported only."""
NOT_DONE_ALLOWED = 1 / 3
"""A run fails above this share of scenarios that the lab refused, too: then the gym itself is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    faults: int
    decoys: int
    scenarios: tuple[str, ...]
    cnis: tuple[str, ...]
    rungs: tuple[Rung, ...]
    seed: int | None
    is_repeated: bool
    is_json: bool
    write: Path | None
    is_resumed: bool
    command: str


def explain(name: str, cnis: Sequence[str], state: Path | None) -> None:
    """Print the scenario of an id (CNI/SEED), or of a seed on the data planes asked for."""
    ids = [name] if "/" in name else [f"{cni}/{name}" for cni in cnis or CNIS]
    for one in ids:
        scenario = named(one)
        names = asyncio.run(read_names(LabClient(state), scenario)) if state else None
        typer.echo(explained(scenario, names))


def generated(wanted: Wanted, knowledge: Knowledge) -> None:
    """Play, print, and exit: 1 where a verdict is false or the gym is broken."""
    run, scenarios = _begun(wanted)

    def keep(results: Sequence[Result]) -> None:
        if wanted.write:
            save(wanted.write, replace(run, results=(*run.results, *results)))

    options = Options(rungs=wanted.rungs, repeat_every=REPEAT_EVERY if wanted.is_repeated else 0)
    found = asyncio.run(_played(scenarios, knowledge, options, keep))
    run = replace(run, results=(*run.results, *found))
    typer.echo(as_json(run, summary=summary(run)) if wanted.is_json else "\n".join(section(run)), nl=False)
    found_wrong = problems(run.results)
    for problem in found_wrong:
        typer.echo(problem, err=True)
    raise typer.Exit(PROBLEM if found_wrong else 0)


def _begun(wanted: Wanted) -> tuple[GeneratedResults, tuple[Scenario, ...]]:
    """The run so far, and what is left to play."""
    seed = secrets.randbelow(1_000_000) if wanted.seed is None else wanted.seed
    run = GeneratedResults(command=wanted.command, machine=this_machine(), seed=seed)
    if wanted.write and wanted.is_resumed and wanted.write.exists():
        run = replace(load(wanted.write), command=wanted.command)
    unknown = set(wanted.cnis) - set(CNIS)
    if unknown:
        fail(f"There is no data plane {', '.join(sorted(unknown))}: {', '.join(CNIS)}.", USAGE)
    asked = tuple(named(one) for one in wanted.scenarios)
    drawn = plan(wanted.faults, wanted.decoys, seed=run.seed, cnis=wanted.cnis or CNIS)
    typer.echo(f"seed {run.seed}: {wanted.faults} faults, {wanted.decoys} decoys", err=True)
    return run, left((*asked, *drawn), run.results)


async def _played(
    scenarios: Sequence[Scenario], knowledge: Knowledge, options: Options, keep: Callable[[Sequence[Result]], None]
) -> list[Result]:
    found: list[Result] = []

    def say(text: str) -> None:
        typer.echo(text, err=True)

    number = 0
    async for results in play(scenarios, knowledge, options, say):
        number += 1
        found.extend(results)
        keep(found)
        for one in results:
            say(f"[{number}/{len(scenarios)}] {result_line(one)}")
    return found


def result_line(one: Result) -> str:
    """A result in a line."""
    verdict = f"{one.status} {one.cause or '-'} {one.confidence} hop {one.hop or '-'}" if one.status else one.summary
    wrong = f"; WRONG AND CONFIRMED: {', '.join(one.wrong)}" if one.wrong else ""
    again = f"; ten seconds later: {one.again}" if one.again else ""
    effect = f" [{one.symptom}, {100 * one.share:.0f} %]" if one.symptom else ""
    return f"{one.id} {one.outcome}: {one.mechanism}, {one.place}: {one.says}{effect} | {verdict}{wrong}{again}"


def problems(results: Sequence[Result]) -> list[str]:
    """Why a run fails: a false verdict each, or that the gym itself is broken."""
    found = [
        f"{one.id}, rung {one.rung}: {MUST_NOT_HAPPEN[one.outcome]} ({', '.join(one.wrong) or one.cause or one.status})"
        for one in results
        if one.outcome in MUST_NOT_HAPPEN
    ]
    refused = [one for one in results if one.outcome == "not done"]
    if len(refused) > NOT_DONE_ALLOWED * len(results):
        found.append(
            f"the gym is broken: {len(refused)} of {len(results)} scenarios were not done ({refused[0].summary})"
        )
    return found
