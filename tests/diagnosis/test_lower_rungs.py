"""What is allowed may still not work: then the next lower rung that does is used, and the report says so."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.diagnosis.collect import collect
from bot.diagnosis.judge import coverage_of
from bot.diagnosis.request import Progress, Request, silent
from bot.domain.facts import Rung, Subject
from bot.domain.report import Unobserved
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from bot.probes.engine.evidence import Evidence
from tests.cluster.small_cluster import SmallCluster, small_cluster

PULL = {
    "phase": "Pending",
    "containerStatuses": [
        {
            "name": "agent",
            "ready": False,
            "restartCount": 0,
            "image": "cnibot",
            "imageID": "",
            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}},
        }
    ],
}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[SmallCluster]:
    """Two nodes with one pod each; commands in pods are run on this machine."""
    async with small_cluster(tmp_path) as cluster:
        cluster.namespace("cnibot", "shop")
        cluster.node("node-1", "node-2")
        for number in (1, 2):
            cluster.pod("shop", f"web-{number}", f"node-{number}")
        await cluster.until(lambda: all(pod["status"].get("podIP") for pod in cluster.storage.list("pods")))
        yield cluster


async def seen(cluster: SmallCluster, said: list[Progress] | None = None) -> Evidence:
    async with Api.connect(cluster.kubeconfig(), backoff=Backoff(attempts=2, first_s=0.001, max_s=0.01)) as api:
        request = Request(namespace="shop", timeout_s=15, with_trace=False)
        return await collect(api, request, lambda _: (), (said if said is not None else []).append)


def of_rungs(evidence: Evidence) -> list[Unobserved]:
    return [each for each in coverage_of(evidence).unobserved if each.kind == "access"]


def makes_agents(method: str, path: str) -> bool:
    return method == "POST" and path.startswith("/api/v1/namespaces/cnibot/pods")


def agents(cluster: SmallCluster) -> list[Any]:
    return cluster.storage.list("pods", "cnibot")


async def test_where_no_agent_may_be_made_commands_in_pods_look(home: SmallCluster):
    """PodSecurity and quotas refuse what the rights allow."""
    home.api_faults.add(ApiFault(kind="forbidden", matches=makes_agents))
    said: list[Progress] = []

    evidence = await seen(home, said)

    assert evidence.access is Rung.EXEC
    assert evidence.rungs == {"node-1": Rung.EXEC, "node-2": Rung.EXEC}
    first, *_ = of_rungs(evidence)
    assert first.what == "rung agent"
    assert first.why.startswith("It did not work on node-1 and 1 more, seen by rung exec instead: The node agent on")
    assert "forbidden: disturbed by the test" in first.why
    assert "rung agent did not work on 2 nodes: looking by rung cni-agent" in [each.sentence for each in said]


async def test_where_agents_start_on_some_nodes_only_those_are_seen_by_them(home: SmallCluster):
    home.statuses["node-2"] = PULL

    evidence = await seen(home)

    assert evidence.access is Rung.AGENT
    assert evidence.rungs == {"node-1": Rung.AGENT, "node-2": Rung.EXEC}
    assert all("node-2" in each.why and "no such host" in each.why for each in of_rungs(evidence))
    assert agents(home) == []


async def test_an_agent_that_prints_no_report_is_replaced_by_commands(home: SmallCluster):
    home.kubelet.instead["cnibot-agent"] = ("echo", "garbage")

    evidence = await seen(home)

    assert evidence.access is Rung.EXEC
    assert "it printed something else than a report" in of_rungs(evidence)[0].why


async def test_an_agent_that_broke_off_once_is_asked_again_in_the_second_look(home: SmallCluster):
    """A lower rung sees less: what it leaves open may be plain to the agent."""
    home.kubelet.instead["cnibot-agent"] = ("echo", "garbage")

    def doubts(evidence: Evidence) -> frozenset[Subject]:
        home.kubelet.instead.clear()
        return frozenset(evidence.scope_pods) if evidence.access is Rung.EXEC else frozenset()

    async with Api.connect(home.kubeconfig()) as api:
        request = Request(namespace="shop", timeout_s=30, with_trace=False)
        evidence = await collect(api, request, lambda _: (), silent, doubts)

    assert evidence.first is not None
    assert evidence.first.access is Rung.EXEC
    assert evidence.access is Rung.AGENT
    assert evidence.rungs == {"node-1": Rung.AGENT, "node-2": Rung.AGENT}
    assert of_rungs(evidence) == []


async def test_where_nothing_works_the_report_claims_no_more_than_the_api(home: SmallCluster):
    home.api_faults.add(ApiFault(kind="forbidden", matches=lambda _, path: "/exec" in path))

    evidence = await seen(home)

    assert evidence.access is Rung.API
    assert evidence.reports == {}
    blind = {each.subject: each.why for each in evidence.unobserved if each.kind == "node"}
    assert set(blind) == {"node node-1", "node node-2"}
    assert all("disturbed by the test" in why for why in blind.values())


@pytest.mark.parametrize("unread", ["", "/pods"], ids=["the namespace", "its pods"])
async def test_a_namespace_that_cannot_be_read_is_no_end_either(home: SmallCluster, unread: str):
    """What keeps us from all agents at once leaves the lower rungs."""
    home.api_faults.add(
        ApiFault(kind="internal-error", matches=lambda _, path: path.startswith(f"/api/v1/namespaces/cnibot{unread}"))
    )

    evidence = await seen(home)

    assert evidence.access is Rung.EXEC
    assert set(evidence.reports) == {"node-1", "node-2"}
