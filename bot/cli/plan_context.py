"""What commands about plans work at: the settings, the store, the clusters, and the person at the terminal."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bot.aio.stopping import until_terminated
from bot.cli.common import begin, errors_explained, the_store
from bot.settings import ClusterSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.diagnosis.diagnose import Diagnosis
    from bot.domain.plan import Person, Plan
    from bot.domain.report import Report
    from bot.incidents.plans import PlanService
    from bot.store import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """What the commands work with."""

    settings: Settings
    store: "Store"
    clusters: "Mapping[str, ClusterSettings]"
    service: "PlanService"

    def connect(self, cluster: str) -> Any:
        """The API of a cluster, as the person at the terminal."""
        from bot.app.plans import connecting  # noqa: PLC0415 `cnibot --help` needs none of it

        return connecting(self.clusters)(cluster)

    def cluster(self, name: str | None) -> str:
        """The cluster that is meant."""
        return name or next(iter(self.clusters))

    async def person(self, cluster: str) -> "Person":
        """Who sits here, as the API server says."""
        from bot.domain.plan import Person  # noqa: PLC0415

        async with self.connect(cluster) as api:
            return Person(realm="kubernetes", name=await api.who_am_i())


@asynccontextmanager
async def plan_context(settings: Settings) -> "AsyncGenerator[PlanContext]":
    """With these settings."""
    from bot.app.plans import plan_service  # noqa: PLC0415
    from bot.app.wiring import clusters_of  # noqa: PLC0415

    clusters = await clusters_of(settings)

    async def diagnose(made: "Plan", namespace: str) -> "Report":
        return await diagnosis(settings, clusters[made.cluster], namespace)

    async with the_store(settings) as store:
        yield PlanContext(
            settings=settings,
            store=store,
            clusters=clusters,
            service=plan_service(settings, store, clusters, diagnose),
        )


async def diagnosis(settings: Settings, cluster: ClusterSettings, namespace: str) -> "Report":
    """Of a namespace, as it is now."""
    return (await examined(settings, cluster, namespace)).report


async def examined(
    settings: Settings, cluster: ClusterSettings, namespace: str, *, all_nodes: bool = False
) -> "Diagnosis":
    """A diagnosis with its recording, in which is what node agents saw."""
    from bot.cli.common import knowledge_of  # noqa: PLC0415
    from bot.diagnosis.diagnose import diagnose_cluster  # noqa: PLC0415
    from bot.diagnosis.request import Request  # noqa: PLC0415

    request = Request(
        namespace=namespace,
        timeout_s=settings.timeout_s,
        bot_namespace=settings.bot_namespace,
        agent_image=settings.agent_image,
        max_nodes=settings.max_nodes,
        with_trace=False,
        all_nodes=all_nodes,
    )
    return await diagnose_cluster(cluster.kubeconfig, cluster.context, request, knowledge_of(settings, None))


def with_plans(work: Callable[[PlanContext], Awaitable[T]]) -> T:
    """What the work gives; what goes wrong in one sentence."""

    async def worked(settings: Settings) -> T:
        async with plan_context(settings) as context:
            return await work(context)

    with errors_explained():
        return asyncio.run(until_terminated(worked(begin())))
