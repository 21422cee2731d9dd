"""The lab's controllers: they turn Deployments, DaemonSets and Services into ReplicaSets, pods and EndpointSlices."""

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.controllers.daemonsets import DaemonSets
from bot.lab.cluster.controllers.definitions import Definitions
from bot.lab.cluster.controllers.deployments import Deployments
from bot.lab.cluster.controllers.endpoints import EndpointSlices
from bot.lab.cluster.controllers.expiry import EventExpiry
from bot.lab.cluster.controllers.garbage import GarbageCollector
from bot.lab.cluster.controllers.jobs import Jobs
from bot.lab.cluster.controllers.loop import Controller, run
from bot.lab.cluster.controllers.namespaces import Namespaces
from bot.lab.cluster.controllers.nodes import Nodes
from bot.lab.cluster.controllers.replicasets import ReplicaSets
from bot.lab.cluster.controllers.scheduler import Scheduler


def controllers(storage: Storage, ca_pem: str = "") -> tuple[Controller, ...]:
    """All of them that work key by key."""
    return (
        Namespaces(storage, ca_pem),
        Nodes(storage),
        Definitions(storage),
        Deployments(storage),
        ReplicaSets(storage),
        DaemonSets(storage),
        Jobs(storage),
        Scheduler(storage),
        EndpointSlices(storage),
        EventExpiry(storage),
    )


async def run_controllers(storage: Storage, *, ca_pem: str = "") -> None:
    """Run every controller until cancelled; `ca_pem` is published to each namespace as `kube-root-ca.crt`."""
    async with TaskGroup() as group:
        for controller in controllers(storage, ca_pem):
            group.create_task(run(storage, controller), name=f"controller {controller.name}")
        group.create_task(GarbageCollector(storage).run(), name="garbage collector")
