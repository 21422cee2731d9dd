"""A cluster that shows what was recorded: real judging, and nothing that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache

from bot.domain.errors import UnknownNamespaceError
from bot.domain.report import Report
from bot.incidents.clusters import nearest
from bot.incidents.judge import judge_recording
from bot.incidents.knowledge import Knowledge, load_knowledge
from bot.incidents.recording import Recording
from bot.incidents.request import OnProgress, Progress, Request

knowledge: Callable[[], Knowledge] = cache(load_knowledge)
"""Our own playbooks, read once in each test process."""


@dataclass(slots=True, kw_only=True)
class RecordedCluster:
    """A `bot.incidents.clusters.Cluster`."""

    name: str
    recordings: Mapping[str, Recording]
    """By namespace."""
    between: Callable[[Progress], Awaitable[None]] | None = None
    """Awaited after each word of progress."""

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        """The report on the recording of the namespace, with the progress that a live look would show."""
        recording = self.recordings.get(request.namespace)
        if recording is None:
            raise UnknownNamespaceError(request.namespace, nearest(request.namespace, sorted(self.recordings)))
        for progress in _replayed(recording):
            on_progress(progress)
            await (self.between(progress) if self.between else asyncio.sleep(0))
        return judge_recording(recording, knowledge())

    async def namespaces(self) -> tuple[str, ...]:
        """Those recorded."""
        return tuple(sorted(self.recordings))


def _replayed(recording: Recording) -> tuple[Progress, ...]:
    snapshot = recording.snapshot
    counted = f"{len(snapshot.pods)} pods, {len(snapshot.nodes)} nodes, {len(snapshot.services)} Services"
    nodes = [Progress(stage="node", state="done", subject=node, sentence="recorded") for node in recording.reports]
    return (
        Progress(stage="api", state="started", sentence=f"reading namespace {snapshot.namespace}"),
        Progress(stage="api", state="done", sentence=counted),
        Progress(stage="access", state="done", sentence=f"recorded by rung {recording.access}"),
        *nodes,
        Progress(stage="judge", state="started", sentence="weighing causes"),
    )
