"""A gateway that does not answer: every cause leaves its own signature (ARP, the kernel's route answer, state).

One node with one pod for each fault of a single interface; faults of the whole node have nodes of their own.
"""

from collections.abc import Generator
from dataclasses import dataclass

import pytest

from bot.agent.report import Link, NodeReport, PodReport, Target
from tests.agent.nodes import GATEWAY, HOST_MAC, Node, Pod, calico_node, pod_of, why_no_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]

FAULTS = (
    "healthy",
    "g1-proxy-arp-off",
    "g6-forwarding-off",
    "g7-no-route",
    "g8-no-route-loose",
    "g9-link-down",
    "g10-arp-filter",
    "g11-noarp",
    "g12-proxy-delay",
    "g14-arp-ignore",
    "g15-wrong-link",
    "l1-pod-link-down",
    "l3-no-default-route",
    "l5-wrong-neighbour",
)


@dataclass(kw_only=True)
class Seen:
    """The report of the node with all faults."""

    report: NodeReport
    pods: dict[str, Pod]

    def pod(self, fault: str) -> PodReport:
        return pod_of(self.report, self.pods[fault])

    def host_link(self, fault: str) -> Link:
        return next(link for link in self.report.root.links if link.name == self.pods[fault].link)

    def sysctl(self, fault: str, name: str) -> str:
        return self.report.root.sysctls[name.replace("DEV", self.pods[fault].link)]


@pytest.fixture(scope="module")
def seen() -> Generator[Seen]:
    with calico_node([{} for _ in FAULTS]) as node:
        pods: dict[str, Pod] = dict(zip(FAULTS, node.pods, strict=True))
        inflict(node, pods)
        yield Seen(report=node.look(node.task()), pods=pods)


def inflict(node: Node, pods: dict[str, Pod]) -> None:
    link = {fault: pod.link for fault, pod in pods.items()}
    node.sysctl(
        {
            f"ipv4.conf.{link['g1-proxy-arp-off']}.proxy_arp": 0,
            f"ipv4.conf.{link['g6-forwarding-off']}.forwarding": 0,
            f"ipv4.conf.{link['g8-no-route-loose']}.rp_filter": 0,
            f"ipv4.neigh.{link['g12-proxy-delay']}.proxy_delay": 30,
            f"ipv4.conf.{link['g14-arp-ignore']}.arp_ignore": 8,
        }
    )
    node.ip_command(
        f"route del {pods['g7-no-route'].ip}/32",
        f"route del {pods['g8-no-route-loose'].ip}/32",
        f"link set {link['g9-link-down']} down",
        f"link set {link['g11-noarp']} arp off",
        f"route replace {pods['g15-wrong-link'].ip}/32 dev {link['healthy']}",
    )
    node.nft(
        "table arp guard {\n chain in {\n type filter hook input priority 0; policy accept;\n"
        f'  iifname "{link["g10-arp-filter"]}" counter drop\n }}\n}}\n'
    )
    node.namespaces.ip(pods["l1-pod-link-down"].number, "link set eth0 down")
    node.namespaces.ip(pods["l3-no-default-route"].number, "route del default")
    node.namespaces.ip(
        pods["l5-wrong-neighbour"].number, f"neigh add {GATEWAY} lladdr 02:00:00:00:00:99 dev eth0 nud permanent"
    )


def is_silent(pod: PodReport) -> bool:
    assert pod.gateway_arp
    assert len(pod.gateway_arp.answers_ms) == 3
    return pod.gateway_arp.answers_ms == (None, None, None)


def oracle(pod: PodReport) -> str:
    assert pod.gateway_oracle
    return pod.gateway_oracle.errno or pod.gateway_oracle.type


def way_back(pod: PodReport) -> tuple[str, str]:
    assert pod.route_to_pod
    return pod.route_to_pod.errno, pod.route_to_pod.dev


def test_g0_a_healthy_gateway_answers_every_request_at_once_and_the_node_would_route_it(seen: Seen):
    pod = seen.pod("healthy")

    assert pod.gateway_arp
    assert pod.gateway_arp.ip == GATEWAY
    assert pod.gateway_arp.dev == "eth0"
    assert pod.gateway_arp.macs == (HOST_MAC,)
    assert all(answer is not None and answer < 100 for answer in pod.gateway_arp.answers_ms)
    assert pod.gateway_oracle
    assert pod.gateway_oracle.question == f"{GATEWAY} from {pod.ip} iif cali0"
    assert (pod.gateway_oracle.errno, pod.gateway_oracle.via, pod.gateway_oracle.dev) == ("", "172.30.0.1", "eth0")
    assert way_back(pod) == ("", "cali0")
    assert pod.host_link == "cali0"
    assert pod.gateway_ip == GATEWAY
    assert pod.is_found
    assert pod.netns > 0
    assert not seen.report.is_partial
    assert seen.report.missing == ()


