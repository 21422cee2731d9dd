"""Cluster access against the whole lab: real kernels, kubelets, agents."""

import asyncio
from pathlib import Path
from typing import Protocol

import pytest

from bot.agent.report import NodeReport, Task, TaskPod
from bot.cluster.access.exec_rung import report_by_cni_agent, report_by_exec
from bot.cluster.access.ladder import choose_rung
from bot.cluster.access.node_agents import node_agents, run_agent
from bot.cluster.client.api import Api
from bot.cluster.cni.detect import CniInventory, detect_cni
from bot.cluster.snapshot.reader import take_snapshot
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Rung

pytestmark = [pytest.mark.lab]

NAMESPACE = "seldon-mesh"


class Lab(Protocol):
    """What `calico_lab` and its siblings give."""

    @property
    def kubeconfig(self) -> Path: ...


async def seen(lab: Lab) -> tuple[Snapshot, CniInventory]:
    async with Api.connect(lab.kubeconfig) as api:
        snapshot = await take_snapshot(api, NAMESPACE, deadline_s=15)
    return snapshot, detect_cni(snapshot)


def task(snapshot: Snapshot, node: str, gateway: str = "") -> Task:
    pods = [pod for pod in snapshot.node_pods if pod.spec.node_name == node and not pod.spec.host_network]
    return Task(
        node=node,
        gateway=gateway,
        pods=tuple(
            TaskPod(
                uid=pod.metadata.uid,
                namespace=pod.metadata.namespace,
                name=pod.metadata.name,
                ip=pod.status.pod_ip,
                is_source=pod.metadata.namespace == NAMESPACE,
            )
            for pod in pods
        ),
    )


async def test_calico_is_recognised(calico_lab: Lab):
    snapshot, cni = await seen(calico_lab)

    assert snapshot.unobserved == ()
    assert (cni.name, cni.encapsulation, cni.enforces_policy) == ("calico", "vxlan", True)
    assert cni.pod_cidrs == ("10.42.0.0/16",)
    assert set(cni.agent_pods) == {node.metadata.name for node in snapshot.nodes}
    assert snapshot.custom_objects["ippools"]
    assert {pod.metadata.namespace for pod in snapshot.pods} == {NAMESPACE}
    assert any(pod.metadata.labels.get("k8s-app") == "kube-dns" for pod in snapshot.dependency_pods)


async def test_flannel_inside_k3s_is_recognised(flannel_lab: Lab):
    snapshot, cni = await seen(flannel_lab)

    assert snapshot.unobserved == ()
    assert (cni.name, cni.encapsulation) == ("flannel", "vxlan")


async def test_cilium_is_recognised(cilium_lab: Lab):
    snapshot, cni = await seen(cilium_lab)

    assert snapshot.unobserved == ()
    assert (cni.name, cni.encapsulation, cni.enforces_policy) == ("cilium", "vxlan", True)


async def test_one_exec_for_each_node(calico_lab: Lab):
    """The cost of a diagnosis grows with nodes, not with pods."""
    snapshot, _ = await seen(calico_lab)
    nodes = [node.metadata.name for node in snapshot.nodes]
    reports: dict[str, NodeReport] = {}
    async with Api.connect(calico_lab.kubeconfig) as api:
        assert (await choose_rung(api, None, namespace=NAMESPACE)).rung is Rung.AGENT
        async with node_agents(api, nodes, start_deadline_s=20) as agents:

            async def look(node: str) -> None:
                await agents[node].ready()
                reports[node] = await run_agent(api, agents[node], task(snapshot, node), deadline_s=30)

            async with asyncio.TaskGroup() as group:
                for node in nodes:
                    group.create_task(look(node))
        assert api.exec_calls == len(nodes)

    assert all(pod.is_found for report in reports.values() for pod in report.pods)


async def test_the_cni_agent_sees_how_the_node_routes_for_its_pods(calico_lab: Lab):
    snapshot, cni = await seen(calico_lab)
    async with Api.connect(calico_lab.kubeconfig) as api:
        report = await report_by_cni_agent(api, task(snapshot, "node-1", "169.254.1.1"), cni, deadline_s=20)
    found = [pod for pod in report.pods if pod.is_found]

    assert any(link.name == "vxlan.calico" for link in report.root.links)
    assert report.root.sysctls["ipv4.ip_forward"] == "1"
    assert found
    for pod in found:
        assert pod.host_link.startswith("cali")
        assert pod.gateway_ip == "169.254.1.1"
        assert pod.gateway_oracle is not None
        assert pod.gateway_oracle.errno == ""
        assert report.root.sysctls[f"ipv4.conf.{pod.host_link}.proxy_arp"] == "1"


async def test_a_pod_without_programs_says_so_by_commands(calico_lab: Lab):
    snapshot, _ = await seen(calico_lab)
    async with Api.connect(calico_lab.kubeconfig) as api:
        report = await report_by_exec(api, task(snapshot, "node-1"), snapshot, deadline_s=20)
    distroless = [pod for pod in report.pods if pod.namespace == "distroless"]

    assert distroless
    assert all(not pod.is_found and "There is no program 'cat'" in pod.why_not for pod in distroless)
