"""The clusters that can be asked about, each by the name that people type."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.cluster.client.api import Api
from bot.cluster.cni.installed import read_installed
from bot.cluster.objects import Namespace, Node, Pod
from bot.cluster.snapshot.asked_pods import check_pod
from bot.diagnosis.request import OnProgress, Request
from bot.domain.alert import AlertScope
from bot.domain.errors import BotError, bounded
from bot.domain.report import Report
from bot.domain.software import Software
from bot.incidents.alerting.locating import Located, locate, located_by_itself
from bot.incidents.worker import DiagnosisWorker, Inspected
from bot.probes.cni_inventory.observe import software_of

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

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        """The report. Errors: `UnknownNamespaceError`, any other `BotError`; `WorkerError`."""
        ...

    async def inspect(self, request: Request) -> Inspected:
        """The report, and what nodes' agents reported. Errors: as `diagnose`."""
        ...

    async def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces. Errors: `BotError` (also where listing is forbidden)."""
        ...

    async def check_pod(self, namespace: str, name: str) -> None:
        """Find a pod or workload. Errors: `UnknownPodError`; any other `BotError` where that is not known."""
        ...

    async def nodes(self) -> tuple[str, ...]:
        """The names of all nodes. Errors: `BotError`."""
        ...

    async def reach(self) -> None:
        """Return when the API server has answered us. Errors: `BotError`."""
        ...

    async def locate(self, scope: AlertScope) -> Located | None:
        """Where to look for an alert; None: it names what the cluster does not have. Errors: `BotError`."""
        ...

    async def software(self) -> Software:
        """Its CNI and versions, as far as it tells them. Errors: `BotError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeCluster:
    """A cluster by its kubeconfig and context; None as kubectl would choose."""

    name: str
    kubeconfig: Path | None = None
    context: str | None = None
    worker: DiagnosisWorker

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        """The report on the live cluster, made in the worker."""
        return await self.worker.diagnose(self.kubeconfig, self.context, request, on_progress)

    async def inspect(self, request: Request) -> Inspected:
        """Made in the worker as well."""
        return await self.worker.inspect(self.kubeconfig, self.context, request)

    async def namespaces(self) -> tuple[str, ...]:
        """Asked anew each time."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            listed = await api.list_all("/api/v1/namespaces", Namespace)
        return tuple(each.metadata.name for each in listed.items)

    async def check_pod(self, namespace: str, name: str) -> None:
        """Asked anew each time."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            listed = await api.list_all(f"/api/v1/namespaces/{namespace}/pods", Pod)
        if not listed.is_cut and not listed.skipped:  # else it may be one that was not read
            check_pod(namespace, listed.items, name)

    async def nodes(self) -> tuple[str, ...]:
        """Asked anew each time."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            listed = await api.list_all("/api/v1/nodes", Node)
        return tuple(each.metadata.name for each in listed.items)

    async def reach(self) -> None:
        """Every user may ask whether it lives."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            await api.raw("/livez")

    async def locate(self, scope: AlertScope) -> Located | None:
        """Asked anew each time, and not at all where the alert says it itself."""
        if found := located_by_itself(scope):
            return found
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            return await locate(scope, api)

    async def software(self) -> Software:
        """Asked anew each time, within the time of one request."""
        async with Api.connect(self.kubeconfig, self.context, request_s=CONNECT_S) as api:
            return software_of(await read_installed(api))


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


async def name_in_force(kubeconfig: Path | None = None) -> str:
    """What the one cluster is called where none is configured: as the context of the kubeconfig."""
    try:
        async with Api.connect(kubeconfig) as api:
            return api.context or DEFAULT_NAME
    except BotError:
        return DEFAULT_NAME


def nearest(name: str, known: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """Known names that resemble this one, best first: a typing error, or a part of the name."""
    close = difflib.get_close_matches(name, known, n=most, cutoff=0.6)
    parts = sorted(each for each in known if len(name) > 2 and (name in each or each in name))
    return tuple(dict.fromkeys((*close, *parts)))[:most]
