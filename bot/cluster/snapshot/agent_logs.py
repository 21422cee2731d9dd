"""The ends of the logs of CNI agents and kube-proxy on some nodes: what they themselves complain about.

Bounded: some nodes, half an hour, a few hundred lines, of which those are kept that tell of trouble, secrets struck
out. A log that may not be read, or of a container that has none, is unobserved, never empty.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
"""

import asyncio
import re
from collections.abc import Iterator, Sequence

from bot.aio.groups import TaskGroup
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.cni.catalogue import agent_kind
from bot.cluster.objects import Pod
from bot.cluster.snapshot.snapshot import AgentLog, Snapshot
from bot.cluster.snapshot.tolerant_reads import Reader
from bot.domain.access import Need
from bot.domain.errors import bounded
from bot.domain.redact import redact
from bot.domain.report import ApiRead, Unobserved

LOG_NEED = Need(
    verb="get", resource="pods/log", is_optional=True, why="what the CNI's agents and kube-proxy complain about"
)
SINCE_S = 1800
TAIL_LINES = 400
LIMIT_BYTES = 128 << 10
MAX_LOGS = 12
MAX_KEPT = 80
MAX_LINE = 400
READ_S = 3.0

_TROUBLE = re.compile(
    r"^[EFW]\d{4} |\[(?:ERROR|WARNING|FATAL|PANIC)\]|level\"?[=:]\s?\"?(?:warn|error|fatal|panic)"
    r"|\b(?:panic|fatal|error|failed|unable|cannot|denied|refused|exhausted|timed? ?out)\b",
    re.IGNORECASE,
)
"""klog's, Calico's, logrus's and zap's marks, and the words of programs that have none."""


async def read_agent_logs(
    api: Api, snapshot: Snapshot, nodes: Sequence[str], *, deadline_s: float = READ_S
) -> tuple[tuple[AgentLog, ...], tuple[Unobserved, ...]]:
    """What the agents of these nodes complain about, and what could not be read. Never raises for a log."""
    reader = Reader(api)
    found: list[AgentLog] = []

    async def one(pod: Pod, container: str) -> None:
        meta, was_restarted = pod.metadata, _is_between_runs(pod, container)
        read = ApiRead(plural="pods/log", namespace=meta.namespace, name=meta.name)
        path = api_path("pods/log", namespace=meta.namespace, name=meta.name)
        query: dict[str, str | int] = {"container": container, "tailLines": TAIL_LINES, "limitBytes": LIMIT_BYTES}
        query |= {"previous": "true"} if was_restarted else {"sinceSeconds": SINCE_S}
        what = f"log of {meta.namespace}/{meta.name}"
        text = await reader.attempt(what, read, lambda: api.raw(path, **query))
        if text is not None:
            lines = tuple(_troubles(text))
            where = {"namespace": meta.namespace, "pod": meta.name, "node": pod.spec.node_name}
            found.append(AgentLog(**where, container=container, lines=lines, is_previous=was_restarted))

    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline, TaskGroup() as group:
            for pod, container in list(_agents(snapshot, nodes))[:MAX_LOGS]:
                group.create_task(one(pod, container))
    except TimeoutError:
        if not deadline.expired():
            raise
        reader.late(deadline_s)
    return tuple(sorted(found, key=lambda log: (log.node, log.namespace, log.pod))), tuple(reader.unobserved)


def _agents(snapshot: Snapshot, nodes: Sequence[str]) -> Iterator[tuple[Pod, str]]:
    """The pods and containers on these nodes that lay the pods' network or the Services' rules."""
    every = (*snapshot.dependency_pods, *snapshot.node_pods, *snapshot.pods)
    pods = {(pod.metadata.namespace, pod.metadata.name): pod for pod in every}
    for _, pod in sorted(pods.items()):
        if pod.spec.node_name not in nodes or not pod.spec.host_network or pod.is_finished:
            continue
        for container in pod.spec.containers:
            if container.name == "kube-proxy" or agent_kind(container, pod.metadata.name):
                yield pod, container.name


def _is_between_runs(pod: Pod, container: str) -> bool:
    """Whether it ended and waits for its next run: then the log of its last run says why."""
    statuses = (each for each in pod.status.container_statuses if each.name == container)
    return any(each.restart_count and each.state.waiting for each in statuses)


def _troubles(text: bytes) -> Iterator[str]:
    lines = (line for line in text.decode("utf-8", "replace").splitlines() if _TROUBLE.search(line[: 4 * MAX_LINE]))
    for line in list(lines)[-MAX_KEPT:]:
        yield bounded(redact(line[: 4 * MAX_LINE]), MAX_LINE)
