"""The service: where diagnoses are asked for, one incident for each scope and channel, a few diagnoses at a time."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bot.aio.each import each
from bot.aio.latest import Latest
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.request import USUAL_PLAYBOOK, OnProgress, Progress, Request, silent
from bot.domain.errors import BotError, DeadlineError, ForbiddenError, UnknownPodError
from bot.domain.incident import ALL_NODES, EventKind, Incident, Purpose, TimelineEvent
from bot.domain.report import Report
from bot.incidents import metrics
from bot.incidents.clusters import Cluster, Clusters, nearest
from bot.incidents.queue import DiagnosisQueue
from bot.incidents.worker import Inspected
from bot.store import Store

T = TypeVar("T")
NAMES_S = 30.0
"""How long the names of namespaces are taken for current."""
REACH_S = 3.0
REPORTS_AT_HAND = 16
_RUN_WORDS: Mapping[Purpose, str] = {
    "ask": "diagnosis",
    "verify": "diagnosis to verify the end of all alerts",
    "reopen": "reopened: diagnosis",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, and how long."""

    max_diagnoses: int = 4
    timeout_s: float = 30.0
    """Of one diagnosis."""
    max_nodes: int = 100
    with_trace: bool = True
    bot_namespace: str = "cnibot"
    agent_image: str = ""
    cleanup_s: float = 15.0
    """What it may take beyond its time: removing node agents, judging."""
    check_s: float = 0.5
    """How long somebody waits to learn that a namespace does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceCheck:
    """Whether a namespace is there, as far as was known in time."""

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
class DiagnosisRequest:
    """What somebody wants diagnosed, and where the answer goes."""

    cluster: str | None
    """None: the first of the settings."""
    namespace: str
    pod: str | None = None
    node: str | None = None
    """A node to look at, or `ALL_NODES`."""
    channel: str
    thread: str | None = None
    playbook: str = ""
    """"" for the usual one. An incident that is joined keeps its own."""
    by: str


class DiagnosisService:
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
        self._alerts = store.alerts
        self._timeline = store.timeline
        self._limits = limits
        self._now = now
        self._queue = DiagnosisQueue(limits.max_diagnoses)
        self._reports: dict[tuple[str, int], Report] = {}
        """Read lately; a run's report never changes."""
        self._names: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._asking = Latest()
        """A hundred alerts at once ask a cluster for its names once or twice, not a hundred times."""

    @property
    def running(self) -> int:
        """How many diagnoses run now."""
        return self._queue.running

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return self._queue.waiting

    async def open(self, asked: DiagnosisRequest, *, dedup: str) -> tuple[Incident, bool]:
        """The open incident of this scope and channel, or a new one; and whether it is new.

        The same `dedup` gives the same answer again. Errors: `UnknownClusterError`.
        """
        incident, is_new = await self._incidents.open(
            cluster=self.clusters.named(asked.cluster).name,
            namespace=asked.namespace,
            pod=asked.pod,
            node=asked.node,
            channel=asked.channel,
            thread=asked.thread,
            playbook=asked.playbook,
            opened_by=asked.by,
            now=self._now(),
            dedup=dedup,
        )
        if is_new:
            event = TimelineEvent(at=incident.opened_at, kind="opened", by=incident.opened_by)
            await self._timeline.add(incident.id, "opened", event)
        return incident, is_new

    async def begin(self, incident: Incident, *, dedup: str, by: str = "") -> Incident:
        """The incident with a new run; the same `dedup` gives the same run again, also to another process."""
        run = await self._incidents.begin_run(incident.id, dedup, now=self._now())
        assert run is not None
        return await self._begun(incident, run, by, "ask")

    async def begin_next(
        self, incident: Incident, *, dedup: str, by: str = "", purpose: Purpose = "ask"
    ) -> Incident | None:
        """As `begin`; None: somebody has begun a run since the incident was read."""
        run = await self._incidents.begin_run(incident.id, dedup, now=self._now(), after=incident.run)
        return None if run is None else await self._begun(incident, run, by, purpose)

    async def _begun(self, incident: Incident, run: int, by: str, purpose: Purpose) -> Incident:
        begun = dataclasses.replace(
            incident,
            run=run,
            run_for=purpose if incident.is_open else "reopen",
            status="diagnosing",
            asked_by=by or incident.opened_by,
            updated_at=self._now(),
        )
        if await self._incidents.report(incident.id, run) is None:
            await self._incidents.save(begun)
            event = TimelineEvent(at=begun.updated_at, kind="run", text=_RUN_WORDS[begun.run_for], by=begun.asked_by)
            await self._timeline.add(incident.id, f"run {run}", event)
        return begun

    async def _note(self, incident: Incident, kind: EventKind, text: str) -> None:
        """Keep what became of the newest run, once."""
        event = TimelineEvent(at=self._now(), kind=kind, text=text)
        await self._timeline.add(incident.id, f"{kind} {incident.run}", event)

    async def has_begun(self, incident: Incident, *, dedup: str) -> bool:
        """Whether this `dedup` has begun a run of the incident before."""
        return await self._incidents.begun_run(incident.id, dedup) is not None

    async def diagnose_incident(self, incident: Incident, *, on_progress: OnProgress = silent) -> Report:
        """The report of the incident's run, kept in the store before anybody is notified.

        A run that was diagnosed already is not diagnosed again. Errors: those of `Cluster.diagnose`,
        `UnknownClusterError`, `DeadlineError`.
        """
        kept = await self.report(incident.id, incident.run)
        if kept is not None:
            return kept
        async with self._queue.slot(lambda place: on_progress(self._queued(place))):
            report = await self._diagnose(
                incident.cluster,
                incident.namespace,
                on_progress,
                pod=incident.pod,
                node=incident.node,
                playbook=incident.playbook,
            )
        await self.keep(incident, report)
        return report

    async def diagnose_namespace(self, cluster: str, namespace: str, *, node: str | None = None) -> Report:
        """The report on a namespace (and a node, or `ALL_NODES`), of which nothing is kept.

        People's diagnoses go first. Errors: as `diagnose`.
        """
        async with self._queue.slot(is_background=True):
            return await self._diagnose(cluster, namespace, silent, node=node)

    async def inspect(self, cluster: str, namespace: str) -> Inspected:
        """A diagnosis of a namespace and of every node, and what is seen on each. Nothing of it is kept.

        Errors: as `diagnose_incident`.
        """
        asked = self.clusters.named(cluster)
        request = dataclasses.replace(self._request(namespace, node=ALL_NODES), with_trace=False)
        async with self._queue.slot():
            return await self._within_time(asked.inspect(request))

    async def keep(self, incident: Incident, report: Report) -> None:
        """Keep the report as that of the incident's run."""
        await self._incidents.put_report(incident.id, incident.run, msgspec.json.encode(report))

    async def conclude(self, incident: Incident, report: Report) -> Incident:
        """The incident as the report leaves it. Unchanged where a newer run has begun.

        A healthy one is closed. One that knows of alerts stays open until none has fired for a while: whoever joins
        would be diagnosed anew each time.
        """
        verdict = report.verdict
        headline = verdict.headline or verdict.summary.rstrip(".")
        is_healthy = verdict.status == "healthy"
        is_over = is_healthy and not await self._alerts.are_known(incident.id)
        concluded = dataclasses.replace(
            incident,
            status="closed" if is_over else verdict.status,
            summary=verdict.summary,
            cause=verdict.cause,
            headline=headline,
            place=verdict.place,
            was=incident.was if is_healthy else headline,
            found_run=incident.found_run if is_healthy else incident.run,
            pods=report.blast_radius.pods,
            namespaces=len({incident.namespace, *report.blast_radius.namespaces}),
            took_s=report.took_s,
            updated_at=self._now(),
        )
        if await self._incidents.save(concluded):
            await self._note(concluded, "verdict", verdict.summary)
            if is_over:
                await self._note(concluded, "closed", "")
            if is_healthy:
                await self._incidents.mark_healthy(incident, self._now())
        return concluded

    async def close(self, incident: Incident) -> Incident:
        """The incident, over without a further run."""
        closed = dataclasses.replace(incident, status="closed", updated_at=self._now())
        if await self._incidents.save(closed):
            await self._note(closed, "closed", "")
        return closed

    async def open_one(self, incident: Incident) -> Incident | None:
        """The open incident of the same scope and channel, which may be this one."""

        def scope(one: Incident) -> tuple[str | None, ...]:
            return (one.namespace, one.pod, one.node, one.channel)

        found = await self._incidents.open_ones(incident.cluster)
        return next((one for one in found if scope(one) == scope(incident)), None)

    async def same_fault(self, incident: Incident) -> Incident | None:
        """The oldest other open incident with the same cluster, cause and place."""
        if incident.fault is None:
            return None
        others = await self._incidents.open_ones(incident.cluster)
        same = [one for one in others if one.fault == incident.fault and one.id != incident.id]
        older = [one for one in same if (one.opened_at, one.id) < (incident.opened_at, incident.id)]
        return min(older, key=lambda one: (one.opened_at, one.id), default=None)

    async def fail(self, incident: Incident, why: str, *, closes: bool = False) -> Incident:
        """The incident after a run without a verdict."""
        failed = dataclasses.replace(
            incident,
            status="closed" if closes else "failed",
            summary=why,
            cause=None,
            headline="",
            place="",
            updated_at=self._now(),
        )
        if await self._incidents.save(failed):
            await self._note(failed, "failed", why)
        return failed

    async def report(self, incident_id: str, run: int) -> Report | None:
        """The report of a run, or None."""
        known = self._reports.get((incident_id, run))
        if known is not None:
            return known
        kept = await self._incidents.report(incident_id, run)
        if kept is None:
            return None
        found = self._reports[incident_id, run] = msgspec.json.decode(kept, type=Report)
        if len(self._reports) > REPORTS_AT_HAND:
            del self._reports[next(iter(self._reports))]
        return found

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

    async def unknown_pod(self, cluster: str | None, namespace: str, pod: str) -> UnknownPodError | None:
        """Why this pod cannot be diagnosed; None: it is there, or that was not known within half a second."""
        try:
            async with asyncio.timeout(self._limits.check_s):
                await self.clusters.named(cluster).check_pod(namespace, pod)
        except UnknownPodError as error:
            return error
        except (BotError, TimeoutError):
            return None
        return None

    async def namespaces(self, cluster: str | None, *, within_s: float = REACH_S) -> tuple[str, ...] | None:
        """The names of the cluster's namespaces; None where it did not tell. Errors: `UnknownClusterError`."""
        asked = self.clusters.named(cluster)

        async def ask() -> None:
            self._names[asked.name] = (self._now(), await asked.namespaces())

        try:
            async with asyncio.timeout(within_s):
                await self._asking.run(asked.name, ask)
        except (BotError, TimeoutError):
            return None
        return self._names[asked.name][1]

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

    async def _diagnose(
        self,
        cluster: str,
        namespace: str,
        on_progress: OnProgress,
        *,
        pod: str | None = None,
        node: str | None = None,
        playbook: str = "",
    ) -> Report:
        request = self._request(namespace, pod=pod, node=node, playbook=playbook)
        asked = self.clusters.named(cluster)
        began = time.perf_counter()
        try:
            report = await self._within_time(asked.diagnose(request, on_progress))
        except BotError:
            metrics.count_failure(asked.name, seconds=time.perf_counter() - began)
            raise
        metrics.count_report(asked.name, report, seconds=time.perf_counter() - began)
        # named as people do, not as a kubeconfig does
        return dataclasses.replace(report, scope=dataclasses.replace(report.scope, cluster=asked.name))

    def _request(
        self, namespace: str, *, pod: str | None = None, node: str | None = None, playbook: str = ""
    ) -> Request:
        limits = self._limits
        return Request(
            namespace=namespace,
            pod=pod,
            nodes=(node,) if node and node != ALL_NODES else (),
            all_nodes=node == ALL_NODES,
            playbook=playbook or USUAL_PLAYBOOK,
            timeout_s=limits.timeout_s,
            bot_namespace=limits.bot_namespace,
            agent_image=limits.agent_image,
            max_nodes=limits.max_nodes,
            with_trace=limits.with_trace,
        )

    async def _within_time(self, made: Awaitable[T]) -> T:
        limits = self._limits
        most_s = limits.timeout_s + limits.cleanup_s
        within = asyncio.timeout(most_s)
        try:
            async with within:
                return await made
        except TimeoutError as error:
            if not within.expired():
                raise
            raise DeadlineError("The diagnosis did not end", most_s) from error

    def _queued(self, place: int) -> Progress:
        sentence = f"number {place} in the queue: {self._queue.running} other diagnoses are running"
        return Progress(stage="queue", state="started", sentence=sentence)
