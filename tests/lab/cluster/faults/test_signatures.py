"""What a client in the struck pod sees of each fault: outcomes of the same five connections, as measured."""

from __future__ import annotations

import pytest

from tests.conftest import LabUnderTest
from tests.lab.cluster import kernel_view

pytestmark = pytest.mark.lab
VIP = "10.43.51.131"
DNS = "10.43.0.10"
OUTSIDE = "198.51.100.10"

# fault: (Service by its ClusterIP, its pod directly, outside, a name asked of the DNS Service); None: not asserted
ANY_CNI: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "pod-default-route-missing": ("ENETUNREACH", None, "ENETUNREACH", "ENETUNREACH"),
    "pod-default-route-unusable": ("EINVAL", None, "EINVAL", "EINVAL"),
    "pod-eth0-down": ("ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH"),
    "pod-firewall": ("timeout", "ok", "ok", "EPERM"),
    "pod-gateway-mac-static": (None, None, "timeout", None),
    "pod-default-route-other-device": ("timeout", None, "timeout", "timeout"),
    "route-to-remote-block-missing": ("timeout", "timeout", "ok", None),
    "return-route-missing": ("timeout", "timeout", "ok", None),
    "vtep-mac-mismatch": ("timeout", "timeout", "ok", None),
    "fdb-entry-missing": ("timeout", "timeout", "ok", None),
    "fdb-entry-wrong": ("timeout", "timeout", "ok", None),
    "vtep-neighbour-missing": ("timeout", "timeout", "ok", None),
    "vtep-neighbour-wrong": ("timeout", "timeout", "ok", None),
    "overlay-port-differs": ("timeout", "timeout", "ok", None),
    "overlay-vni-differs": ("timeout", "timeout", "ok", None),
    "overlay-blocked-by-underlay": ("timeout", "timeout", "ok", None),
    "overlay-device-down": ("timeout", "timeout", "ok", None),
    "foreign-rule-diverts-pods": ("timeout", "timeout", "ok", None),
    "pod-cidr-overlaps-lan": ("timeout", "timeout", "ok", None),
    "node-next-hop-dead": ("timeout", "timeout", "ok", None),
    "node-down": ("timeout", "timeout", "timeout", None),
    "network-policy-denies": ("timeout", "timeout", "timeout", "timeout"),
    "network-policy-blocks-dns": ("ok", "ok", "timeout", "timeout"),
    "forward-policy-drop": ("timeout", "timeout", "timeout", "timeout"),
    "stale-policy-chains": ("timeout", "timeout", "timeout", "timeout"),
    "service-rules-missing": ("timeout", "ok", "ok", "ok"),
    "service-no-ready-endpoints": ("ECONNREFUSED", None, "ok", "ok"),
    "service-without-pods": ("ECONNREFUSED", None, "ok", "ok"),
    "service-selector-mismatch": ("ECONNREFUSED", "ok", "ok", "ok"),
    "service-wrong-target-port": ("ECONNREFUSED", "ok", "ok", "ok"),
    "service-bound-to-loopback": ("ECONNREFUSED", None, "ok", "ok"),
    "dns-down": ("ok", "ok", "ok", "ECONNREFUSED"),
    "dns-cannot-list-api": ("ok", "ok", "ok", "ECONNREFUSED"),
}
# kube-router, whose policies K3s enforces beside Flannel, refuses by ICMP; the others drop.
REFUSED_BY_KUBE_ROUTER: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "network-policy-denies": ("ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"),
    "network-policy-blocks-dns": ("ok", "ok", "ECONNREFUSED", "ECONNREFUSED"),
}
BRIDGE: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "cni0-down": ("timeout", "timeout", "timeout", "timeout"),
    "veth-not-on-bridge": ("timeout", "timeout", "timeout", "timeout"),
    "bridge-port-disabled": ("timeout", "timeout", "timeout", "timeout"),
    "cni0-wrong-subnet": ("timeout", "timeout", "timeout", "timeout"),
    "node-forwarding-off": ("timeout", "timeout", "timeout", None),
    "node-default-route-missing": ("ok", "ok", "ENETUNREACH", "ok"),
}
WITH_PROXY_PODS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "kube-proxy-dead": ("timeout", "ok", "ok", "timeout"),
}
# Above one second of patience an unresolved next hop turns into EHOSTUNREACH: the tests wait less.
PATIENCE_S = 0.8
# What must answer may take its time beside other work.
PATIENCE_FOR_ANSWERS_S = 6.0
# The kernel sends a host six "unreachable" messages at once and then one a second, to the workload's own dials too.
PATIENCE_WITH_REJECTS_S = 6.0


async def _seen(lab: LabUnderTest, fault: str, expected: tuple[str | None, ...]) -> tuple[str, str, str, str]:
    with_rejects = PATIENCE_WITH_REJECTS_S if "ECONNREFUSED" in expected else PATIENCE_S
    patience_s = [PATIENCE_FOR_ANSWERS_S if one == "ok" else with_rejects for one in expected]
    await _until_the_service_answers(lab)
    done = await lab.client.break_(fault)
    schedulers = [one for one in await kernel_view.networks(lab.client) if one.name.startswith("seldon-scheduler")]
    backend = schedulers[-1].ip if schedulers else "10.42.255.254"
    service, direct, outside, name = await kernel_view.probe(
        lab.client,
        done["pod"],
        ("tcp", VIP, 9004, patience_s[0]),
        ("tcp", backend, 9004, patience_s[1]),
        ("tcp", OUTSIDE, 80, patience_s[2]),
        ("dns", DNS, "seldon-scheduler.seldon-mesh.svc.cluster.local", patience_s[3]),
    )
    return service, direct, outside, name


