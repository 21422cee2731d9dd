"""The service, with real Redis and recorded clusters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from bot.diagnosis.recording import Recording, record
from bot.diagnosis.request import OnProgress, Progress, Request
from bot.domain.errors import DeadlineError, ForbiddenError, UnknownNamespaceError, UnreachableError
from bot.domain.incident import Incident
from bot.domain.report import Report
from bot.incidents.clusters import Clusters, UnknownClusterError, nearest
from bot.incidents.service import DiagnosisRequest, DiagnosisService, Limits
from bot.store import Store
from tests.probes.build import two_nodes
from tests.recorded_cluster import RecordedCluster, knowledge


@dataclass(slots=True, kw_only=True)
class Watched(RecordedCluster):
    """A recorded cluster that can be made to wait or to fail."""

    looks: int = 0
    failure: Exception | None = None
    hold: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cleaned: asyncio.Event = field(default_factory=asyncio.Event)

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        self.looks += 1
        self.begun.set()
        if self.failure:
            raise self.failure
        try:
            await self._held()
        finally:
            self.cleaned.set()
        return await RecordedCluster.diagnose(self, request, on_progress)

    async def namespaces(self) -> tuple[str, ...]:
        if self.failure:
            raise self.failure
        await self._held()
        return await RecordedCluster.namespaces(self)

    async def _held(self) -> None:
        if self.hold:
            await self.hold.wait()


def recording() -> Recording:
    cluster, *_ = two_nodes()
    return record(cluster.evidence(), started_at="2026-01-02T03:04:05Z", took_s=1.5, playbook="namespace")


@dataclass
class Rig:
    service: DiagnosisService
    lab: Watched
    eu: Watched

    async def begun(self, dedup: str = "e1", namespace: str = "shop") -> Incident:
        asked = DiagnosisRequest(cluster="lab", namespace=namespace, channel="C1", by="U1")
        incident, _ = await self.service.open(asked, dedup=dedup)
        return await self.service.begin(incident, dedup=dedup)


@pytest.fixture
def rig(store: Store) -> Rig:
    recordings = {"shop": recording(), "payments": recording()}
    lab, eu = Watched(name="lab", recordings=recordings), Watched(name="eu", recordings={"games": recording()})
    return Rig(
        DiagnosisService(store, knowledge(), Clusters([lab, eu]), Limits(max_diagnoses=2, check_s=0.05)), lab, eu
    )


async def test_a_report_is_kept_and_names_the_cluster_as_people_do(rig: Rig) -> None:
    incident = await rig.begun()
    report = await rig.service.diagnose_incident(incident)

    assert report.scope.cluster == "lab"
    assert await rig.service.report(incident.id, 1) == report


async def test_a_run_that_was_diagnosed_is_not_diagnosed_again(rig: Rig) -> None:
    first = await rig.service.diagnose_incident(await rig.begun())
    again = await rig.service.diagnose_incident(await rig.begun())

    assert again == first
    assert rig.lab.looks == 1


async def test_another_request_is_another_run(rig: Rig) -> None:
    await rig.service.diagnose_incident(await rig.begun())
    incident = await rig.begun("e2")

    assert incident.run == 2
    await rig.service.diagnose_incident(incident)
    assert rig.lab.looks == 2


async def test_progress_is_told_in_order(rig: Rig) -> None:
    reported: list[Progress] = []
    await rig.service.diagnose_incident(await rig.begun(), on_progress=reported.append)

    assert [each.stage for each in reported] == ["api", "api", "access", "node", "node", "judge"]


async def test_who_has_to_wait_is_told_where_they_stand(rig: Rig) -> None:
    rig.lab.hold = asyncio.Event()
    reported: list[Progress] = []
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(
                rig.service.diagnose_incident(await rig.begun(f"e{number}", f"shop{number}" if number else "shop"))
            )
        await asyncio.sleep(0)
        third = group.create_task(
            rig.service.diagnose_incident(await rig.begun("e3", "payments"), on_progress=reported.append)
        )
        while not reported:  # noqa: ASYNC110 progress has no event
            await asyncio.sleep(0.001)
        assert (rig.service.running, rig.service.waiting) == (2, 1)
        assert reported[0].sentence == "number 1 in the queue: 2 other diagnoses are running"
        rig.lab.recordings = {**rig.lab.recordings, "shop1": rig.lab.recordings["shop"]}
        rig.lab.hold.set()
    assert third.result().verdict.status == "healthy"


async def test_a_failure_is_the_askers_as_it_is(rig: Rig) -> None:
    rig.lab.failure = UnreachableError("https://x", "refused", "")

    with pytest.raises(UnreachableError):
        await rig.service.diagnose_incident(await rig.begun())
    assert rig.service.running == 0


async def test_an_unknown_namespace_is_an_error_with_names(rig: Rig) -> None:
    with pytest.raises(UnknownNamespaceError) as error:
        await rig.service.diagnose_incident(await rig.begun(namespace="shp"))
    assert error.value.nearest[0] == "shop"


async def test_cancelling_cancels_the_diagnosis_and_frees_the_turn(rig: Rig) -> None:
    rig.lab.hold = asyncio.Event()
    incident = await rig.begun()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.service.diagnose_incident(incident))
        await rig.lab.begun.wait()
        task.cancel()
    assert rig.lab.cleaned.is_set()
    assert rig.service.running == 0
    assert await rig.service.report(incident.id, 1) is None


async def test_a_diagnosis_that_does_not_end_is_ended(store: Store) -> None:
    lab = Watched(name="lab", recordings={"shop": recording()}, hold=asyncio.Event())
    service = DiagnosisService(store, knowledge(), Clusters([lab]), Limits(timeout_s=0.01, cleanup_s=0.01))
    with pytest.raises(DeadlineError, match="did not end within"):
        await service.diagnose_namespace("lab", "shop")
    assert lab.cleaned.is_set()


async def test_a_healthy_incident_is_closed_and_asking_again_opens_another(rig: Rig) -> None:
    incident = await rig.begun()
    concluded = await rig.service.conclude(incident, await rig.service.diagnose_incident(incident))

    assert (concluded.status, concluded.summary) == ("closed", "3 pods on 2 nodes reach what they need.")
    assert (await rig.begun("e2")).id != incident.id


async def test_an_older_run_does_not_overwrite_a_newer_one(rig: Rig, store: Store) -> None:
    first = await rig.begun()
    second = await rig.begun("e2")
    await rig.service.fail(first, "too slow")

    kept = await store.incidents.get(first.id)
    assert kept
    assert (kept.run, kept.status) == (second.run, "diagnosing")


async def test_what_began_a_run_is_remembered(rig: Rig) -> None:
    incident = await rig.begun()

    assert await rig.service.has_begun(incident, dedup="e1")
    assert not await rig.service.has_begun(incident, dedup="e2")


@pytest.mark.parametrize(
    ("cluster", "namespace", "is_known", "near"),
    [
        ("lab", "shop", True, ()),
        ("LAB", "shop", True, ()),
        (None, "shop", True, ()),
        ("lab", "shpo", False, ("shop",)),
        ("lab", "zzz", False, ()),
        ("eu", "shop", False, ()),
    ],
)
async def test_checking_a_namespace(
    cluster: str | None, namespace: str, *, is_known: bool, near: tuple[str, ...], rig: Rig
) -> None:
    check = await rig.service.check(cluster, namespace)

    assert (check.is_known, check.nearest) == (is_known, near)


async def test_a_namespace_that_is_elsewhere_is_found_there(rig: Rig) -> None:
    assert (await rig.service.check("lab", "games")).elsewhere == ("eu",)


async def test_a_new_namespace_is_never_denied_from_memory(rig: Rig) -> None:
    assert not (await rig.service.check("lab", "fresh")).is_known
    rig.lab.recordings = {**rig.lab.recordings, "fresh": rig.lab.recordings["shop"]}

    assert (await rig.service.check("lab", "fresh")).is_known


@pytest.mark.parametrize(
    "failure", [None, UnreachableError("https://x", "refused", ""), ForbiddenError("list", "namespaces")]
)
async def test_what_is_not_known_in_time_is_not_known(failure: Exception | None, rig: Rig) -> None:
    rig.lab.failure = failure
    rig.lab.hold = asyncio.Event() if failure is None else None

    assert (await rig.service.check("lab", "shop")).is_known is None


async def test_an_unknown_cluster_is_said_with_the_names_there_are(rig: Rig) -> None:
    with pytest.raises(UnknownClusterError, match=r"There is no cluster 'moon'. There are: lab, eu."):
        await rig.service.check("moon", "shop")


async def test_clusters_that_answer(rig: Rig) -> None:
    rig.eu.failure = UnreachableError("https://eu", "refused", "")
    rig.lab.failure = ForbiddenError("list", "namespaces")

    lab, eu = await rig.service.states()

    assert lab.is_reachable  # it answered, though not what was asked
    assert not eu.is_reachable
    assert "refuses connections" in eu.sentence


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("shpo", ("shop",)),
        ("shop-prd", ("shop-prod", "shop")),
        ("mesh", ("seldon-mesh",)),
        ("zzz", ()),
        ("x", ()),
    ],
)
def test_nearest_names(name: str, found: tuple[str, ...]) -> None:
    assert nearest(name, ["payments", "seldon-mesh", "shop", "shop-prod"]) == found
