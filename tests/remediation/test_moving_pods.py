"""Steps whose pods are not known when people approve: restarts of a DaemonSet's pod, and evictions of a node's pods."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cluster.client.api import Listed
from bot.domain.errors import OverloadedError
from bot.domain.plan import Evict, Plan, Recheck, Restart, Step, Target
from bot.remediation.executor import Better, Executor
from bot.remediation.progress import End
from tests.remediation.build import NOW, plan
from tests.remediation.memory_cluster import MemoryCluster, MemoryJournal, Obj, to_the_end

AGENTS = "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium"
KUBE_SYSTEM, SHOP = "/api/v1/namespaces/kube-system/pods", "/api/v1/namespaces/shop/pods"
OWNER = Target(kind="DaemonSet", path=AGENTS, name="cilium", namespace="kube-system", uid="", resource_version="")
NODE = Target(kind="Node", path="/api/v1/nodes/node-1", name="node-1", uid="uid-node-1", resource_version="1")
NEW = "10.245.0.0/16"


def pod(where: str, name: str, ip: str = "10.42.1.7", *, owner: str = "ReplicaSet", node: str = "node-1") -> Any:
    reference = {"kind": owner, "name": "of", "uid": f"uid-{owner}", "controller": True}
    metadata = {"name": name, "namespace": where.split("/")[-2], "uid": f"uid-{name}", "resourceVersion": "1"}
    metadata |= {"ownerReferences": [reference]} if owner else {}
    return f"{where}/{name}", {"metadata": metadata, "spec": {"nodeName": node}, "status": {"podIP": ip}}


class Kubelets(MemoryCluster):
    """A cluster whose DaemonSets make a pod again at once, with a new address, and with budgets."""

    def __init__(self, *pods: tuple[str, Obj], allowed: int = 99) -> None:
        owner = {"metadata": {"name": "cilium", "uid": "uid-DaemonSet", "resourceVersion": "1"}}
        super().__init__((AGENTS, owner), *pods)
        self.allowed = allowed
        self.made = 0

    async def list_all(self, path: str, _: type[Any], **query: Any) -> Listed[Obj]:
        node = str(query.get("fieldSelector", "")).removeprefix("spec.nodeName=")
        self.allowed += 1  # time passes: what was evicted has started elsewhere
        folder = "/pods/" if path == "/api/v1/pods" else f"{path}/"
        pods = [obj for each, obj in self.objects.items() if folder in each]
        return Listed(items=tuple(one for one in pods if not node or one["spec"]["nodeName"] == node))

    async def delete(self, path: str, *, uid: str = "", is_dry_run: bool = False, **more: Any) -> None:
        former = self.objects.get(path)
        try:
            await super().delete(path, uid=uid, is_dry_run=is_dry_run, **more)
        finally:
            if former is not None and path not in self.objects:
                self._make_again(former)

    def _make_again(self, former: Obj) -> None:
        if former["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet":
            self.made += 1
            name = f"again-{self.made}"
            where = f"/api/v1/namespaces/{former['metadata']['namespace']}/pods"
            path, obj = pod(where, name, "10.245.0.77", owner="DaemonSet", node=former["spec"]["nodeName"])
            self.store(path, obj)

    async def evict(self, path: str, *, uid: str, is_dry_run: bool = False) -> None:
        if self.allowed <= 0:
            raise OverloadedError("https://api", status=429, retry_after_s=None, message="disruption budget")
        self.allowed -= 1
        await self.delete(path, uid=uid, is_dry_run=is_dry_run)


def executor(made: Plan, cluster: Kubelets, journal: MemoryJournal, seconds: list[float]) -> Executor:
    async def well(_: Recheck) -> Better:
        return Better(is_better=True, sentence="Well.")

    async def no() -> bool:
        return False

    async def goes_on(_: Step) -> str:
        return ""

    def now() -> float:
        seconds[0] += 0.01
        return NOW + seconds[0]

    return Executor(
        made, cluster.writer, journal, recheck=well, is_stopping=no, halt=goes_on, now=now, pause_s=0, unknown_s=0.5
    )


async def carried_out(made: Plan, cluster: Kubelets, journal: MemoryJournal) -> End:
    """To its end, by as many executors as it takes."""
    seconds = [0.0]
    return await to_the_end(lambda: executor(made, cluster, journal, seconds).run(), journal)


RESTART = plan(Step(title="restart", do=Restart(target=OWNER, node="node-1"), undo="not-needed"))


def evicting(which: Any) -> Plan:
    do = Evict(target=NODE, which=which, pod_range=NEW)
    return plan(Step(title="evict", do=do, undo="not-needed", within_s=2))


def two_agents() -> Kubelets:
    return Kubelets(
        pod(KUBE_SYSTEM, "agent-1", owner="DaemonSet"), pod(KUBE_SYSTEM, "agent-2", owner="DaemonSet", node="node-2")
    )


async def test_the_pod_of_that_node_is_replaced_and_no_other() -> None:
    cluster, journal = two_agents(), MemoryJournal()

    ended = await carried_out(RESTART, cluster, journal)

    assert ended.outcome == "verified"
    assert cluster.landed == [("delete", f"{KUBE_SYSTEM}/agent-1")]
    assert journal.lines[0].note == f"{KUBE_SYSTEM}/agent-1 uid-agent-1"


@given(deaths=st.sets(st.integers(0, 7)), api_deaths=st.sets(st.integers(0, 3)))
@settings(max_examples=60)
async def test_whenever_it_is_killed_the_pod_is_deleted_once_and_its_successor_never(
    deaths: set[int], api_deaths: set[int]
) -> None:
    cluster, journal = two_agents(), MemoryJournal()
    points = iter(range(100))
    journal.trouble = lambda _: "killed" if next(points) in deaths else ""
    asked = iter(range(100))
    cluster.trouble = lambda _: "killed" if next(asked) in api_deaths else ""

    ended = await carried_out(RESTART, cluster, journal)

    assert ended.outcome == "verified"
    assert cluster.landed == [("delete", f"{KUBE_SYSTEM}/agent-1")]
    assert cluster.made == 1


async def test_where_there_is_no_pod_nothing_is_deleted() -> None:
    cluster = Kubelets(pod(KUBE_SYSTEM, "agent-2", owner="DaemonSet", node="node-2"))

    assert (await carried_out(RESTART, cluster, MemoryJournal())).outcome == "verified"
    assert cluster.landed == []


def a_node_full() -> tuple[tuple[str, Obj], ...]:
    host = pod(KUBE_SYSTEM, "kube-proxy", owner="DaemonSet")
    host[1]["spec"]["hostNetwork"] = True
    done = pod(SHOP, "done")
    done[1]["status"]["phase"] = "Succeeded"
    return (
        host, done,
        pod(SHOP, "logs", owner="DaemonSet"), pod(SHOP, "web-1"), pod(SHOP, "web-2", "10.245.0.9"),
        pod(SHOP, "web-3", node="node-2"), pod(SHOP, "starting", ""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("which", "gone"),
    [("moving", {"web-1", "web-2", "starting"}), ("old", {"web-1", "logs"}), ("new", {"web-2"})],
)
async def test_those_are_evicted_that_are_meant(which: str, gone: set[str]) -> None:
    cluster = Kubelets(*a_node_full())

    assert (await carried_out(evicting(which), cluster, MemoryJournal())).outcome == "verified"
    assert {path.rpartition("/")[2] for _, path in cluster.landed} == gone


async def test_what_a_budget_keeps_back_is_evicted_as_soon_as_it_may() -> None:
    cluster = Kubelets(pod(SHOP, "web-1"), pod(SHOP, "web-2"), pod(SHOP, "web-3"), allowed=0)
    cluster.allowed = -1

    assert (await carried_out(evicting("moving"), cluster, MemoryJournal())).outcome == "verified"
    assert len(cluster.landed) == 3


async def test_where_a_budget_never_allows_it_the_plan_turns_back() -> None:
    cluster = Kubelets(pod(SHOP, "web-1"))
    cluster.allowed = -(10**6)

    ended = await carried_out(evicting("moving"), cluster, MemoryJournal())

    assert ended.outcome == "stale"
    assert "pods of Node node-1 were not allowed to go, or did not end, in time" in ended.why
    assert cluster.landed == []


async def test_a_pod_that_nobody_would_make_again_is_never_evicted() -> None:
    cluster = Kubelets(pod(SHOP, "web-1"), pod(SHOP, "alone", owner=""))

    ended = await carried_out(evicting("moving"), cluster, MemoryJournal())

    assert (ended.outcome, cluster.landed) == ("stale", [])
    assert "nobody would make shop/alone on node-1 again" in ended.why


async def test_a_check_waits_out_its_soak() -> None:
    waits = plan(RESTART.steps[0], Step(title="check", do=Recheck(after_s=600), undo="not-needed"))
    journal = MemoryJournal()

    assert (await carried_out(waits, two_agents(), journal)).outcome == "verified"
    verified, begun = (next(one.at for one in journal.lines if (one.step, one.event) == each) for each in
                       ((0, "verified"), (1, "begun")))  # fmt: skip
    assert begun - verified >= 600
