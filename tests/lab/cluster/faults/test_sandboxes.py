"""A pod that gets no network is told why in its node's own words; harmless states harm nothing."""

from __future__ import annotations

import pytest

from bot.lab.cluster.faults.registry import all_faults
from bot.lab.cluster.names import CNIS
from tests.conftest import LabUnderTest
from tests.lab.cluster import kernel_view
from tests.lab.cluster.kernel_view import kubectl, objects

pytestmark = pytest.mark.lab

CALICO = {
    "cni-not-initialised": "cni plugin not initialized",
    "cni-plugin-missing": 'failed to find plugin "calico" in path [/opt/cni/bin]',
    "cni-cannot-reach-api": "dial tcp 10.43.0.1:443: i/o timeout",
    "ipam-no-pool": "no configured Calico pools for node",
}
FLANNEL = {
    "ipam-leak": "no IP addresses available in range set",
    "flannel-subnet-file-missing": "open /run/flannel/subnet.env: no such file or directory",
}
CANARY = "income-classifier-canary"
DECOYS = sorted(one.id for one in all_faults().values() if not one.cause)


def canary_events(lab: LabUnderTest) -> list[str]:
    """What was said about the pod that tried, in this test."""
    uid = kubectl(lab, "get", "pod", CANARY, "-n", "seldon-mesh", "-o", "jsonpath={.metadata.uid}")
    events = objects(lab, "events", "-n", "seldon-mesh")
    return [one["message"] for one in events if one["involvedObject"].get("uid") == uid]


async def _assert_told(lab: LabUnderTest, fault: str, words: str) -> None:
    await lab.client.break_(fault)

    assert any(words in message for message in canary_events(lab))


@pytest.mark.parametrize("fault", CALICO)
async def test_told_on_calico(calico_lab: LabUnderTest, fault: str) -> None:
    await _assert_told(calico_lab, fault, CALICO[fault])


@pytest.mark.parametrize("fault", FLANNEL)
async def test_told_on_flannel(flannel_lab: LabUnderTest, fault: str) -> None:
    await _assert_told(flannel_lab, fault, FLANNEL[fault])


@pytest.mark.parametrize("decoy", DECOYS)
async def test_decoys_are_harmless(calico_lab: LabUnderTest, decoy: str) -> None:
    done = await calico_lab.client.break_(decoy)
    asked = [
        ("arp", "eth0", "169.254.1.1", 1.0),
        ("tcp", "10.43.51.131", 9004, 2.0),
        ("tcp", "198.51.100.10", 80, 2.0),
        ("dns", "10.43.0.10", "seldon-scheduler.seldon-mesh.svc.cluster.local", 2.0),
    ]

    assert await kernel_view.probe(calico_lab.client, done["pod"], *asked) == ["ee:ee:ee:ee:ee:ee", "ok", "ok", "ok"]


async def test_undone_rollout_really_heals(calico_lab: LabUnderTest) -> None:
    """The data plane follows the revision of calico-node: `rollout undo` brings the tunnel's port back."""
    await calico_lab.client.break_("calico-bad-rollout")
    ports = "ip -d link show vxlan.calico | grep -o 'dstport [0-9]*'"
    nodes = ("node-1", "node-2", "node-3")
    broken = {await kernel_view.run(calico_lab.client, node, ports) for node in nodes}

    for action in ("undo", "status"):
        kubectl(calico_lab, "rollout", action, "daemonset/calico-node", "-n", "kube-system")

    assert broken == {"dstport 4789\n", "dstport 4790\n"}
    assert {await kernel_view.run(calico_lab.client, node, ports) for node in nodes} == {"dstport 4789\n"}


def test_every_fault_is_possible_somewhere_and_says_what_it_is() -> None:
    for one in all_faults().values():
        assert one.cnis
        assert set(one.cnis) <= set(CNIS)
        assert one.title
        assert not one.title.endswith(".")
        assert one.id == one.id.lower()