def test_g1_proxy_arp_off_silences_the_gateway_though_the_node_would_route(seen: Seen):
    pod = seen.pod("g1-proxy-arp-off")

    assert is_silent(pod)
    assert oracle(pod) == "unicast"
    assert seen.sysctl("g1-proxy-arp-off", "ipv4.conf.DEV.proxy_arp") == "0"
    assert seen.sysctl("healthy", "ipv4.conf.DEV.proxy_arp") == "1"
    assert seen.report.root.sysctls["ipv4.conf.all.proxy_arp"] == "0"


def test_g6_no_forwarding_on_the_link_makes_the_gateway_unreachable(seen: Seen):
    pod = seen.pod("g6-forwarding-off")

    assert is_silent(pod)
    assert oracle(pod) == "EHOSTUNREACH"
    assert seen.sysctl("g6-forwarding-off", "ipv4.conf.DEV.forwarding") == "0"
    assert seen.report.root.sysctls["ipv4.ip_forward"] == "1"


def test_g7_a_missing_pod_route_with_strict_rp_filter_silences_the_gateway(seen: Seen):
    pod = seen.pod("g7-no-route")

    assert is_silent(pod)
    assert oracle(pod) == "EINVAL"
    assert way_back(pod)[0] == "EINVAL"  # The block's blackhole.
    assert seen.sysctl("g7-no-route", "ipv4.conf.DEV.rp_filter") == "1"


def test_g8_a_missing_pod_route_with_loose_rp_filter_lets_the_gateway_answer(seen: Seen):
    pod = seen.pod("g8-no-route-loose")

    assert not is_silent(pod)
    assert oracle(pod) == "unicast"
    assert way_back(pod)[0] == "EINVAL"


def test_g9_a_host_link_that_is_down_took_the_pod_route_with_it_so_only_the_link_tells_it_from_g7(seen: Seen):
    pod = seen.pod("g9-link-down")

    assert is_silent(pod)
    assert oracle(pod) == "EINVAL"
    assert not seen.host_link("g9-link-down").is_up
    assert pod.state
    assert [link.has_carrier for link in pod.state.links if link.name == "eth0"] == [False]


def test_g10_an_arp_filter_silences_the_gateway_and_its_counter_grows_with_the_requests(seen: Seen):
    pod = seen.pod("g10-arp-filter")

    assert is_silent(pod)
    assert oracle(pod) == "unicast"
    assert seen.report.root.firewall
    [drop] = seen.report.root.firewall.drops
    assert (drop.backend, drop.family, drop.table, drop.chain, drop.verdict) == ("nft", "arp", "guard", "in", "drop")
    assert drop.packets_delta == 3
    assert drop.text == f"meta iifname {seen.pods['g10-arp-filter'].link} counter drop"


def test_g11_a_link_without_arp_silences_the_gateway(seen: Seen):
    pod = seen.pod("g11-noarp")

    assert is_silent(pod)
    assert oracle(pod) == "unicast"
    assert not seen.host_link("g11-noarp").has_arp
    assert seen.host_link("healthy").has_arp


def test_g12_a_proxy_delay_makes_answers_late_by_random_times_up_to_its_value(seen: Seen):
    pod = seen.pod("g12-proxy-delay")

    assert pod.gateway_arp
    answers = [answer for answer in pod.gateway_arp.answers_ms if answer is not None]
    assert len(answers) == 3
    assert max(answers) > 5
    assert max(answers) < 900
    assert len(set(answers)) == 3
    assert seen.sysctl("g12-proxy-delay", "ipv4.neigh.DEV.proxy_delay") == "30"


def test_g14_arp_ignore_alone_is_no_cause(seen: Seen):
    assert not is_silent(seen.pod("g14-arp-ignore"))
    assert seen.sysctl("g14-arp-ignore", "ipv4.conf.DEV.arp_ignore") == "8"


def test_g15_a_pod_route_to_another_link_shows_in_the_way_back(seen: Seen):
    pod = seen.pod("g15-wrong-link")

    assert way_back(pod) == ("", seen.pods["healthy"].link)
    assert pod.host_link == seen.pods["g15-wrong-link"].link


def test_l1_requests_that_cannot_be_sent_say_why(seen: Seen):
    pod = seen.pod("l1-pod-link-down")

    assert pod.gateway_arp
    assert is_silent(pod)
    assert pod.gateway_arp.error == "ENETDOWN"


