"""The lab's API server with controllers, a real Redis, and a plan service between them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.domain.plan import Baseline, Plan
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Coverage, FindingReport, Report, ReportScope, Verdict
from bot.incidents.plans import PlanService, PlanSettings, Proposal
from bot.incidents.plans.limits import Limits
from bot.incidents.plans.surroundings import Surroundings
from bot.lab.cluster.controllers import run_controllers
from bot.remediation.requests import PlanRequest
from bot.store import Store
from tests.cluster.small_cluster import SmallCluster, small_cluster
from tests.remediation.build import ALICE, BOB, CAROL

SERVICES, DAEMON_SETS = "services", "daemonsets.apps"
QUICK = Backoff(attempts=2, first_s=0.001, max_s=0.01)
BROKEN = Baseline(status="broken", cause="x", failing=("probe pod shop/a", "probe pod shop/b"), nodes_observed=3)


def report(status: Any = "healthy", *, fails: int = 0, nodes: int = 3) -> Report:
    findings = tuple(
        FindingReport(probe="probe", subject=f"pod shop/{'ab'[number]}", severity="fail", sentence="It fails.")
        for number in range(fails)
    )
    coverage = Coverage(access="agent", nodes_observed=nodes, nodes_total=3, pods_observed=2, pods_total=2)
    scope, verdict = ReportScope(cluster="lab", namespace="shop"), Verdict(status=status, summary="as it is")
    return Report(scope=scope, started_at="", took_s=1, verdict=verdict, findings=findings, coverage=coverage)


class PlanRig:
    """A plan service with what it needs: a small cluster, a store, a diagnosis afterwards."""

    def __init__(self, cluster: SmallCluster, store: Store, settings: PlanSettings) -> None:
        self.cluster = cluster
        self.store = store
        self.settings = settings
        self.afterwards = report()
        self.seconds = 0.0

    def connect(self, _: str) -> AbstractAsyncContextManager[Api]:
        return Api.connect(self.cluster.kubeconfig(), backoff=QUICK)

    async def diagnose(self, _: Plan, __: str) -> Report:
        return self.afterwards

    def service(self, *, surroundings: Surroundings | None = None, **changes: Any) -> PlanService:
        settings = dataclasses.replace(self.settings, **changes)
        now = 1_800_000_000.0
        loop = asyncio.get_running_loop()
        return PlanService(
            self.store,
            self.connect,
            self.diagnose,
            settings,
            surroundings=surroundings,
            now=lambda: now + loop.time() + self.seconds,
        )

    async def propose(self, asked: PlanRequest, service: PlanService | None = None, **changes: Any) -> PlanRecord:
        values: dict[str, Any] = {"cluster": "lab", "namespace": "shop", "requester": ALICE, "baseline": BROKEN}
        return await (service or self.service()).propose(Proposal(asked=asked, **(values | changes)))

    async def approved(self, asked: PlanRequest) -> PlanRecord:
        made = await self.propose(asked)
        for person in (BOB, CAROL):
            done = await self.service().approve(made.plan.id, person, digest=made.plan.digest)
            assert isinstance(done, PlanRecord), done
            if done.state == "approved":
                return done
        raise AssertionError("two approvals are not enough")

    async def run(self, asked: PlanRequest, **changes: Any) -> PlanRecord:
        made = await self.approved(asked)
        done = await self.service(**changes).execute(made.plan.id, who="replica-a")
        assert isinstance(done, PlanRecord), done
        return done

    def object(self, resource: str, name: str, namespace: str | None = "shop") -> Any:
        return self.cluster.storage.get(resource, name, namespace)

    async def settled(self) -> None:
        """Until the controllers and kubelets have nothing left to do."""
        async with asyncio.timeout(30):
            quiet = 0
            while quiet < 30:
                revision = self.cluster.storage.revision
                await asyncio.sleep(0)
                quiet = quiet + 1 if self.cluster.storage.revision == revision else 0

    @asynccontextmanager
    async def changes_of(self, resource: str) -> AsyncGenerator[list[Any]]:
        """Every change of the resource's objects that lands while the block runs, none left out."""
        found: list[Any] = []
        began = self.cluster.storage.revision

        async def follow() -> None:
            async for event in self.cluster.storage.watch(resource):
                found.extend([event] if int(event.object["metadata"]["resourceVersion"]) > began else [])

        async with asyncio.TaskGroup() as group:
            task = group.create_task(follow())
            yield found
            await self.settled()
            task.cancel()

    # Objects

    def web(self, **metadata: Any) -> None:
        """A Service whose targetPort is wrong."""
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8081}]}
        self.cluster.add("services", "web", "shop", metadata=metadata, spec=spec)

    def calico(self, image: str = "calico/node:v3.30.2", **spec: Any) -> None:
        """A DaemonSet calico-node in kube-system."""
        self.cluster.add(DAEMON_SETS, "calico-node", "kube-system", spec=_daemon_set(image) | spec)

    async def bad_rollout(self, image: str = "calico/node:v3.30.3") -> None:
        """Another image for calico-node, rolled out."""
        spec = {"template": {"spec": {"containers": [{"name": "calico-node", "image": image}]}}}
        self.cluster.storage.patch(DAEMON_SETS, "calico-node", "kube-system", {"spec": spec})
        await self.settled()

    def agent_images(self) -> set[str]:
        pods = self.cluster.storage.list("pods", "kube-system")
        return {pod["spec"]["containers"][0]["image"] for pod in pods}


def _daemon_set(image: str) -> dict[str, Any]:
    labels = {"k8s-app": "calico-node"}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "calico-node", "image": image}]}},
    }


@asynccontextmanager
async def plan_rig(directory: Path, store: Store) -> AsyncGenerator[PlanRig]:
    """A cluster of three nodes with the namespaces shop and kube-system."""
    settings = PlanSettings(
        mode="execute", limits=Limits(pause_s=0, a_day_for_target=1000), pause_s=0.01, unknown_s=0.5
    )
    async with small_cluster(directory) as cluster, asyncio.TaskGroup() as group:
        cluster.namespace("shop")
        cluster.node("node-1", "node-2", "node-3")
        controllers = group.create_task(run_controllers(cluster.storage, ca_pem="-----CA-----"))
        yield PlanRig(cluster, store, settings)
        controllers.cancel()
