"""Running cases: a fresh lab each, broken as the case says, diagnosed on each rung of the access ladder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.request import Request
from bot.domain.facts import Rung
from bot.gym.cases import Case, GymFault
from bot.gym.score import Answers, Score, score
from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.cluster.faults.registry import all_faults
from bot.lab.scratch import scratch

NAMESPACE = "seldon-mesh"
RUNGS = (Rung.API, Rung.EXEC, Rung.CNI_AGENT, Rung.AGENT)
SETTLE_S = 1.0
"""Between breaking and diagnosing: what an on-call engineer needs to type is longer."""


def lab_faults() -> tuple[GymFault, ...]:
    """Every fault and decoy that the lab has."""
    return tuple(
        GymFault(id=one.id, letter=one.letter, cnis=one.cnis, scope=one.scope, cause=one.cause, also=one.also)
        for one in all_faults().values()
    )


def answers(knowledge: Knowledge) -> Answers:
    """What scores are held against, from the rules themselves."""
    return Answers(
        causes={cause.id: cause for cause in knowledge.causes},
        issues={issue.id: frozenset(issue.causes) for issue in knowledge.known_issues},
    )


async def run_cases(
    cases: Iterable[Case], knowledge: Knowledge, *, rungs: Sequence[Rung], on_case: Callable[[Case], None]
) -> AsyncIterator[tuple[Score, ...]]:
    """The scores of each case; one lab after the other."""
    held = answers(knowledge)
    for case in cases:
        on_case(case)
        with scratch("gym") as directory:
            yield await run_case(case, directory / "lab", knowledge, held, rungs)


async def run_case(
    case: Case, directory: Path, knowledge: Knowledge, held: Answers, rungs: Sequence[Rung]
) -> tuple[Score, ...]:
    """The scores of one case, one for each of its diagnoses. The lab is gone afterwards, however it ends."""
    lab = await asyncio.to_thread(launch.start, directory, launch.LabOptions(cni=case.cni), attached=True)
    try:
        client = LabClient(directory)
        for fault, node in zip(case.faults, case.nodes, strict=True):
            await client.break_(fault.id, node=node)
        await asyncio.sleep(SETTLE_S)
        found: list[Score] = []
        for rung in case.diagnoses(rungs):
            request = Request(namespace=NAMESPACE, access=rung)
            done = await diagnose_cluster(client.kubeconfig, None, request, knowledge)
            found.append(score(case, str(rung), done.report, held))
        return tuple(found)
    finally:
        await asyncio.to_thread(lab.stop)