def test_l3_without_a_default_route_the_expected_gateway_is_asked_and_answers(seen: Seen):
    pod = seen.pod("l3-no-default-route")

    assert pod.gateway_ip == ""
    assert not is_silent(pod)


def test_l5_a_permanent_wrong_neighbour_is_shown(seen: Seen):
    pod = seen.pod("l5-wrong-neighbour")

    assert pod.state
    [neighbour] = [one for one in pod.state.neighbours if one.ip == GATEWAY]
    assert (neighbour.state, neighbour.mac, neighbour.dev) == ("PERMANENT", "02:00:00:00:00:99", "eth0")
    assert not is_silent(pod)


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        pytest.param(["route del default"], "ENETUNREACH", id="g2-no-default-route"),
        pytest.param(
            ["route del default", "route add 0.0.0.0/32 via 172.30.0.1"], "ENETUNREACH", id="g3-mistyped-default-route"
        ),
        pytest.param(
            ["rule add iif cali0 table 77 pref 90", "route add unreachable default table 77"],
            "EHOSTUNREACH",
            id="g5-rule-to-unreachable-table",
        ),
    ],
)
def test_routes_of_the_node_that_silence_the_gateway(commands: list[str], answer: str):
    with calico_node([{}]) as node:
        node.ip_command(*commands)
        report = node.look(node.task())
        pod = pod_of(report, node.pods[0])

        assert is_silent(pod)
        assert oracle(pod) == answer
        assert ("0.0.0.0/32" in {route.dst for route in report.root.routes}) == ("0.0.0.0/32" in commands[-1])
        assert ("cali0" in {rule.iif for rule in report.root.rules}) == ("rule" in commands[0])


def test_g4_a_zeroconf_route_hides_that_the_default_route_is_missing():
    with calico_node([{}]) as node:
        node.ip_command("route del default", "route add 169.254.0.0/16 dev eth0")
        pod = pod_of(node.look(node.task()), node.pods[0])

        assert not is_silent(pod)
        assert pod.gateway_oracle
        assert (pod.gateway_oracle.errno, pod.gateway_oracle.via, pod.gateway_oracle.dev) == ("", "", "eth0")


def test_g1_masked_and_g13_the_gateway_address_on_the_node():
    with calico_node() as node:
        masked, local = node.pods
        node.sysctl(
            {
                f"ipv4.conf.{masked.link}.proxy_arp": 0,
                "ipv4.conf.all.proxy_arp": 1,
                f"ipv4.conf.{local.link}.arp_ignore": 8,
            }
        )
        node.ip_command(f"addr add {GATEWAY}/32 dev {local.link}")
        report = node.look(node.task())

        assert not is_silent(pod_of(report, masked))
        assert is_silent(pod_of(report, local))
        assert oracle(pod_of(report, local)) == "local"


def test_l5_frames_to_a_wrong_mac_are_counted_as_for_another_host_on_the_nodes_link():
    with calico_node([{}]) as node:
        [pod] = node.pods
        node.namespaces.ip(pod.number, f"neigh add {GATEWAY} lladdr 02:00:00:00:00:99 dev eth0 nud permanent")
        target = Target(purpose="outside", ip="198.51.100.10", name="outside")
        report = node.look(node.task(target, arp_tries=1, patience_s=0.2))

        [link] = [link for link in report.root.links if link.name == pod.link]
        if link.rx_otherhost_delta is None:
            pytest.skip("this kernel does not count frames for other hosts")
        assert link.rx_otherhost_delta >= 1


def test_an_entry_that_a_changed_mac_left_behind_is_tested_before_an_answer_mends_it():
    """The ARP test comes last: the kernel takes its answer over, and the pod would work again."""
    old_mac = "02:00:00:00:00:98"
    with calico_node([{}]) as node:
        [pod] = node.pods
        node.namespaces.ip(pod.number, f"neigh replace {GATEWAY} lladdr {old_mac} dev eth0 nud reachable")
        own_node = Target(purpose="own-node", ip=node.ip, name="node-1", node="node-1", from_node_too=False)
        report = node.look(node.task(own_node))

        seen = pod_of(report, pod)
        assert seen.state
        assert seen.gateway_arp
        assert [one.mac for one in seen.state.neighbours if one.ip == GATEWAY] == [old_mac]
        assert seen.gateway_arp.macs == (HOST_MAC,)
        assert [test.outcome for test in report.tests] == ["timeout"]
        host_link = next(link for link in report.root.links if link.name == pod.link)
        assert (host_link.rx_otherhost_delta or 0) > 0
