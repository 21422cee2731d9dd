"""A gateway that does not answer: every cause leaves its own signature (ARP, the kernel's route answer, state)."""

import pytest

from bot.agent.report import NodeReport, PodReport
from tests.agent.nodes import GATEWAY, HOST_MAC, Node, calico_node, pod_of, why_no_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]


def look(node: Node) -> tuple[PodReport, NodeReport]:
    report = node.look(node.task())
    return pod_of(report, node.pods[0]), report


def is_silent(pod: PodReport) -> bool:
    assert pod.gateway_arp
    return pod.gateway_arp.answers_ms == (None, None, None)


def oracle(pod: PodReport) -> str:
    assert pod.gateway_oracle
    return pod.gateway_oracle.errno or pod.gateway_oracle.type


def test_g0_a_healthy_gateway_answers_every_request_at_once_and_the_node_would_route_it():
    with calico_node() as node:
        pod, report = look(node)

        assert pod.gateway_arp
        assert pod.gateway_arp.ip == GATEWAY
        assert pod.gateway_arp.macs == (HOST_MAC,)
        assert all(answer is not None and answer < 100 for answer in pod.gateway_arp.answers_ms)
        assert pod.gateway_oracle
        assert pod.gateway_oracle.question == f"{GATEWAY} from {pod.ip} iif cali0"
        assert (pod.gateway_oracle.errno, pod.gateway_oracle.via, pod.gateway_oracle.dev) == ("", "172.30.0.1", "eth0")
        assert pod.host_link == "cali0"
        assert pod.gateway_ip == GATEWAY
        assert report.missing == ()
        assert not report.is_partial


def test_g1_proxy_arp_off_silences_one_gateway_and_nothing_else_looks_wrong():
    with calico_node() as node:
        node.sysctl({"ipv4.conf.cali0.proxy_arp": 0})
        pod, report = look(node)

        assert is_silent(pod)
        assert oracle(pod) == "unicast"
        assert report.root.sysctls["ipv4.conf.cali0.proxy_arp"] == "0"
        assert report.root.sysctls["ipv4.conf.all.proxy_arp"] == "0"
        assert report.root.sysctls["ipv4.conf.cali1.proxy_arp"] == "1"
        assert not is_silent(pod_of(report, node.pods[1]))


def test_g1_proxy_arp_on_all_masks_proxy_arp_off_on_one():
    with calico_node() as node:
        node.sysctl({"ipv4.conf.cali0.proxy_arp": 0, "ipv4.conf.all.proxy_arp": 1})

        assert not is_silent(look(node)[0])


@pytest.mark.parametrize(
    ("commands", "errno"),
    [
        pytest.param(["route del default"], "ENETUNREACH", id="g2-no-default-route"),
        pytest.param(
            ["route del default", "route add 0.0.0.0/32 via 172.30.0.1"], "ENETUNREACH", id="g3-mistyped-default-route"
        ),
        pytest.param(["route del default", "route add unreachable default"], "EHOSTUNREACH", id="g5-unreachable"),
        pytest.param(
            ["rule add iif cali0 table 77 pref 90", "route add unreachable default table 77"],
            "EHOSTUNREACH",
            id="g5-rule-to-unreachable-table",
        ),
        pytest.param(["route del 10.42.0.10/32"], "EINVAL", id="g7-no-pod-route-and-strict-rp-filter"),
        pytest.param(["link set cali0 arp off"], "unicast", id="g11-noarp"),
    ],
)
def test_routes_and_links_that_silence_the_gateway(commands: list[str], errno: str):
    with calico_node() as node:
        node.ip_command(*commands)
        pod, _ = look(node)

        assert is_silent(pod)
        assert oracle(pod) == errno


def test_g9_a_host_link_that_is_down_takes_the_pod_route_with_it_so_that_only_the_link_tells_it_from_g7():
    with calico_node() as node:
        node.ip_command("link set cali0 down")
        pod, report = look(node)

        assert is_silent(pod)
        assert oracle(pod) == "EINVAL"
        assert pod.host_link == "cali0"
        link = next(link for link in report.root.links if link.name == "cali0")
        assert not link.is_up
        assert pod.state
        assert [link.has_carrier for link in pod.state.links if link.name == "eth0"] == [False]
