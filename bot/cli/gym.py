"""`cnibot lab gym`: break, diagnose, score."""

import asyncio
import enum
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.common import PROBLEM, USAGE, begin, errors_explained, fail, knowledge_of
from bot.domain.facts import Rung
from bot.gym.cases import Case, decoys_only, healthy, pairs, shuffled, singles
from bot.gym.page import page, summary
from bot.gym.run import RUNGS, lab_faults, run_cases
from bot.gym.score import Score
from bot.incidents.knowledge import Knowledge


class Output(enum.StrEnum):
    """The forms of the results."""

    TEXT = "text"
    JSON = "json"


def gym(  # noqa: PLR0913, PLR0917 the options of the contract
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault. Repeatable.")] = None,
    cni: Annotated[list[str] | None, typer.Option(help="Only this CNI. Repeatable.")] = None,
    rung: Annotated[list[Rung] | None, typer.Option(help="Only this access rung. Repeatable.")] = None,
    sample: Annotated[int, typer.Option(help="A shuffled sample of so many faults instead of all.", min=0)] = 0,
    decoys: Annotated[int, typer.Option(help="So many labs with decoys only.", min=0)] = 0,
    with_pairs: Annotated[int, typer.Option("--pairs", help="So many labs with two faults.", min=0)] = 0,
    healthy_labs: Annotated[int, typer.Option("--healthy", help="So many healthy labs.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Decides samples, pairs and decoys.")] = 1,
    output: Annotated[Output, typer.Option("--output", "-o", help="The form of the results.")] = Output.TEXT,
    write: Annotated[
        Path | None, typer.Option(help="Also write the page (.md) and, beside it, the figures (.json).")
    ] = None,
) -> None:
    """Break fresh labs, diagnose them, and score the verdicts. Exit code 1 when a target is missed."""
    with errors_explained():
        knowledge = knowledge_of(begin(), None)
        faults = tuple(one for one in lab_faults() if not fault or one.id in fault)
        unknown = set(fault or ()) - {one.id for one in faults}
        if unknown:
            fail(f"There is no fault {', '.join(sorted(unknown))}: cnibot lab faults lists them.", USAGE)
        if sample:
            cases = list(shuffled(faults, singles_wanted=sample, decoys_wanted=decoys, seed=seed))
        else:
            cases = [*singles(faults), *decoys_only(faults, times=decoys, seed=seed)]
        cases += [*pairs(faults, most=with_pairs, seed=seed), *healthy(healthy_labs)]
        cases = [case for case in cases if not cni or case.cni in cni]
        scores = asyncio.run(_run(cases, knowledge, tuple(rung or RUNGS)))
    if write:
        _write(write, scores)
    figures = summary(scores)
    if output is Output.JSON:
        typer.echo(json.dumps({"summary": asdict(figures), "scores": [asdict(each) for each in scores]}, indent=1))
    else:
        typer.echo(page(scores, command="cnibot lab gym"))
    raise typer.Exit(0 if figures.is_reached else PROBLEM)


async def _run(cases: list[Case], knowledge: Knowledge, rungs: tuple[Rung, ...]) -> list[Score]:
    scores: list[Score] = []
    done = 0

    def on_case(case: Case) -> None:
        nonlocal done
        done += 1
        typer.echo(f"[{done}/{len(cases)}] {case.id}", err=True)

    async for score in run_cases(cases, knowledge, rungs=rungs, on_case=on_case):
        scores.append(score)
        if not score.is_top1 and score.rung == "agent":
            typer.echo(f"    missed: {score.verdict or score.status} instead of {', '.join(score.expected)}", err=True)
    return scores


def _write(path: Path, scores: list[Score]) -> None:
    path.write_text(page(scores, command="make gym"), encoding="utf-8")
    figures = {"summary": asdict(summary(scores)), "scores": [asdict(each) for each in scores]}
    path.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
