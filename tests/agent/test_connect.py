"""What connect() and send() say, and when: errno and latency together name the class of fault."""

import sys
from collections.abc import Generator
from dataclasses import dataclass, replace

import pytest

from bot.agent.report import DnsQuestion, NodeReport, Target, Test
from tests.agent.nodes import Node, bridge_node, calico_node, one_test, pod_of, why_no_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]

OUTSIDE = "198.51.100.10"
DNS = "10.43.0.10"
RULES = """
table ip nat {{
  chain pre {{
    type nat hook prerouting priority -100; policy accept;
    ip daddr 10.43.0.10 udp dport 53 dnat to {server}
    ip daddr 10.43.0.10 tcp dport 53 dnat to {server}
    ip daddr 10.43.0.81 tcp dport 80 dnat to {server}:8080
    ip daddr 10.43.0.82 tcp dport 80 dnat to 10.42.0.60:8080
    ip daddr 10.43.0.84 dnat to numgen inc mod 2 map {{ 0 : {server}, 1 : 10.42.0.60 }}
  }}
}}
table ip guard {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    ip daddr 10.43.0.83 counter reject with icmp type port-unreachable
    tcp dport 7001 counter drop
    udp dport 7001 counter drop
    tcp dport 7002 counter reject with icmp type host-prohibited
    udp dport 7002 counter reject with icmp type host-prohibited
    tcp dport 7003 counter reject with icmp type net-unreachable
    tcp dport 7004 counter reject with tcp reset
    udp dport 7005 counter reject with icmp type port-unreachable
  }}
}}
"""


@dataclass(kw_only=True)
class Seen:
    report: NodeReport
    client: str
    client_ip: str
    server_ip: str
    node_ip: str

    def tcp(self, ip: str, port: int) -> Test:
        return one_test(self.report, self.client, protocol="tcp", ip=ip, port=port)

    def udp(self, ip: str, port: int) -> Test:
        return one_test(self.report, self.client, protocol="udp", ip=ip, port=port)


def tcp(ip: str, port: int, **more: object) -> Target:
    fields: dict[str, object] = {"purpose": "dial", "ip": ip, "name": f"{ip}:{port}", "port": port, "protocol": "tcp"}
    return Target(**(fields | more))  # pyright: ignore[reportArgumentType]


def udp(ip: str, port: int) -> Target:
    return Target(purpose="dial", ip=ip, name=f"{ip}:{port}", port=port, protocol="udp")


@pytest.fixture(scope="module")
def seen() -> Generator[Seen]:
    members = [{}, {"tcp": [8080], "full": [8082], "udp": [9000], "silent": [9001], "dns": True}]
    with calico_node(members) as node:
        client, server = node.pods
        node.nft(RULES.format(server=server.ip))
        node.sysctl({"ipv4.icmp_ratemask": 0})
        node.ip_command(
            "route add unreachable 203.0.113.1", "route add prohibit 203.0.113.2", "route add blackhole 203.0.113.3"
        )
        node.namespaces.ip(
            client.number,
            "route add unreachable 203.0.113.11",
            "route add prohibit 203.0.113.12",
            "route add blackhole 203.0.113.13",
        )
        node.namespaces.run(node.number, sys.executable, "-c", CONNECT, server.ip, "8082")
        task = node.task(*targets(node, server.ip), questions=tuple(questions(server.ip)), patience_s=1.2)
        report = node.look(replace(task, pods=(client.task_pod, replace(server.task_pod, is_source=False))))
        yield Seen(report=report, client=client.uid, client_ip=client.ip, server_ip=server.ip, node_ip=node.ip)


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"


def targets(node: Node, server: str) -> list[Target]:
    return [
        Target(purpose="own-node", ip=node.ip, name="node-1"),
        Target(purpose="local-pod", ip=server, name="server"),
        Target(purpose="outside", ip=OUTSIDE, name="outside"),
        Target(purpose="dial", ip="fd00::1", name="v6"),
        *(tcp(server, port) for port in (8080, 8081, 8082)),
        *(tcp(f"10.43.0.{at}", 80) for at in (81, 82, 83)),
        replace(tcp("10.43.0.84", 8080), tries=4),
        *(tcp(OUTSIDE, port) for port in (7001, 7002, 7003, 7004)),
        *(tcp(f"203.0.113.{at}", 80) for at in (1, 2, 3, 11, 12, 13)),
        tcp("fd00::1", 80),
        *(udp(server, port) for port in (9000, 9001, 9002)),
        *(udp(OUTSIDE, port) for port in (7001, 7002, 7005)),
    ]


