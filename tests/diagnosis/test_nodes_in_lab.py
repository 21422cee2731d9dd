"""Diagnoses of one node, and of all: what is wrong with pods of other namespaces there is found, and nothing else."""

from __future__ import annotations

import pytest

from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.request import Request
from bot.domain.report import Report
from tests.conftest import LabUnderTest
from tests.recorded_cluster import knowledge

pytestmark = pytest.mark.lab


async def report(lab: LabUnderTest, *nodes: str) -> Report:
    """On the named nodes, or on all."""
    request = Request(namespace="kube-system", nodes=nodes, all_nodes=not nodes, timeout_s=120.0)
    return (await diagnose_cluster(lab.kubeconfig, None, request, knowledge())).report


async def test_a_fault_on_a_node_is_found_by_its_name_and_by_a_sweep(calico_lab: LabUnderTest) -> None:
    await calico_lab.client.break_("calico-proxy-arp-off", node="node-2")

    for found in (await report(calico_lab, "node-2"), await report(calico_lab)):
        assert found.verdict.status in {"broken", "degraded"}
        assert found.verdict.cause == "calico-proxy-arp-off"
        assert "node-2" in found.blast_radius.nodes
        assert any(pod.startswith("seldon-mesh/") for pod in found.blast_radius.pod_names)


async def test_a_sweep_of_healthy_nodes_has_looked_at_all_of_them(calico_lab: LabUnderTest) -> None:
    found = await report(calico_lab)

    assert found.verdict.status == "healthy"
    assert found.coverage.nodes_observed == found.coverage.nodes_total == 3


async def test_what_somebody_beside_flannel_enforces_is_no_fault(busy_kubeadm_lab: LabUnderTest) -> None:
    """Flannel itself enforces nothing: that policies hold shows in the rules of who does."""
    request = Request(namespace="shop", timeout_s=120.0)

    found = await diagnose_cluster(busy_kubeadm_lab.kubeconfig, None, request, knowledge())

    assert found.report.verdict.status == "healthy"
