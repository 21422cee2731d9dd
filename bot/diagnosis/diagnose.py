"""One diagnosis from beginning to end: collect evidence under a deadline, then judge it."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.cluster.client.api import Api
from bot.diagnosis.collect import collect
from bot.diagnosis.judge import judge_recording
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.recording import Recording, record
from bot.diagnosis.request import OnProgress, Progress, Request, silent
from bot.diagnosis.second_look import doubtful_pods
from bot.domain.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The report, and the evidence that it was judged by."""

    report: Report
    recording: Recording


async def diagnose_cluster(
    kubeconfig: Path | None,
    context: str | None,
    request: Request,
    knowledge: Knowledge,
    *,
    on_progress: OnProgress = silent,
    judges: Executor | None = None,
) -> Diagnosis:
    """Connect to the cluster that the kubeconfig names and diagnose. Errors: as `diagnose`, and of connecting."""
    async with Api.connect(kubeconfig, context) as api:
        return await diagnose(api, request, knowledge, on_progress=on_progress, judges=judges)


async def diagnose(
    api: Api,
    request: Request,
    knowledge: Knowledge,
    *,
    on_progress: OnProgress = silent,
    judges: Executor | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Diagnosis:
    """Why pods of the request's namespace cannot talk. `judges` are the threads to weigh causes in: any, where None.

    Errors: `UnknownNamespaceError`, `UnauthorizedError`, `UnreachableError`, `ConfigurationError`. Whatever else could
    not be seen is in the evidence.
    """
    knowledge.playbook(request.playbook)
    started_at, began = now(), clock()
    evidence = await collect(
        api, request, knowledge.dials, on_progress, lambda seen: doubtful_pods(seen, knowledge, request.playbook)
    )
    recording = record(
        evidence,
        started_at=started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        took_s=clock() - began,
        playbook=request.playbook,
    )
    on_progress(Progress(stage="judge", state="started", sentence="weighing causes"))
    report = await asyncio.get_running_loop().run_in_executor(judges, judge_recording, recording, knowledge)
    return Diagnosis(report=report, recording=recording)
