"""A cluster that shows what was recorded: real judging, and nothing that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from bot.cluster.client.api import Listed
from bot.cluster.snapshot.asked_pods import check_pod
from bot.cluster.snapshot.snapshot import Snapshot
from bot.diagnosis.judge import judge_recording
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import Recording
from bot.diagnosis.request import OnProgress, Progress, Request, silent
from bot.domain.alert import AlertScope
from bot.domain.errors import NotFoundError, UnknownNamespaceError
from bot.domain.report import Report
from bot.domain.software import Software
from bot.incidents.alerting.locating import Located, locate
from bot.incidents.clusters import nearest
from bot.incidents.worker import Inspected
from bot.probes.cni_inventory.observe import software_of

T = TypeVar("T")

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
        check_pod(request.namespace, recording.snapshot.pods, request.pod)
        for progress in _replayed(recording):
            on_progress(progress)
            await (self.between(progress) if self.between else asyncio.sleep(0))
        return judge_recording(recording, knowledge(), playbook=request.playbook)

    async def inspect(self, request: Request) -> Inspected:
        """The same, with what the recorded nodes' agents reported."""
        report = await self.diagnose(request, silent)
        return Inspected(report=report, node_reports=self.recordings[request.namespace].reports)

    async def namespaces(self) -> tuple[str, ...]:
        """Those recorded."""
        return tuple(sorted(self.recordings))

    async def check_pod(self, namespace: str, name: str) -> None:
        """Among those recorded."""
        check_pod(namespace, self.recordings[namespace].snapshot.pods, name)

    async def reach(self) -> None:
        """At once."""

    async def nodes(self) -> tuple[str, ...]:
        """Those recorded."""
        return tuple(sorted({node.metadata.name for each in self.recordings.values() for node in each.snapshot.nodes}))

    async def locate(self, scope: AlertScope) -> Located | None:
        """By the objects that were recorded."""
        return await locate(scope, Recorded([each.snapshot for each in self.recordings.values()]))

    async def software(self) -> Software:
        """What the first recording tells."""
        return software_of(next(iter(self.recordings.values())).snapshot)


class Recorded:
    """Lists of what snapshots hold, with the field selectors that are in use."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots

    async def get(self, path: str, item_type: type[T], **query: str | int) -> T:
        kept: dict[str, Any] = {each.metadata.name: each for one in self._snapshots for each in one.config_maps}
        name = path.rpartition("/")[2]
        if name not in kept:
            raise NotFoundError(name)
        return kept[name]

    async def list_all(self, path: str, item_type: type[T], *, max_items: int = 1000, **query: str | int) -> Listed[T]:
        nodes: dict[str, Any] = {node.metadata.name: node for one in self._snapshots for node in one.nodes}
        pods: dict[str, Any] = {
            pod.metadata.uid: pod
            for one in self._snapshots
            for pod in (*one.pods, *one.node_pods, *one.dependency_pods)
        }
        field, _, value = str(query.get("fieldSelector", "")).partition("=")
        namespace = path.split("/")[4] if "/namespaces/" in path else ""
        found = list(nodes.values()) if path.endswith("/nodes") else list(pods.values())
        chosen = [
            each
            for each in found
            if namespace in {"", each.metadata.namespace}
            and (not field or value == (each.metadata.name if field == "metadata.name" else each.status.pod_ip))
        ]
        return Listed(items=tuple(chosen[:max_items]))


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
