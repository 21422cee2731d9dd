"""What Cilium has come to on the nodes, and what must be gone before its configuration is deleted."""

from __future__ import annotations

from typing import Any

import pytest

from bot.remediation.cilium.observed import cilium_nodes, test_pods
from bot.remediation.conditions import job_done, pods_gone

test_pods.__test__ = False  # pyright: ignore[reportFunctionMemberAccess] it is what is tested


def cilium_node(name: str, *blocks: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ipam": {"podCIDRs": [*blocks]}}}


def pod(node: str, ip: str = "", *, ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"conditions": conditions, **({"podIP": ip} if ip else {})}
    return {"metadata": {"name": "t", "labels": {"k8s-app": "cilium"}}, "spec": {"nodeName": node}, "status": status}


NODES = [cilium_node("a", "10.42.0.0/24"), cilium_node("b", "10.42.1.0/24")]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (NODES, ""),
        (NODES[:1], "Cilium has given no block of addresses to b"),
        ([NODES[0], cilium_node("b")], "Cilium has given no block of addresses to b"),
        ([NODES[0], cilium_node("b", "10.99.1.0/24")], "b has the block 10.99.1.0/24, which is not of 10.42.0.0/16"),
        ([], "Cilium has given no block of addresses to a, b"),
    ],
)
def test_every_node_needs_a_block_of_the_range(found: Any, why: str) -> None:
    held = cilium_nodes(found, ("a", "b"), ("10.42.0.0/16",))

    assert (held.is_so, held.why) == (not why, why)


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        ([pod("a", "10.42.0.7"), pod("b", "10.42.1.7")], ""),
        ([pod("a", "10.42.0.7")], "the test pod on b has no address"),
        ([pod("a", "10.42.0.7"), pod("b")], "the test pod on b has no address"),
        ([pod("a", "10.244.0.7"), pod("b", "10.42.1.7")], "the test pod on a has the address 10.244.0.7, which is not"),
        ([pod("a", "10.42.1.9"), pod("b", "10.42.1.7")], "the test pod on a has the address 10.42.1.9, which is not"),
        ([pod("a", "10.42.0.7", ready=False), pod("b", "10.42.1.7")], "the test pod on a is not Ready"),
    ],
)
def test_every_test_pod_needs_an_address_of_its_nodes_block(pods: Any, why: str) -> None:
    held = test_pods(pods, NODES, ("a", "b"), is_cilium=True)

    assert held.is_so == (not why)
    assert held.why.startswith(why)


def test_an_agent_that_still_terminates_is_still_there() -> None:
    labels = {"k8s-app": "cilium"}

    assert not pods_gone([pod("a")], labels).is_so
    assert pods_gone([pod("a")], {"k8s-app": "calico-node"}).is_so
    assert pods_gone([], labels).is_so


@pytest.mark.parametrize(
    ("conditions", "is_so", "why"),
    [
        ([{"type": "Complete", "status": "True"}], True, ""),
        ([{"type": "Failed", "status": "True", "message": "DeadlineExceeded"}], False, "failed: DeadlineExceeded"),
        ([], False, "has not ended"),
    ],
)
def test_a_job_has_done_its_work_when_it_says_so(conditions: Any, is_so: bool, why: str) -> None:  # noqa: FBT001 a table
    held = job_done("Job x", {"status": {"conditions": conditions}})

    assert held.is_so == is_so
    assert is_so or held.why.endswith(why)
    assert not job_done("Job x", None).is_so
