"""The ends of agents' logs, from a real (lab) API server."""

import pytest

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.cluster.snapshot.agent_logs import MAX_KEPT, MAX_LINE, read_agent_logs
from bot.cluster.snapshot.reader import take_snapshot
from bot.cluster.snapshot.snapshot import AgentLog
from bot.domain.report import Unobserved
from tests.cluster.small_cluster import SmallCluster

QUICK = Backoff(attempts=2, first_s=0.001, max_s=0.01)
ERROR = "E0102 03:04:05.6 1 main.go:9] Failed to list *v1.Node: dial tcp 10.43.0.1:443: i/o timeout"


@pytest.fixture
def shop(cluster: SmallCluster) -> SmallCluster:
    cluster.namespace("shop")
    cluster.node("node-1", "node-2")
    cluster.pod("shop", "web", "node-1")
    agent = {"name": "kube-flannel", "image": "docker.io/flannel/flannel:v0.26.0"}
    cluster.pod("kube-system", "flannel-1", "node-1", containers=[agent], hostNetwork=True)
    cluster.pod("kube-system", "flannel-2", "node-2", containers=[agent], hostNetwork=True)
    return cluster


def writes(cluster: SmallCluster, pod: str, *lines: str) -> None:
    cluster.kubelet.lines[pod, "kube-flannel"] = [f"{line}\n".encode() for line in lines]


async def read(
    cluster: SmallCluster, *nodes: str, kubeconfig: str = ""
) -> tuple[tuple[AgentLog, ...], tuple[Unobserved, ...]]:
    async with Api.connect(cluster.kubeconfig(), backoff=QUICK) as api:
        snapshot = await take_snapshot(api, "shop", deadline_s=10)
    async with Api.connect(kubeconfig or cluster.kubeconfig(), backoff=QUICK) as api:
        return await read_agent_logs(api, snapshot, nodes)


async def test_lines_that_tell_of_trouble_are_kept(shop: SmallCluster):
    writes(shop, "flannel-1", "I0102 1 main.go:1] started", ERROR)
    writes(shop, "flannel-2", ERROR)

    logs, unobserved = await read(shop, "node-1")

    assert logs == (
        AgentLog(namespace="kube-system", pod="flannel-1", node="node-1", container="kube-flannel", lines=(ERROR,)),
    )
    assert unobserved == ()


async def test_a_log_without_trouble_is_read_and_empty(shop: SmallCluster):
    writes(shop, "flannel-1", "I0102 1 main.go:1] started")

    logs, _ = await read(shop, "node-1")

    assert [log.lines for log in logs] == [()]


async def test_lines_are_bounded_and_hold_no_secret(shop: SmallCluster):
    long = f"E0102 1 x.go:1] failed password=hunter2secret {'x' * 5000}"
    writes(shop, "flannel-1", *[f"E0102 {number}: failed" for number in range(200)], long)

    logs, _ = await read(shop, "node-1")

    assert len(logs[0].lines) == MAX_KEPT
    assert "hunter2secret" not in logs[0].lines[-1]
    assert len(logs[0].lines[-1]) == MAX_LINE


async def test_a_log_that_may_not_be_read_is_unobserved(shop: SmallCluster):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]

    logs, unobserved = await read(shop, "node-1", kubeconfig=shop.kubeconfig("eve", rules))

    assert logs == ()
    assert [(each.what, each.remedy) for each in unobserved] == [
        ("log of kube-system/flannel-1", "get pods/log in namespace kube-system")
    ]
