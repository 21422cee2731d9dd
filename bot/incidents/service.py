"""The desk: where diagnoses are asked for, one incident for each scope and channel, a few diagnoses at a time."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from bot.aio.each import each
from bot.domain.errors import BotError, DeadlineError, ForbiddenError
from bot.domain.incident import Incident
from bot.domain.report import Report
from bot.incidents.clusters import Cluster, Clusters, nearest
from bot.incidents.knowledge import Knowledge
from bot.incidents.request import OnProgress, Progress, Request, silent
from bot.incidents.turns import Turns
from bot.store import Store

NAMES_S = 30.0
"""How long the names of namespaces are taken for current."""
REACH_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, and how long."""

    max_diagnoses: int = 4
    timeout_s: float = 30.0
    """Of one diagnosis."""
    max_nodes: int = 100
    bot_namespace: str = "cnibot"
    agent_image: str = ""
    cleanup_s: float = 15.0
    """What it may take beyond its time: removing node agents, judging."""
    check_s: float = 0.5
    """How long somebody waits to hear that a namespace does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceCheck:
    """Whether a namespace is there, as far as it could be told in time."""

    is_known: bool | None
    """None: not known in time, or not allowed to know."""
    nearest: tuple[str, ...] = ()
    """Names that resemble it, best first; only when it surely is not there."""
    elsewhere: tuple[str, ...] = ()
    """Other clusters that have a namespace of exactly this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """Whether a cluster answers."""

    name: str
    is_reachable: bool
    sentence: str = ""
    """Why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants diagnosed, and where the answer goes."""

    cluster: str | None
    """None: the first of the settings."""
    namespace: str
    pod: str | None = None
    channel: str
    thread: str | None = None
    by: str