def questions(server: str) -> Generator[DnsQuestion]:
    for name in ("yes.cluster.local", "no.cluster.local"):
        yield DnsQuestion(server=DNS, name=name, purpose="dns-service", server_name="kube-dns")
        yield DnsQuestion(server=DNS, name=name, purpose="dns-service", server_name="kube-dns", protocol="tcp")
    yield DnsQuestion(server=server, name="broken.cluster.local", purpose="dns-pod")
    yield DnsQuestion(server=server, name="x" * 64, purpose="dns-pod")
    yield DnsQuestion(server="10.42.0.60", name="yes.cluster.local", purpose="dns-pod", protocol="tcp")


def test_what_works_is_ok_at_once(seen: Seen):
    for target in (OUTSIDE, seen.node_ip, seen.server_ip):
        test = one_test(seen.report, seen.client, protocol="icmp", ip=target)
        assert (test.outcome, test.ok, test.tries) == ("ok", 1, 1)
        assert test.latency_ms < 900
    assert seen.tcp(seen.server_ip, 8080).outcome == "ok"
    assert seen.tcp("10.43.0.81", 80).outcome == "ok"
    assert seen.udp(seen.server_ip, 9000).outcome == "ok"


@pytest.mark.parametrize(
    ("ip", "port", "outcome", "icmp"),
    [
        pytest.param("server", 8081, "ECONNREFUSED", "", id="nobody-listens"),
        pytest.param("10.43.0.83", 80, "ECONNREFUSED", "port-unreachable", id="service-without-endpoints"),
        pytest.param(OUTSIDE, 7002, "EHOSTUNREACH", "host-prohibited", id="reject-host-prohibited"),
        pytest.param(OUTSIDE, 7003, "ENETUNREACH", "net-unreachable", id="reject-net-unreachable"),
        pytest.param(OUTSIDE, 7004, "ECONNREFUSED", "", id="reject-with-reset"),
        pytest.param("203.0.113.1", 80, "EHOSTUNREACH", "host-unreachable", id="node-route-unreachable"),
        pytest.param("203.0.113.2", 80, "EHOSTUNREACH", "admin-prohibited", id="node-route-prohibit"),
        pytest.param("203.0.113.11", 80, "EHOSTUNREACH", "", id="pod-route-unreachable"),
        pytest.param("203.0.113.12", 80, "EACCES", "", id="pod-route-prohibit"),
        pytest.param("203.0.113.13", 80, "EINVAL", "", id="pod-route-blackhole"),
    ],
)
def test_refusals_come_at_once_with_their_sender(seen: Seen, ip: str, port: int, outcome: str, icmp: str):
    test = seen.tcp(seen.server_ip if ip == "server" else ip, port)

    assert (test.outcome, test.icmp) == (outcome, icmp)
    assert test.latency_ms < 900
    assert test.icmp_from == (seen.node_ip if icmp else "")


@pytest.mark.parametrize(
    ("ip", "port"),
    [
        pytest.param(OUTSIDE, 7001, id="drop-rule"),
        pytest.param("203.0.113.3", 80, id="node-route-blackhole"),
        pytest.param("10.43.0.82", 80, id="dnat-into-a-calico-block"),
        pytest.param("server", 8082, id="accept-queue-full"),
    ],
)
def test_silence_is_a_timeout_after_the_patience_and_not_later(seen: Seen, ip: str, port: int):
    test = seen.tcp(seen.server_ip if ip == "server" else ip, port)

    assert test.outcome == "timeout"
    assert 1200 <= test.latency_ms < 3000


@pytest.mark.parametrize(
    ("ip", "port", "outcome"),
    [
        pytest.param("server", 9001, "timeout", id="server-is-silent"),
        pytest.param("server", 9002, "ECONNREFUSED", id="nobody-is-bound"),
        pytest.param(OUTSIDE, 7001, "timeout", id="drop-rule"),
        pytest.param(OUTSIDE, 7002, "EHOSTUNREACH", id="reject-host-prohibited"),
        pytest.param(OUTSIDE, 7005, "ECONNREFUSED", id="reject-port-unreachable"),
    ],
)
def test_udp_hears_the_icmp_errors_too(seen: Seen, ip: str, port: int, outcome: str):
    assert seen.udp(seen.server_ip if ip == "server" else ip, port).outcome == outcome


def test_one_bad_backend_of_two_is_exactly_a_mixture(seen: Seen):
    test = seen.tcp("10.43.0.84", 8080)

    assert test.outcomes == {"ok": 2, "timeout": 2}
    assert (test.tries, test.ok, test.outcome) == (4, 2, "timeout")