async def _until_the_service_answers(lab: LabUnderTest) -> None:
    """On every node: what the lab began with, or what the test before undid, may take kube-proxy seconds to follow."""
    pods = await kernel_view.networks(lab.client)
    by_node = {one.node: one.target for one in pods if one.target.startswith("seldon-mesh/sklearn")}
    assert by_node
    for target in by_node.values():
        tries = 0
        while await kernel_view.probe(lab.client, target, ("tcp", VIP, 9004, 2.0)) != ["ok"]:
            tries += 1
            assert tries < 100, target


async def _assert_signature(lab: LabUnderTest, fault: str, expected: tuple[str | None, ...]) -> None:
    _assert_alike(await _seen(lab, fault, expected), expected)


def _assert_alike(seen: tuple[str, ...], expected: tuple[str | None, ...]) -> None:
    assert [got if wanted is not None else None for got, wanted in zip(seen, expected, strict=True)] == list(expected)


@pytest.mark.parametrize("fault", ANY_CNI)
async def test_signature_on_flannel(flannel_lab: LabUnderTest, fault: str) -> None:
    await _assert_signature(flannel_lab, fault, REFUSED_BY_KUBE_ROUTER.get(fault, ANY_CNI[fault]))


@pytest.mark.parametrize("fault", BRIDGE)
async def test_signature_on_the_bridge_of_flannel(flannel_lab: LabUnderTest, fault: str) -> None:
    await _assert_signature(flannel_lab, fault, BRIDGE[fault])


@pytest.mark.parametrize(
    "fault", ["route-to-remote-block-missing", "vtep-mac-mismatch", "network-policy-denies", "service-rules-missing"]
)
async def test_signature_on_calico(calico_lab: LabUnderTest, fault: str) -> None:
    await _assert_signature(calico_lab, fault, ANY_CNI[fault])


@pytest.mark.parametrize("fault", ["fdb-entry-missing", "overlay-vni-differs", "network-policy-denies", "dns-down"])
async def test_signature_on_cilium(cilium_lab: LabUnderTest, fault: str) -> None:
    await _assert_signature(cilium_lab, fault, ANY_CNI[fault])


@pytest.mark.parametrize("fault", WITH_PROXY_PODS)
async def test_signature_with_kube_proxy_pods(calico_lab: LabUnderTest, fault: str) -> None:
    await _assert_signature(calico_lab, fault, WITH_PROXY_PODS[fault])


async def test_host_firewall_rejects_at_once(calico_lab: LabUnderTest) -> None:
    """EHOSTUNREACH without the three seconds that an unresolved next hop takes."""
    done = await calico_lab.client.break_("node-firewall-rejects")

    assert await kernel_view.probe(calico_lab.client, done["pod"], ("tcp", OUTSIDE, 80, 2.5)) == ["EHOSTUNREACH"]


async def test_black_hole_depends_on_size(calico_lab: LabUnderTest) -> None:
    """Small packets pass, large ones vanish without ICMP: the connection stands and hangs."""
    done = await calico_lab.client.break_("pmtu-black-hole")
    backend = (await kernel_view.pod(calico_lab.client, "seldon-mesh/seldon-scheduler")).ip

    asked = (("tcp", backend, 9004, 1.0), ("bulk", backend, 9004, 1.0))

    assert await kernel_view.probe(calico_lab.client, done["pod"], *asked) == ["ok", "timeout"]


async def test_too_large_pod_mtu_heals_itself_by_icmp(calico_lab: LabUnderTest) -> None:
    done = await calico_lab.client.break_("pod-mtu-too-large")
    backend = (await kernel_view.pod(calico_lab.client, "seldon-mesh/seldon-scheduler")).ip

    assert await kernel_view.probe(calico_lab.client, done["pod"], ("bulk", backend, 9004, 3.0)) == ["ok"]
    route = await kernel_view.run(calico_lab.client, done["pod"], f"ip route get {backend}")
    assert "expires" in route
    assert "mtu 1450" in route


async def test_local_policy_drops_on_nodes_without_endpoint(calico_lab: LabUnderTest) -> None:
    done = await calico_lab.client.break_("service-local-policy-without-endpoint")
    backend = (await kernel_view.pod(calico_lab.client, "seldon-mesh/seldon-scheduler")).target

    async def service(target: str) -> str:
        return (await kernel_view.probe(calico_lab.client, target, ("tcp", VIP, 9004, PATIENCE_S)))[0]

    assert await service(done["pod"]) == "timeout"
    assert await service(backend) == "ok"


async def test_isolated_ports_of_flannels_bridge_reach_everybody_but_each_other(flannel_lab: LabUnderTest) -> None:
    done = await flannel_lab.client.break_("bridge-port-isolated")
    victim = await kernel_view.pod(flannel_lab.client, done["pod"])
    others = [one for one in await kernel_view.networks(flannel_lab.client) if one.name != victim.name]
    http = {one.node == victim.node: one for one in others if one.name.startswith("static-")}
    asked = [("tcp", http[local].ip, 8080, PATIENCE_S) for local in (True, False)]

    assert await kernel_view.probe(flannel_lab.client, victim.target, *asked) == ["timeout", "ok"]


async def test_hairpin_off_on_flannels_bridge_hides_a_pod_from_itself(flannel_lab: LabUnderTest) -> None:
    scheduler = (await kernel_view.pod(flannel_lab.client, "seldon-mesh/seldon-scheduler")).target
    (before,) = await kernel_view.probe(flannel_lab.client, scheduler, ("tcp", VIP, 9004, PATIENCE_S))
    await flannel_lab.client.break_("service-hairpin-off", pod=scheduler)

    (after,) = await kernel_view.probe(flannel_lab.client, scheduler, ("tcp", VIP, 9004, PATIENCE_S))

    assert (before, after) == ("ok", "timeout")
