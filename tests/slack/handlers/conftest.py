"""The whole Slack side at work: the lab's workspace, real Redis, real judging; only the cluster is a recording."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from bot.agent.report import DialAnswer
from bot.alerts.extractors import Extractor
from bot.cluster.client.api import Api
from bot.cluster.objects import DaemonSet, OwnerReference
from bot.diagnosis.recording import Recording, record
from bot.diagnosis.request import OnProgress, Progress, Request
from bot.domain.authorization import Action, Grant
from bot.domain.errors import ForbiddenError, PodsHiddenError, UnreachableError
from bot.domain.plan import Plan
from bot.domain.report import Report
from bot.domain.software import Software
from bot.incidents.clusters import Clusters
from bot.incidents.plans import PlanService, PlanSettings
from bot.incidents.service import DiagnosisService, Limits
from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.lab.slack.message import Message
from bot.lab.slack.users import UserClient
from bot.slack.bolt import build_app
from bot.slack.channels import Channels
from bot.slack.client import open_client
from bot.slack.identity import WhoAmI
from bot.slack.outbox import Outbox
from bot.slack.outbox.timing import Timing
from bot.slack.people import People
from bot.slack.router import Router
from bot.slack.services import Services
from bot.slack.socket import SocketMode
from bot.store import Entry, Store
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_service
from tests.recorded_cluster import RecordedCluster, knowledge
from tests.slack.waiting import until

HERE = "C0INCIDENTS"

QUICK = Timing(post_s=0.01, edit_s=0.01)
"""The pace of posts is the outbox's own test."""

GRANTS = (
    Grant(actions=frozenset(Action), groups=frozenset({"S0SRE"})),
    Grant(actions=frozenset({Action.READ}), users=frozenset({"U0CAROL", "U0DAVE", "U0EVE"})),
)
"""@sre may do everything; guests and strangers are named too, to see that it does not help them."""


def healthy() -> Recording:
    cluster, *_ = two_nodes()
    return recorded(cluster)


def answering(status: int) -> Recording:
    """A healthy namespace with MLflow behind a Service, whose health was answered with this status."""
    cluster, client, *_ = two_nodes()
    server = cluster.pod("shop/mlflow-0", "node-2", labels={"app": "mlflow"})
    add_service(cluster, "shop/mlflow", [server], ip="10.43.70.70", port=5000)
    uid = cluster.pods[client].metadata.uid
    answer = DialAnswer(source=uid, name="shop/mlflow:5000", kind="http", outcome="answered", status=status)
    cluster.node_report("node-1", dials=(answer,))
    return recorded(cluster)


def broken() -> Recording:
    """Proxy ARP off on the link of shop/a, where calico-node runs and can be restarted."""
    cluster, pod, *_ = two_nodes()
    run_calico_node(cluster)
    link = cluster.report_of(pod).host_link
    cluster.answers(pod, None, None, None)
    cluster.sysctl("node-1", **{f"ipv4__conf__{link}__proxy_arp": "0"})
    return recorded(cluster)


def run_calico_node(cluster: FakeCluster) -> None:
    """Its DaemonSet, with a pod on each node."""
    fields = {
        "metadata": {"namespace": "kube-system", "name": "calico-node", "uid": "ds"},
        "spec": {"template": {"spec": {"containers": [{"name": "calico-node", "image": "calico/node:v3.30.2"}]}}},
        "status": {"desiredNumberScheduled": 2, "numberReady": 2},
    }
    cluster.snapshot_fields |= {"daemon_sets": (msgspec.convert(fields, DaemonSet),)}
    for node in ("node-1", "node-2"):
        agent = cluster.pod(f"kube-system/calico-node-{node}", node, host_network=True)
        owner = OwnerReference(kind="DaemonSet", uid="ds", name="calico-node", controller=True)
        owned = msgspec.structs.replace(cluster.pods[agent].metadata, owner_references=(owner,))
        cluster.pods[agent] = msgspec.structs.replace(cluster.pods[agent], metadata=owned)


def recorded(cluster: FakeCluster) -> Recording:
    return record(cluster.evidence(), started_at="2026-01-02T03:04:05Z", took_s=1.5, playbook="namespace")


