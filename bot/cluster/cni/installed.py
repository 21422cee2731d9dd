"""What is installed, for a question that is asked of every cluster once a day: four requests, and no exec."""

from datetime import UTC, datetime

import msgspec

from bot.aio.groups import TaskGroup
from bot.cluster.client.api import Api
from bot.cluster.objects import CustomObject, DaemonSet, Node
from bot.cluster.snapshot.snapshot import Snapshot
from bot.cluster.snapshot.tolerant_reads import Reader
from bot.domain.report import ApiRead

_NAMESPACE = "kube-system"


class _Version(msgspec.Struct):
    gitVersion: str = ""  # noqa: N815 - Kubernetes' spelling


async def read_installed(api: Api) -> Snapshot:
    """A snapshot of the cluster's DaemonSets, nodes and version alone. What could not be read is in `unobserved`."""
    reader = Reader(api)
    read = ApiRead(path="/version")
    async with TaskGroup() as group:
        version = group.create_task(reader.attempt("version", read, lambda: api.get("/version", _Version)))
        nodes = group.create_task(reader.list("nodes", Node))
        daemon_sets = group.create_task(reader.list("daemonsets", DaemonSet, group="apps"))
        tigera = "operator.tigera.io"
        installations = group.create_task(reader.list("installations", CustomObject, group=tigera, is_optional=True))
    found = installations.result()
    answered = version.result()
    return Snapshot(
        cluster=api.context,
        taken_at=datetime.now(UTC),
        namespace=_NAMESPACE,
        server_version=answered.gitVersion if answered else "",
        nodes=nodes.result() or (),
        daemon_sets=daemon_sets.result() or (),
        custom_objects={} if found is None else {"installations": found},
        unobserved=tuple(reader.unobserved),
    )