class Desk:
    """Diagnoses of all clusters."""

    def __init__(
        self,
        store: Store,
        knowledge: Knowledge,
        clusters: Clusters,
        limits: Limits,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.knowledge = knowledge
        self.clusters = clusters
        self._incidents = store.incidents
        self._limits = limits
        self._now = now
        self._turns = Turns(limits.max_diagnoses)
        self._names: dict[str, tuple[float, tuple[str, ...]]] = {}

    @property
    def running(self) -> int:
        """How many diagnoses run now."""
        return self._turns.running

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._turns.waiting

    async def open(self, asked: Asked, *, dedup: str) -> tuple[Incident, bool]:
        """The open incident of this scope and channel, or a new one; and whether it is new.

        The same `dedup` gives the same answer again. Errors: `UnknownClusterError`.
        """
        return await self._incidents.open(
            cluster=self.clusters.named(asked.cluster).name,
            namespace=asked.namespace,
            pod=asked.pod,
            channel=asked.channel,
            thread=asked.thread,
            opened_by=asked.by,
            now=self._now(),
            dedup=dedup,
        )

    async def begin(self, incident: Incident, *, dedup: str) -> Incident:
        """The incident with a new run; the same `dedup` gives the same run again, also to another process."""
        run = await self._incidents.begin_run(incident.id, dedup)
        begun = dataclasses.replace(incident, run=run, status="diagnosing", updated_at=self._now())
        if await self._incidents.report(incident.id, run) is None:
            await self._incidents.save(begun)
        return begun

    async def has_begun(self, incident: Incident, *, dedup: str) -> bool:
        """Whether this `dedup` has begun a run of the incident before."""
        return await self._incidents.begun_run(incident.id, dedup) is not None

    async def diagnose(self, incident: Incident, *, on_progress: OnProgress = silent) -> Report:
        """The report of the incident's run, kept in the store before anybody hears of it.

        A run that was diagnosed already is not diagnosed again. Errors: those of `Cluster.diagnose`,
        `UnknownClusterError`, `DeadlineError`.
        """
        kept = await self.report(incident.id, incident.run)
        if kept is not None:
            return kept
        async with self._turns.turn(lambda place: on_progress(self._queued(place))):
            report = await self._diagnose(incident.cluster, incident.namespace, incident.pod, on_progress)
        await self.keep(incident, report)
        return report

    async def examine(self, cluster: str, namespace: str) -> Report:
        """The report on a namespace, of which nothing is kept; people's diagnoses go first. Errors: as `diagnose`."""
        async with self._turns.turn(is_patient=True):
            return await self._diagnose(cluster, namespace, None, silent)

    async def keep(self, incident: Incident, report: Report) -> None:
        """Keep the report as that of the incident's run."""
        await self._incidents.put_report(incident.id, incident.run, msgspec.json.encode(report))

    async def conclude(self, incident: Incident, report: Report) -> Incident:
        """The incident as the report leaves it: a healthy one is closed. Unchanged where a newer run has begun."""
        verdict = report.verdict
        concluded = dataclasses.replace(
            incident,
            status="closed" if verdict.status == "healthy" else verdict.status,
            summary=verdict.summary,
            cause=verdict.cause,
            updated_at=self._now(),
        )
        await self._incidents.save(concluded)
        return concluded

    async def fail(self, incident: Incident, why: str, *, closes: bool = False) -> Incident:
        """The incident after a run without a verdict."""
        failed = dataclasses.replace(
            incident, status="closed" if closes else "failed", summary=why, cause=None, updated_at=self._now()
        )
        await self._incidents.save(failed)
        return failed

    async def report(self, incident_id: str, run: int) -> Report | None:
        """The report of a run, or None."""
        kept = await self._incidents.report(incident_id, run)
        return None if kept is None else msgspec.json.decode(kept, type=Report)

    async def check(self, cluster: str | None, namespace: str) -> NamespaceCheck:
        """Whether the cluster has the namespace, within half a second. Errors: `UnknownClusterError`."""
        asked = self.clusters.named(cluster)
        if namespace in self._recent(asked.name):
            return NamespaceCheck(is_known=True)
        names = await self.namespaces(asked.name, within_s=self._limits.check_s)
        if names is None:
            return NamespaceCheck(is_known=None)
        if namespace in names:
            return NamespaceCheck(is_known=True)
        return NamespaceCheck(
            is_known=False,
            nearest=nearest(namespace, names),
            elsewhere=await self._having(namespace, [other for other in self.clusters.names if other != asked.name]),
        )

    async def _having(self, namespace: str, clusters: Sequence[str]) -> tuple[str, ...]:
        """Those of the clusters that say in time that they have the namespace."""

        async def names(cluster: str) -> tuple[str, ...] | None:
            return await self.namespaces(cluster, within_s=self._limits.check_s)

        known = await each(clusters, names)
        return tuple(one for one, found in zip(clusters, known, strict=True) if namespace in (found or ()))

    async def namespaces(self, cluster: str | None, *, within_s: float = REACH_S) -> tuple[str, ...] | None:
        """The names of the cluster's namespaces; None where it did not tell. Errors: `UnknownClusterError`."""
        asked = self.clusters.named(cluster)
        try:
            async with asyncio.timeout(within_s):
                names = await asked.namespaces()
        except (BotError, TimeoutError):
            return None
        self._names[asked.name] = (self._now(), names)
        return names

    async def states(self) -> list[ClusterState]:
        """Whether each cluster answers."""
        return await each(self.clusters, self._state)

    async def _state(self, cluster: Cluster) -> ClusterState:
        try:
            async with asyncio.timeout(REACH_S):
                await cluster.namespaces()
        except ForbiddenError:
            return ClusterState(name=cluster.name, is_reachable=True)
        except BotError as error:
            return ClusterState(name=cluster.name, is_reachable=False, sentence=str(error))
        except TimeoutError:
            return ClusterState(name=cluster.name, is_reachable=False, sentence=f"No answer within {REACH_S:g} s.")
        return ClusterState(name=cluster.name, is_reachable=True)

    def _recent(self, cluster: str) -> tuple[str, ...]:
        at, names = self._names.get(cluster, (0.0, ()))
        return names if self._now() - at < NAMES_S else ()

    async def _diagnose(self, cluster: str, namespace: str, pod: str | None, on_progress: OnProgress) -> Report:
        limits = self._limits
        request = Request(
            namespace=namespace,
            pod=pod,
            timeout_s=limits.timeout_s,
            bot_namespace=limits.bot_namespace,
            agent_image=limits.agent_image,
            max_nodes=limits.max_nodes,
        )
        asked = self.clusters.named(cluster)
        most_s = limits.timeout_s + limits.cleanup_s
        within = asyncio.timeout(most_s)
        try:
            async with within:
                report = await asked.diagnose(request, on_progress)
        except TimeoutError as error:
            if not within.expired():
                raise
            raise DeadlineError("The diagnosis did not end", most_s) from error
        # named as people do, not as a kubeconfig does
        return dataclasses.replace(report, scope=dataclasses.replace(report.scope, cluster=asked.name))

    def _queued(self, place: int) -> Progress:
        sentence = f"number {place} in the queue: {self._turns.running} other diagnoses are running"
        return Progress(stage="queue", state="started", sentence=sentence)