@dataclass(slots=True, kw_only=True)
class UnreliableCluster(RecordedCluster):
    """A recorded cluster that may be out of reach."""

    unreachable: set[str]
    silent: set[str]
    hidden: set[str]

    async def namespaces(self) -> tuple[str, ...]:
        if self.name in self.silent:
            raise ForbiddenError("list", "namespaces")
        if self.name in self.unreachable:
            raise UnreachableError("https://eu.example:6443", "refused", "")
        return await RecordedCluster.namespaces(self)

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        if self.name in self.unreachable:
            raise UnreachableError("https://eu.example:6443", "refused", "")
        if self.name in self.hidden:
            raise PodsHiddenError(request.namespace, f"list pods in namespace {request.namespace}")
        return await RecordedCluster.diagnose(self, request, on_progress)

    async def software(self) -> Software:
        if self.name in self.unreachable:
            raise UnreachableError("https://eu.example:6443", "refused", "")
        return await RecordedCluster.software(self)


class Gate:
    """Holds recorded diagnoses until it is opened."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_(self, progress: Progress) -> None:
        if progress.stage == "access" and not self._open.is_set():
            self.waiting += 1
            await self._open.wait()


@dataclass
class Rig:
    """The router with its services, in front of a workspace and recorded clusters."""

    ws: SlackWorkspace
    store: Store
    services: Services
    router: Router
    recordings: dict[str, Recording]
    gate: Gate
    unreachable: set[str]
    """Names of clusters."""
    silent: set[str]
    """Names of clusters that do not say which namespaces they have."""
    hidden: set[str]
    """Names of clusters in which we may not list pods."""
    taken: list[Entry] = field(default_factory=list[Entry])
    handled: list[Entry] = field(default_factory=list[Entry])

    @property
    def alice(self) -> UserClient:
        return self.ws.user("alice")

    async def diagnosed(self, text: str = "diagnose shop", who: str = "alice") -> tuple[str, Message]:
        """Ask; the thread's ts and the verdict's message."""
        outcome = await self.ws.user(who).slash(HERE, "/cni", text)
        assert outcome.acked, outcome.error
        root = await self.ws.until(lambda: self.roots()[-1:])
        return root[0].ts, await self.verdict(root[0].ts)

    def roots(self) -> list[Message]:
        """What the bot said at the level of the channel."""
        return [each for each in self.ws.messages(HERE) if each.user == self.ws.bot_user_id]

    async def verdict(self, ts: str, count: int = 1) -> Message:
        """The thread's verdict number `count`."""

        def found() -> list[Message]:
            verdicts = [each for each in self.ws.thread(HERE, ts) if "cni_details" in each.action_ids]
            return verdicts[count - 1 : count]

        return (await self.ws.until(found))[0]

    async def said(self, part: str, ts: str | None = None) -> Message:
        """The bot's message with these words in it, in the channel or in a thread."""

        def found() -> list[Message]:
            place = self.ws.thread(HERE, ts) if ts else self.roots()
            return [each for each in place if part in each.text]

        return (await self.ws.until(found))[-1]

    async def pick(self, who: str, verdict: Message, action_id: str) -> None:
        """Pick from the menu beside a verdict's buttons."""
        options = [
            one for block in verdict.blocks for each in block.get("elements", []) for one in each.get("options", [])
        ]
        value = next(one["value"] for one in options if one["value"].startswith(action_id))
        await self.ws.user(who).click(HERE, verdict.ts, "cni_more", value)

    async def modal(self, who: str, part: str) -> tuple[str, str]:
        """The id of the person's window with these words in it, and all its words."""

        def found() -> list[tuple[str, str]]:
            views = self.ws.user(who).modals()
            opened = [(view.id, json.dumps(view.payload, ensure_ascii=False)) for view in views]
            return [(view_id, words) for view_id, words in opened if part in words]

        return (await self.ws.until(found))[0]

    async def shown_only_to(self, who: str, part: str, channel: str | None = None) -> str:
        """The ephemeral message with these words in it."""

        def found() -> str:
            texts = [each.text for each in self.ws.user(who).ephemerals(channel)]
            return next((text for text in texts if part in text), "")

        return await self.ws.until(found)

    async def heard(self, kind: str) -> None:
        """Until an event of this type was handled."""
        await until(lambda: any(entry.body.get("event", {}).get("type") == kind for entry in self.handled))

    async def quiet(self) -> None:
        """Until everything that came in is handled and everything said is sent."""
        async with asyncio.timeout(10):
            while (await self.store.inbox.counts()).waiting:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.01)
        assert await self.services.outbox.drained(10)


