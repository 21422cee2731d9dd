"""The clusters that can be asked about, each by the name that people type."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.cluster.kube import Api
from bot.cluster.objects import Namespace
from bot.domain.errors import BotError, UnknownNamespaceError, bounded
from bot.incidents.diagnose import look
from bot.incidents.knowledge import Knowledge
from bot.incidents.recording import Recording
from bot.incidents.request import OnProgress, Progress, Request

DEFAULT_NAME = "default"
CONNECT_S = 5.0


class UnknownClusterError(BotError):
    """No cluster of this name is configured."""

    def __init__(self, name: str | None, names: Sequence[str]) -> None:
        asked = f"There is no cluster {bounded(name, 80)!r}." if name else "No cluster is configured."
        super().__init__(f"{asked} There are: {', '.join(names)}." if names else asked)
        self.name = name
        self.names = tuple(names)


class Cluster(Protocol):
    """One cluster to look at."""

    @property
    def name(self) -> str:
        """As people type it."""
        ...

    async def look(self, request: Request, knowledge: Knowledge, on_progress: OnProgress) -> Recording:
        """The evidence. Errors: those of `bot.incidents.diagnose.look`."""
        ...

    async def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces. Errors: `BotError` (also where listing is forbidden)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeCluster:
    """A cluster by its kubeconfig and context; None as kubectl would choose."""

    name: str
    kubeconfig: Path | None = None
    context: str | None = None

    async def look(self, request: Request, knowledge: Knowledge, on_progress: OnProgress) -> Recording:
        """The evidence from the live cluster."""
        async with Api.connect(self.kubeconfig, self.context) as api:
            return await look(api, request, knowledge, on_progress=on_progress)

    async def namespaces(self) -> tuple[str, ...]:
        """Asked anew each time."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            listed = await api.list_all("/api/v1/namespaces", Namespace)
        return tuple(each.metadata.name for each in listed.items)


@dataclass(slots=True, kw_only=True)
class RecordedCluster:
    """A cluster that shows what was recorded: for demonstrations without one, and for tests."""

    name: str
    recordings: Mapping[str, Recording]
    """By namespace."""
    between: Callable[[Progress], Awaitable[None]] | None = None
    """Awaited after each word of progress."""

    async def look(self, request: Request, knowledge: Knowledge, on_progress: OnProgress) -> Recording:
        """The recording of the namespace, with the progress that a live look would show."""
        del knowledge
        recording = self.recordings.get(request.namespace)
        if recording is None:
            raise UnknownNamespaceError(request.namespace, nearest(request.namespace, sorted(self.recordings)))
        for progress in _replayed(recording):
            on_progress(progress)
            await (self.between(progress) if self.between else asyncio.sleep(0))
        return recording

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
    )


class Clusters:
    """All of them by name; the first is meant where none is named."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._by_name = {cluster.name: cluster for cluster in clusters}

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the settings."""
        return tuple(self._by_name)

    @property
    def is_one(self) -> bool:
        """Whether naming the cluster is needless."""
        return len(self._by_name) == 1

    def named(self, name: str | None) -> Cluster:
        """The cluster of this name, upper and lower case alike; None: the first. Errors: `UnknownClusterError`."""
        for known, cluster in self._by_name.items():
            if name is None or known.lower() == name.lower():
                return cluster
        raise UnknownClusterError(name, self.names)


async def cluster_in_force(kubeconfig: Path | None = None, context: str | None = None) -> KubeCluster:
    """The one cluster where none is configured: the kubeconfig's own, under the name of its context."""
    try:
        async with Api.connect(kubeconfig, context) as api:
            name = api.context
    except BotError:
        name = ""
    return KubeCluster(name=name or DEFAULT_NAME, kubeconfig=kubeconfig, context=context)


def nearest(name: str, known: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """Known names that resemble this one, best first: a typing error, or a part of the name."""
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.6)
    parts = sorted(each for each in known if len(name) > 2 and (name in each or each in name))
    return tuple(dict.fromkeys((*close, *parts)))[:most]