def test_dns_tells_transport_and_answer_apart(seen: Seen):
    for protocol in ("dns-udp", "dns-tcp"):
        yes = one_test(seen.report, seen.client, protocol=protocol, ip=DNS, name="yes.cluster.local")
        no = one_test(seen.report, seen.client, protocol=protocol, ip=DNS, name="no.cluster.local")
        assert (yes.outcome, yes.rcode, yes.answers, yes.service) == ("ok", "NOERROR", ("10.42.9.9",), "kube-dns")
        assert (no.outcome, no.rcode, no.answers) == ("ok", "NXDOMAIN", ())
    broken = one_test(seen.report, seen.client, ip=seen.server_ip, name="broken.cluster.local")
    assert (broken.outcome, broken.rcode, broken.purpose) == ("ok", "SERVFAIL", "dns-pod")
    long = one_test(seen.report, seen.client, ip=seen.server_ip, name="x" * 64)
    assert (long.outcome, long.detail) == ("error", f"not a DNS name: {'x' * 64!r}")
    assert one_test(seen.report, seen.client, ip="10.42.0.60").outcome == "timeout"


def test_ipv6_without_a_route(seen: Seen):
    assert seen.tcp("fd00::1", 80).outcome == "ENETUNREACH"
    assert one_test(seen.report, seen.client, protocol="icmp", ip="fd00::1").outcome == "ENETUNREACH"


def test_the_node_is_tested_too_but_not_against_itself(seen: Seen):
    assert one_test(seen.report, "node", protocol="tcp", ip=seen.server_ip, port=8080).outcome == "ok"
    assert not [test for test in seen.report.tests if test.source == "node" and test.ip == seen.node_ip]


def test_a_full_accept_queue_shows_in_the_server_pod(seen: Seen):
    server = next(pod for pod in seen.report.pods if pod.ip == seen.server_ip)

    assert server.state
    assert server.state.listeners
    [full] = [one for one in server.state.listeners if one.port == 8082]
    assert (full.protocol, full.ip, full.backlog, full.queued) == ("tcp", "0.0.0.0", 0, 1)
    assert server.state.counters_delta["TcpExt.ListenDrops"] >= 1
    assert {(one.protocol, one.port) for one in server.state.listeners} >= {("udp", 9000), ("udp", 53), ("tcp", 53)}


def test_drop_counters_grow_by_what_the_tests_sent(seen: Seen):
    assert seen.report.root.firewall
    by_text = {drop.text.partition(" counter")[0]: drop for drop in seen.report.root.firewall.drops}
    assert by_text["udp dport 7001"].packets_delta == 1  # The node's own packets are not forwarded.
    assert by_text["tcp dport 7001"].packets_delta == 2  # With the retransmission after a second.


def test_an_unresolved_next_hop_is_waited_for_and_nothing_else():
    """EHOSTUNREACH after three seconds names a neighbour that is gone; its sender says whose neighbour."""
    with bridge_node() as node:
        client, _ = node.pods
        dead, vip = "10.42.0.200", "10.43.0.90"
        node.nft(
            f"table ip nat {{\n chain pre {{\n type nat hook prerouting priority -100;\n"
            f"  ip daddr {vip} dnat to {dead}\n }}\n}}\n"
            "table ip guard {\n chain forward {\n type filter hook forward priority 0;\n  tcp dport 7001 drop\n }\n}\n"
        )
        task = node.task(
            tcp(dead, 80, purpose="endpoint", service="shop/web:80"),
            tcp(vip, 80, purpose="cluster-ip", name="shop/web:80"),
            tcp(OUTSIDE, 7001, from_node_too=False),
            Target(purpose="local-pod", ip="10.42.0.201", name="dead"),
            gateway="",
        )
        report = node.look(replace(task, pods=(client.task_pod,)))

        direct = one_test(report, client.uid, ip=dead)
        assert (direct.outcome, direct.icmp_from) == ("EHOSTUNREACH", client.ip)
        by_service = one_test(report, client.uid, ip=vip)
        assert (by_service.outcome, by_service.icmp, by_service.icmp_from) == (
            "EHOSTUNREACH",
            "host-unreachable",
            vip,
        )
        echo = one_test(report, client.uid, ip="10.42.0.201")
        from_node = one_test(report, "node", ip=dead)
        assert (echo.outcome, from_node.outcome) == ("EHOSTUNREACH", "EHOSTUNREACH")
        for test in (direct, by_service, echo, from_node):
            assert 2500 < test.latency_ms < 3500
        dropped = one_test(report, client.uid, ip=OUTSIDE)
        assert dropped.outcome == "timeout"
        assert 1300 <= dropped.latency_ms < 2500
        assert report.took_s < 5
        pod = pod_of(report, client)
        assert pod.gateway_arp
        assert (pod.gateway_ip, pod.gateway_arp.ip) == ("10.42.0.1", "10.42.0.1")
        assert pod.gateway_oracle
        assert (pod.gateway_oracle.question, pod.gateway_oracle.type) == (
            f"10.42.0.1 from {client.ip} iif cni0",
            "local",
        )