Opened = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def open_rig(store: Store) -> AsyncIterator[Opened]:
    """Opens the bot with the options given; it closes with the test.

    Each bot lives in a task of its own: a fixture's end may run in another task than its beginning.
    """
    closing = asyncio.Event()
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def opened(**options: Any) -> Rig:
        ready: asyncio.Future[Rig] = loop.create_future()

        async def live() -> None:
            async with opened_office(store, **options) as rig:
                ready.set_result(rig)
                await closing.wait()

        tasks.append(loop.create_task(live()))
        await asyncio.wait((tasks[-1], ready), return_when="FIRST_COMPLETED")
        if not ready.done():
            tasks[-1].result()
        return ready.result()

    yield opened
    closing.set()
    for task in tasks:
        await task


@asynccontextmanager
async def opened_office(
    store: Store,
    *,
    grants: tuple[Grant, ...] = GRANTS,
    clusters: tuple[str, ...] = ("lab",),
    limits: Limits | None = None,
    only_on: Mapping[str, str] | None = None,
    at_work: bool = True,
    plans: PlanService | None = None,
    extractors: Mapping[str, Extractor] | None = None,
) -> AsyncGenerator[Rig]:
    """The bot, connected to a workspace of its own."""
    gate = Gate()
    recordings = {"shop": broken(), "shop-staging": healthy(), "payments": healthy()}
    lost: set[str] = set()
    silent: set[str] = set()
    hidden: set[str] = set()
    places = [
        UnreliableCluster(
            name=name,
            recordings={**recordings, **_own(name, only_on)} if only_on else recordings,
            between=gate.pass_,
            unreachable=lost,
            silent=silent,
            hidden=hidden,
        )
        for name in clusters
    ]
    service = DiagnosisService(store, knowledge(), Clusters(places), limits or Limits())
    async with (
        SlackWorkspace.start(SlackOptions()) as ws,
        open_client(ws.bot_token, base_url=ws.api_url) as client,
        asyncio.TaskGroup() as group,
    ):
        who_am_i = WhoAmI(client)
        services = Services(
            client=client,
            who_am_i=who_am_i,
            store=store,
            service=service,
            plans=plans or _no_plans(store),
            outbox=Outbox(store.outbox, client, timing=QUICK),
            people=People(client, who_am_i, grants),
            channels=Channels(client),
            grants=grants,
            watch_every_s=900,
            alert_channel=HERE,
            alert_extractors=extractors or {},
            connections=lambda: "2 of 2 connections",
        )
        rig = Rig(
            ws=ws,
            store=store,
            services=services,
            router=Router(services),
            recordings=recordings,
            gate=gate,
            unreachable=lost,
            silent=silent,
            hidden=hidden,
        )
        app = build_app(
            client, signing_secret=ws.signing_secret, inbox=store.inbox, who_am_i=who_am_i, extractors=extractors or {}
        )
        sockets = SocketMode(app, ws.app_token, client=client)
        tasks = [group.create_task(services.outbox.run()), group.create_task(sockets.run())]
        if at_work:
            tasks.append(group.create_task(work(rig)))
        try:
            await until(lambda: sockets.live_connections == 2)
            yield rig
        finally:
            gate.open()
            for task in tasks:
                task.cancel()


def _no_plans(store: Store) -> PlanService:
    """A service for tests in which nobody proposes anything."""

    async def diagnose(plan: Plan, _: str) -> Report:
        raise AssertionError(plan)

    def connect(name: str) -> AbstractAsyncContextManager[Api]:
        raise AssertionError(name)

    return PlanService(store, connect, diagnose, PlanSettings())


def _own(cluster: str, only_on: Mapping[str, str]) -> dict[str, Recording]:
    return {namespace: healthy() for namespace, name in only_on.items() if name == cluster}


async def work(rig: Rig) -> None:
    async def handle(entry: Entry) -> None:
        rig.taken.append(entry)
        await rig.router.handle(entry)
        rig.handled.append(entry)

    await rig.store.inbox.work(handle, concurrency=64, on_dead=rig.router.on_dead)


@pytest.fixture
async def rig(open_rig: Opened) -> Rig:
    return await open_rig()
