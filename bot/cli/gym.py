"""`cnibot lab gym`: break, diagnose, score."""

import asyncio
import enum
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.common import PROBLEM, USAGE, begin, errors_explained, fail, knowledge_of
from bot.cli.gym_generated import Wanted, explain, generated
from bot.diagnosis.knowledge import Knowledge
from bot.domain.facts import Rung
from bot.gym.cases import Case, decoys_only, healthy, pairs, shuffled, singles
from bot.gym.page import page, summary
from bot.gym.results import Results, as_json, left, load, save, this_machine
from bot.gym.run import RUNGS, lab_faults, run_cases
from bot.gym.score import Score
from bot.lab.cluster.commands import cni_names, fault_names


class Output(enum.StrEnum):
    """The forms of the results."""

    TEXT = "text"
    JSON = "json"


def gym(  # noqa: PLR0913, PLR0917 the options of the contract
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault. Repeatable.", autocompletion=fault_names)
    ] = None,
    cni: Annotated[list[str] | None, typer.Option(help="Only this CNI. Repeatable.", autocompletion=cni_names)] = None,
    rung: Annotated[list[Rung] | None, typer.Option(help="Only this access rung. Repeatable.")] = None,
    sample: Annotated[int, typer.Option(help="How many faults to draw at random, instead of playing all.", min=0)] = 0,
    decoys: Annotated[int, typer.Option(help="How many labs with decoys only to diagnose.", min=0)] = 0,
    with_pairs: Annotated[int, typer.Option("--pairs", help="How many labs with two faults to diagnose.", min=0)] = 0,
    healthy_labs: Annotated[int, typer.Option("--healthy", help="How many healthy labs to diagnose.", min=0)] = 0,
    faults_generated: Annotated[
        int, typer.Option("--generated", help="How many faults to compose from seeds, instead of the lab's.", min=0)
    ] = 0,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this generated one: CNI/SEED. Repeatable.")] = None,
    explained: Annotated[
        str, typer.Option("--explain", help="Print what a generated one does (CNI/SEED or SEED), with commands.")
    ] = "",
    state: Annotated[
        Path | None, typer.Option(help="With --explain: a running lab, whose names the commands shall use.")
    ] = None,
    repeat: Annotated[  # noqa: FBT002 a flag
        bool, typer.Option("--repeat", help="Diagnose one generated fault in two again after ten seconds.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Decides samples, pairs, decoys and generated faults (those: else a fresh one).")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Format of the results.")] = Output.TEXT,
    write: Annotated[
        Path | None, typer.Option(help="Also write the figures to this file (JSON), after each case.", dir_okay=False)
    ] = None,
    resume: Annotated[  # noqa: FBT002 a flag
        bool, typer.Option("--resume", help="Go on where the figures of --write end.")
    ] = False,
) -> None:
    """Break fresh labs, diagnose them, and score the verdicts. Exit code 1 when a target is missed."""
    with errors_explained():
        if resume and not write:
            fail("--resume goes on with the figures of --write FILE: name the file too.", USAGE)
        if explained:
            explain(explained, cni or (), state)
            return
        knowledge = knowledge_of(begin(), None)
        if faults_generated or scenario:
            wanted = Wanted(
                faults=faults_generated,
                decoys=decoys,
                scenarios=tuple(scenario or ()),
                cnis=tuple(cni or ()),
                rungs=tuple(rung or (Rung.AGENT,)),
                seed=seed,
                is_repeated=repeat,
                is_json=output is Output.JSON,
                write=write,
                is_resumed=resume,
                command=_command(),
            )
            generated(wanted, knowledge)
        seed = 1 if seed is None else seed
        faults = tuple(one for one in lab_faults() if not fault or one.id in fault)
        unknown = set(fault or ()) - {one.id for one in faults}
        if unknown:
            fail(f"There is no fault {', '.join(sorted(unknown))}: cnibot lab faults lists them.", USAGE)
        if sample:
            cases = list(shuffled(faults, singles_wanted=sample, decoys_wanted=decoys, seed=seed))
        else:
            cases = [*singles(faults), *decoys_only(faults, runs=decoys, seed=seed)]
        cases += [*pairs(faults, most=with_pairs, seed=seed), *healthy(healthy_labs)]
        cases = [case for case in cases if not cni or case.cni in cni]
        rungs = tuple(rung or RUNGS)
        results = Results(command=_command(), machine=this_machine())
        if write and resume and write.exists():
            results = replace(load(write), command=results.command)
            cases = left(cases, rungs, results)

        def keep(scores: Sequence[Score]) -> None:
            if write:
                save(write, replace(results, scores=(*results.scores, *scores)))

        scores = [*results.scores, *asyncio.run(_run(cases, knowledge, rungs, keep))]
    figures = summary(scores)
    results = replace(results, scores=tuple(scores))
    typer.echo(as_json(results, summary=figures) if output is Output.JSON else page(results), nl=False)
    for miss in figures.misses:
        typer.echo(f"missed: {miss}", err=True)
    raise typer.Exit(PROBLEM if figures.misses else 0)


def _command() -> str:
    """How to take these figures again."""
    return shlex.join(["cnibot", *(word for word in sys.argv[1:] if word != "--resume")])


async def _run(
    cases: Sequence[Case], knowledge: Knowledge, rungs: tuple[Rung, ...], keep: Callable[[Sequence[Score]], None]
) -> list[Score]:
    scores: list[Score] = []
    done = 0

    def on_case(case: Case) -> None:
        nonlocal done
        done += 1
        typer.echo(f"[{done}/{len(cases)}] {case.id}", err=True)

    async for found in run_cases(cases, knowledge, rungs=rungs, on_case=on_case):
        scores.extend(found)
        keep(scores)
        for score in found:
            _tell(score)
    return scores


def _tell(score: Score) -> None:
    """What went wrong, as soon as it is known."""
    wanted = ", ".join(score.expected) or "nothing"
    if score.rung == Rung.AGENT and not (score.is_top1 and score.is_complete):
        typer.echo(f"    missed: {score.verdict or score.status} instead of {wanted}", err=True)
    if score.rung == Rung.AGENT and not score.is_hop_right:
        typer.echo("    missed: the hop is wrong", err=True)
    if score.is_overclaimed:
        typer.echo(f"    overclaimed on rung {score.rung}: {score.verdict or score.status}", err=True)
    if score.wrong_known_issues:
        typer.echo(f"    wrong known issue on rung {score.rung}: {', '.join(score.wrong_known_issues)}", err=True)
