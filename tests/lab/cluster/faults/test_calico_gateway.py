"""Every way to silence 169.254.1.1 shows the signature that was measured for it."""

from __future__ import annotations

import pytest

from tests.conftest import LabUnderTest
from tests.lab.cluster import kernel_view

pytestmark = pytest.mark.lab
GATEWAY = "169.254.1.1"
MAC = "ee:ee:ee:ee:ee:ee"

SILENT = (
    ("calico-proxy-arp-off", "ok"),
    ("calico-proxy-arp-off-one-pod", "ok"),
    ("node-default-route-missing", "ENETUNREACH"),
    ("node-default-route-mistyped", "ENETUNREACH"),
    ("node-default-route-unusable", "EHOSTUNREACH"),
    ("policy-rule-captures-pods", "EHOSTUNREACH"),
    ("calico-forwarding-off", "EHOSTUNREACH"),
    ("calico-forwarding-off-one-pod", "EHOSTUNREACH"),
    ("pod-route-missing-strict-rp-filter", "EINVAL"),
    ("arp-filtered", "ok"),
    ("host-link-noarp", "ok"),
    ("calico-proxy-delay-long", "ok"),
    ("gateway-address-on-node", "local"),
    ("host-veth-down", "ok"),
)


async def _victim(lab: LabUnderTest, fault: str) -> kernel_view.PodNet:
    done = await lab.client.break_(fault)
    return await kernel_view.pod(lab.client, done["pod"])


async def test_answers_while_healthy(calico_lab: LabUnderTest) -> None:
    victim = await kernel_view.pod(calico_lab.client, "seldon-mesh/sklearn")

    assert await kernel_view.probe(calico_lab.client, victim.target, ("arp", "eth0", GATEWAY, 2.0)) == [MAC]
    assert await kernel_view.oracle(calico_lab.client, victim, GATEWAY) == "ok"


@pytest.mark.parametrize(("fault", "oracle"), SILENT)
async def test_silent(calico_lab: LabUnderTest, fault: str, oracle: str) -> None:
    """No ARP reply, and the oracle gives the errno that separates this cause from the others."""
    victim = await _victim(calico_lab, fault)

    (arp,) = await kernel_view.probe(calico_lab.client, victim.target, ("arp", "eth0", GATEWAY, 0.4))

    # A delay of up to five minutes lets one answer in a thousand through at once.
    assert arp == "none" or (fault == "calico-proxy-delay-long" and arp == MAC)
    if fault != "host-veth-down":  # a link that is down has no routes to ask about
        assert await kernel_view.oracle(calico_lab.client, victim, GATEWAY) == oracle


async def test_applications_say_what_go_says(calico_lab: LabUnderTest) -> None:
    """With its gateway dead a pod waits three seconds for ARP, longer than the agent's own limit of two."""
    victim = await _victim(calico_lab, "calico-proxy-arp-off")

    asked = [("tcp", "10.43.51.131", 9004, 3.6), ("tcp", "198.51.100.10", 80, 3.6)]

    assert await kernel_view.probe(calico_lab.client, victim.target, *asked) == ["EHOSTUNREACH", "EHOSTUNREACH"]


async def test_default_proxy_delay_is_late_not_silent(calico_lab: LabUnderTest) -> None:
    victim = await _victim(calico_lab, "calico-proxy-delay")

    assert await kernel_view.probe(calico_lab.client, victim.target, ("arp", "eth0", GATEWAY, 2.0)) == [MAC]


async def test_route_missing_without_rp_filter_answers_but_is_deaf(calico_lab: LabUnderTest) -> None:
    """The look-alike of the strict case: the gateway answers, and nothing else comes back."""
    victim = await _victim(calico_lab, "pod-route-missing")

    asked = (("arp", "eth0", GATEWAY, 1.0), ("tcp", "198.51.100.10", 80, 1.0))

    assert await kernel_view.probe(calico_lab.client, victim.target, *asked) == [MAC, "timeout"]


async def test_changed_mac_is_dropped_as_somebody_elses(calico_lab: LabUnderTest) -> None:
    victim = await _victim(calico_lab, "gateway-mac-changed")

    (outside,) = await kernel_view.probe(calico_lab.client, victim.target, ("tcp", "198.51.100.10", 80, 0.7))

    assert outside == "timeout"
    assert "ee:ee:ee:ee:ee:ee" in await kernel_view.run(calico_lab.client, victim.target, "ip neigh show 169.254.1.1")
    assert '"otherhost":0,' not in await kernel_view.run(
        calico_lab.client, victim.node, f"ip -s -s -j link show {victim.veth} | tr -d ' '"
    )