def test_what_lies_behind_a_gateway_that_arp_finds_silent_is_not_waited_for():
    """The kernel's EHOSTUNREACH would come after 3 s and say what the ARP test says already."""
    with calico_node([{}]) as node:
        [pod] = node.pods
        node.sysctl({f"ipv4.conf.{pod.link}.proxy_arp": 0})
        report = node.look(node.task(tcp(OUTSIDE, 80, from_node_too=False)))

        test = one_test(report, pod.uid, ip=OUTSIDE)
        assert test.outcome == "timeout"
        assert 1300 <= test.latency_ms < 2500
        arp = pod_of(report, pod).gateway_arp
        assert arp
        assert arp.answers_ms == (None, None, None)


def test_a_dead_gateway_that_is_not_asked_by_arp_is_the_pods_own_unresolved_next_hop():
    with calico_node([{}]) as node:
        [pod] = node.pods
        node.sysctl({f"ipv4.conf.{pod.link}.proxy_arp": 0})
        report = node.look(node.task(tcp(OUTSIDE, 80), arp_tries=0))

        test = one_test(report, pod.uid, ip=OUTSIDE)
        assert (test.outcome, test.icmp_from) == ("EHOSTUNREACH", pod.ip)
        assert 2500 < test.latency_ms < 3500
        state = pod_of(report, pod).state
        assert state
        assert [one.state for one in state.neighbours if one.ip == "169.254.1.1"] == ["FAILED"]


def test_a_packet_filter_in_the_pod_says_eperm_to_udp_and_nothing_to_tcp():
    with calico_node([{}]) as node:
        [pod] = node.pods
        node.namespaces.run(
            pod.number,
            "nft",
            "-f",
            "-",
            text="table ip mesh {\n chain out {\n type filter hook output priority 0;\n  counter drop\n }\n}\n",
        )
        report = node.look(node.task(tcp(OUTSIDE, 80), udp(OUTSIDE, 80), patience_s=0.3, patience_arp_s=0.3))

        assert one_test(report, pod.uid, protocol="udp").outcome == "EPERM"
        assert one_test(report, pod.uid, protocol="tcp").outcome == "timeout"
        assert one_test(report, "node", protocol="tcp").outcome == "ok"
        state = pod_of(report, pod).state
        assert state
        assert state.firewall
        [drop] = state.firewall.drops
        assert (drop.table, drop.chain, drop.verdict) == ("mesh", "out", "drop")
        assert drop.packets_delta == 2
        assert report.root.firewall
        assert report.root.firewall.drops_total == 0


def test_timeouts_are_marked_doubtful_when_the_node_withheld_icmp_errors():
    """A router sends one receiver about six ICMP errors at once; the seventh refusal looks like silence."""
    with calico_node([{}]) as node:
        node.nft(
            "table ip guard {\n chain forward {\n type filter hook forward priority 0;\n"
            "  tcp dport 7000-7099 reject\n }\n}\n"
        )
        refused = [tcp(OUTSIDE, 7000 + at, from_node_too=False) for at in range(9)]
        report = node.look(node.task(*refused, tcp("10.42.0.60", 80, from_node_too=False), patience_s=0.5))

        outcomes = [test.outcome for test in report.tests]
        assert outcomes.count("ECONNREFUSED") == 6
        assert [test.may_be_withheld for test in report.tests] == [outcome == "timeout" for outcome in outcomes]


def test_a_target_of_one_pod_is_tried_from_that_pod_and_the_node_alone():
    with bridge_node() as node:
        client, other = node.pods
        task = node.task(tcp(OUTSIDE, 81, sources=(client.uid,)), patience_s=0.3)

        report = node.look(
            replace(task, pods=tuple(replace(each.task_pod, is_source=True) for each in (client, other)))
        )

        assert {test.source for test in report.tests if test.purpose == "dial"} == {client.uid, "node"}
