"""A cluster with flannel and a shop in it, and the plan that takes it to Cilium."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from bot.cluster.client.api import Api
from bot.diagnosis.diagnose import Diagnosis, diagnose_cluster
from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.request import Request
from bot.domain.plan import Person, Plan
from bot.domain.plan_journal import JournalEntry
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Report
from bot.incidents.plans import PlanService, PlanSettings, Proposal
from bot.remediation.cilium.values import BESIDE_PORT, CiliumValues
from bot.remediation.progress import milestones
from bot.remediation.requests import MigrateToCilium, Supplies
from bot.remediation.verification import baseline_of
from bot.store import Store
from tests.conftest import LabUnderTest
from tests.remediation.cilium.supplies import vendored

NODES = ("node-1", "node-2", "node-3")
OLD, NEW = "10.42.0.0/16", "10.245.0.0/16"
CONF = "/etc/cni/net.d"
ALICE, BOB = (Person(realm="kubernetes", name=name) for name in ("alice", "bob"))


def order(made: PlanRecord) -> list[str]:
    """The nodes as they are migrated."""
    found = (one.name.partition(" ") for one in milestones(made.plan, ()))
    return [node for kind, _, node in found if kind == "NodesMigrated"]


OnMilestone = Callable[[str], Awaitable[None]]


def _workload(kind: str, name: str, image: str, spec: dict[str, Any], **container: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image, **container}]}}
    whole = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": whole}


READY = {"readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1}}
SHOP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
    (
        "/apis/apps/v1/namespaces/shop/deployments",
        _workload("Deployment", "web", "ghcr.io/shop/web:1.0", {"replicas": 3}, **READY),
    ),
    ("/apis/apps/v1/namespaces/shop/daemonsets", _workload("DaemonSet", "logs", "ghcr.io/shop/api:1.0", {}, **READY)),
    (
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        },
    ),
)


class DiedError(Exception):
    """The process that carried a plan out is gone."""


@dataclass
class Cluster:
    """The lab, a plan service that works on it, and what was seen while a plan ran."""

    lab: LabUnderTest
    api: Api
    store: Store
    supplies: Supplies
    seen: list[str] = field(default_factory=list[str])
    """Milestones in the order in which they were reached."""

    def connect(self, _: str) -> AbstractAsyncContextManager[Api]:
        return Api.connect(self.lab.kubeconfig)

    async def examine(self, namespace: str, *, all_nodes: bool = False) -> Diagnosis:
        request = Request(namespace=namespace, timeout_s=120, with_trace=False, all_nodes=all_nodes)
        return await diagnose_cluster(self.lab.kubeconfig, None, request, load_knowledge(()))

    async def diagnose(self, _: Plan, namespace: str) -> Report:
        return (await self.examine(namespace)).report

    def service(self) -> PlanService:
        settings = PlanSettings(mode="execute", supplies=self.supplies, pause_s=0.1, between_rounds_s=10)
        return PlanService(self.store, self.connect, self.diagnose, settings, now=time.time)

    async def propose(self, pod_range: str = NEW, soak_s: float = 0.5) -> PlanRecord:
        done = await self.examine("kube-system", all_nodes=True)
        values = CiliumValues(pod_range=pod_range, tunnel_port=BESIDE_PORT)
        return await self.service().propose(
            Proposal(
                asked=MigrateToCilium(values=values, soak_s=soak_s),
                cluster="lab",
                namespace="kube-system",
                requester=ALICE,
                baseline=baseline_of(done.report),
                reports=done.recording.reports,
            )
        )

    async def approved(self) -> PlanRecord:
        made = await self.propose()
        for person in (BOB, Person(realm="kubernetes", name="carol")):
            await self.service().approve(made.plan.id, person, digest=made.plan.digest)
        return made

    async def run(self, made: PlanRecord, on_milestone: OnMilestone | None = None, *, dies_at: str = "") -> PlanRecord:
        """The plan at its end; `on_milestone` is told each that is reached. It dies where this step has just begun."""

        async def moved(record: PlanRecord, journal: Sequence[JournalEntry]) -> None:
            newest = journal[-1]
            if (record.plan.step(newest.step, newest.way).title, newest.event) == (dies_at, "begun"):
                raise DiedError
            reached = [one.name for one in milestones(record.plan, journal) if one.is_reached]
            for name in reached:
                if name not in self.seen:
                    self.seen.append(name)
                    if on_milestone is not None:
                        await on_milestone(name)

        done = await self.service().execute(made.plan.id, who="replica-a", on_move=moved)
        assert isinstance(done, PlanRecord), done
        return done

    # What there is

    async def items(self, path: str) -> list[dict[str, Any]]:
        return list((await self.api.list_all(path, dict[str, Any])).items)

    async def names(self, path: str) -> set[str]:
        return {one["metadata"]["name"] for one in await self.items(path)}

    async def ranges(self) -> set[str]:
        """Of which ranges the addresses of pods are."""
        pods = await self.items("/api/v1/pods")
        addresses = {one["status"].get("podIP", "") for one in pods if not one["spec"].get("hostNetwork")}
        return {next((each for each in (OLD, NEW) if ip_address(one) in ip_network(each)), one) for one in addresses}

    async def configured(self) -> dict[str, list[str]]:
        """The CNI configuration of every node."""
        return {node: (await self.lab.client.exec(node, ["ls", CONF])).out.split() for node in NODES}

    async def reserved(self, node: str) -> list[str]:
        """Addresses that flannel's plugins hold there."""
        found = await self.lab.client.exec(node, ["ls", "/var/lib/cni/networks/cbr0"])
        return [one for one in found.out.split() if one.startswith("10.")]

    async def given_back_by_hand(self, node: str) -> None:
        """As somebody would who does not know that Cilium's agent is watching."""
        script = f"cd {CONF} && mv 10-flannel.conflist.cilium_bak 10-flannel.conflist && rm 05-cilium.conflist"
        assert (await self.lab.client.exec(node, ["sh", "-c", script])).code == 0

    async def cordoned(self) -> list[str]:
        nodes = await self.items("/api/v1/nodes")
        return [one["metadata"]["name"] for one in nodes if one["spec"].get("unschedulable")]

    async def serves(self) -> int:
        """How many of the shop's web pods are Ready."""
        web = await self.api.get("/apis/apps/v1/namespaces/shop/deployments/web", dict[str, Any])
        return int(web["status"].get("readyReplicas", 0))


@asynccontextmanager
async def cluster(lab: LabUnderTest, store: Store, directory: Path) -> AsyncGenerator[Cluster]:
    """The lab with the shop running in it."""
    async with Api.connect(lab.kubeconfig) as api:
        made = Cluster(lab=lab, api=api, store=store, supplies=Supplies(chart=vendored(directory)))
        for path, obj in SHOP:
            await api.create(path, obj, dict[str, Any])
        while await made.serves() < 3:
            pass
        yield made
