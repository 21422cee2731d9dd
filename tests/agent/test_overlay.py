"""Two nodes over VXLAN: what dies on the overlay shows in the receiver's counters and in the MTU ladder."""

import pytest

from bot.agent.report import Link, NodeReport, Target, Task
from tests.agent.nodes import Node, Pod, one_test, two_nodes, vtep_mac, why_no_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]


def remote(pod: Pod) -> Target:
    return Target(purpose="remote-pod", ip=pod.ip, name=pod.name, node="node-2")


def other_node(node: Node) -> Target:
    return Target(purpose="node", ip=node.ip, name="node-2", node="node-2")


def task_of(first: Node, second: Node) -> Task:
    target = remote(second.pods[0])
    return first.task(target, other_node(second), mtu_targets=(target,), gateway="", patience_s=0.7)


def link_of(report: NodeReport, name: str) -> Link:
    return next(link for link in report.root.links if link.name == name)


def sizes(report: NodeReport, source: str, outcome: str) -> list[int]:
    [ladder] = [test for test in report.tests if test.source == source and test.protocol == "mtu"]
    return [step.size_bytes for step in ladder.mtu_steps if step.outcome == outcome]


def test_a_healthy_overlay_carries_everything_up_to_the_devices_mtu():
    with two_nodes() as (first, second):
        [pod] = first.pods
        report = first.look(task_of(first, second))

        assert one_test(report, pod.uid, purpose="remote-pod", protocol="icmp").outcome == "ok"
        assert one_test(report, pod.uid, purpose="node").outcome == "ok"
        ladder = one_test(report, pod.uid, protocol="mtu")
        assert (ladder.outcome, ladder.detail) == ("ok", "largest packet that came through: 1450 bytes")
        assert max(sizes(report, pod.uid, "ok")) == 1450
        assert sizes(report, pod.uid, "too-big-local") == [1451, 1480, 1500]
        assert {step.mtu_bytes for step in ladder.mtu_steps if step.outcome == "too-big-local"} == {1450}
        vxlan = link_of(report, "flannel.1")
        assert (vxlan.kind, vxlan.vxlan_id, vxlan.vxlan_port, vxlan.vxlan_local) == ("vxlan", 1, 8472, first.ip)
        assert vxlan.tx_packets_delta > 0
        [entry] = [entry for entry in report.root.fdb if entry.dev == "flannel.1"]
        assert (entry.mac, entry.dst, entry.state) == (vtep_mac(1), second.ip, "PERMANENT")
        assert ("10.42.1.0", "PERMANENT") in {(one.ip, one.state) for one in report.root.neighbours}
        route = next(route for route in report.root.routes if route.dst == "10.42.1.0/24")
        assert (route.via, route.dev, route.onlink, route.table) == ("10.42.1.0", "flannel.1", True, 254)
        port = link_of(report, pod.link)
        assert (port.master, port.bridge_port_state, port.is_hairpin, port.is_isolated) == ("cni0", 3, False, False)
        assert link_of(report, "cni0").bridge_port_state is None


def test_o1_a_wrong_vtep_mac_grows_otherhost_on_the_receiver():
    with two_nodes() as (first, second):
        wrong = "02:00:00:00:00:77"
        first.ip_command(f"neigh replace 10.42.1.0 lladdr {wrong} dev flannel.1 nud permanent")
        first.namespaces.run(
            first.number, "bridge", "fdb", "add", wrong, "dev", "flannel.1", "dst", second.ip, "self", "permanent"
        )
        before = second.look(second.task(gateway=""))
        report = first.look(task_of(first, second))
        after = second.look(second.task(gateway=""))

        assert one_test(report, first.pods[0].uid, purpose="remote-pod", protocol="icmp").outcome == "timeout"
        assert one_test(report, first.pods[0].uid, purpose="node").outcome == "ok"
        ours, theirs = link_of(before, "flannel.1").rx_otherhost, link_of(after, "flannel.1").rx_otherhost
        if ours is None or theirs is None:
            pytest.skip("this kernel does not count frames for other hosts")
        assert theirs > ours


def test_m1_pods_with_a_larger_mtu_than_the_tunnel_are_told_by_their_node():
    with two_nodes(mtu=1500) as (first, second):
        [pod] = first.pods
        report = first.look(task_of(first, second))

        ladder = one_test(report, pod.uid, protocol="mtu")
        assert ladder.outcome == "EMSGSIZE"
        assert sizes(report, pod.uid, "frag-needed") == [1480, 1500]
        assert {step.mtu_bytes for step in ladder.mtu_steps if step.outcome == "frag-needed"} == {1450}
        assert max(sizes(report, pod.uid, "ok")) == 1450
        assert report.root.counters_delta["Ip.FragFails"] >= 2
        # The ladder leaves no path MTU behind: the pod's cache would hide the next answer.
        cache = first.namespaces.run(pod.number, "ip", "route", "get", second.pods[0].ip)
        assert "mtu" not in cache


def test_m2_a_black_hole_is_silence_above_a_size():
    with two_nodes(mtu=1500) as (first, second):
        [pod] = first.pods
        # The node drops what does not fit and says nothing about it.
        first.nft(
            "table ip hole {\n chain out {\n type filter hook output priority 0;\n"
            "  icmp type destination-unreachable drop\n }\n}\n"
        )
        report = first.look(task_of(first, second))

        ladder = one_test(report, pod.uid, protocol="mtu")
        assert ladder.outcome == "timeout"
        assert ladder.outcomes == {"ok": 7, "timeout": 2, "too-big-local": 1}
        assert sizes(report, pod.uid, "timeout") == [1480, 1500]


def test_a_tunnels_mtu_on_the_route_ends_the_ladder():
    with two_nodes(mtu=1500) as (first, second):
        [pod] = first.pods
        first.namespaces.run(pod.number, "ip", "route", "change", "default", "via", "10.42.0.1", "mtu", "1450")
        report = first.look(task_of(first, second))

        ladder = one_test(report, pod.uid, protocol="mtu")
        assert (ladder.outcome, ladder.detail) == ("ok", "largest packet that came through: 1450 bytes")
        assert [step.size_bytes for step in ladder.mtu_steps][-2:] == [1440, 1450]


def test_a_ladder_to_nobody_came_through_with_no_size():
    with two_nodes() as (first, _):
        nobody = Target(purpose="remote-pod", ip="10.42.9.9", name="nobody")
        first.ip_command("route add blackhole 10.42.9.9")
        report = first.look(first.task(mtu_targets=(nobody,), gateway="", patience_s=0.3))

        ladder = one_test(report, first.pods[0].uid, protocol="mtu")
        assert (ladder.outcome, ladder.ok, ladder.detail) == ("timeout", 0, "no size came through")
        from_node = one_test(report, "node", protocol="mtu")
        assert from_node.outcome == "error"
