"""Series of probe packets followed on the real kernel: where they are last seen, and what ended them."""

import time
from collections.abc import Generator

import pytest

from tests.agent.nodes import Node, bridge_node, calico_node, is_root, two_nodes, why_no_namespaces
from tests.agent.trace_lab import CHAIN, fate_in, flow, follow, only_drop, seen, trace_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="the tap is root's"),
]
SERVER = {"tcp": [7001], "udp": [7001], "terse": [7003]}


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    """Two pods as Calico lays them; the second serves. Each test takes back what it broke."""
    with calico_node([{}, SERVER]) as made:
        yield made


@pytest.mark.parametrize("protocol", ["udp", "tcp", "icmp"])
def test_a_healthy_series_is_seen_at_every_side_of_every_device(node: Node, protocol: str) -> None:
    source, target = node.pods

    trace = trace_of(follow([node], flow(source, target.ip, protocol=protocol))["node-1"])

    assert (trace.instrument, trace.is_together, trace.drops) == ("bpf", True, ())
    assert [(one.sent, one.outcomes) for one in trace.sent] == [(17, {"ok": 17})]
    assert seen(trace) == {
        ("0002", "eth0", "out"): 17,
        ("node", "cali0", "in"): 17,
        ("node", "cali1", "out"): 17,
        ("0003", "eth0", "in"): 17,
    }
    assert seen(trace, "reply") == {
        ("0003", "eth0", "out"): 17,
        ("node", "cali1", "in"): 17,
        ("node", "cali0", "out"): 17,
        ("0002", "eth0", "in"): 17,
    }


@pytest.mark.parametrize(
    ("family", "hook", "rule", "expected"),
    [
        ("ip", "forward", "udp dport 7001 drop", ("request", "cali0", "forward", "ip")),
        ("inet", "forward", "udp dport 7001 drop", ("request", "cali0", "forward", "inet")),
        ("ip", "prerouting", "udp dport 7001 drop", ("request", "cali0", "prerouting", "ip")),
        ("ip", "postrouting", "udp dport 7001 drop", ("request", "cali1", "postrouting", "ip")),
        ("netdev", 'ingress device "cali0"', "udp dport 7001 drop", ("request", "cali0", "ingress", "netdev")),
        ("ip", "forward", "udp sport 7001 drop", ("reply", "cali1", "forward", "ip")),
    ],
)
def test_a_rule_without_a_counter_is_told_by_its_hook_and_family(
    node: Node, family: str, hook: str, rule: str, expected: tuple[str, str, str, str]
) -> None:
    source, target = node.pods
    node.nft(CHAIN.format(family=family, hook=hook, rule=rule))
    try:
        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])
    finally:
        node.nft(f"delete table {family} guard\n")

    drop = only_drop(trace)
    assert (drop.leg, drop.dev, drop.hook, drop.family) == expected
    assert (drop.reason, drop.netns, drop.count) == ("NETFILTER_DROP", "node", 17)


MASQUERADE = "table ip nat {{\n chain c {{\n  type nat hook postrouting priority srcnat;\n  {rule}\n }}\n}}\n"


@pytest.mark.parametrize(
    ("protocol", "changes"), [("tcp", {}), ("udp", {}), ("udp", {"question": "kubernetes.default.svc.cluster.local"})]
)
def test_what_is_masqueraded_under_another_port_is_still_ours(
    node: Node, protocol: str, changes: dict[str, str]
) -> None:
    """As kube-proxy and Flannel do it: no port of the sender's survives."""
    source, target = node.pods
    node.nft(MASQUERADE.format(rule='oifname "cali1" masquerade fully-random'))
    try:
        trace = trace_of(follow([node], flow(source, target.ip, protocol=protocol, **changes))["node-1"])
    finally:
        node.nft("delete table ip nat\n")

    assert trace.sent[0].outcomes == {"ok": 17}
    assert seen(trace) == {
        ("0002", "eth0", "out"): 17,
        ("node", "cali0", "in"): 17,
        ("node", "cali1", "out"): 17,
        ("0003", "eth0", "in"): 17,
    }
    [there] = [one for one in trace.sightings if (one.dev, one.is_out, one.leg) == ("cali1", True, "request")]
    assert not there.src.startswith(source.ip)
    back = {key: count for key, count in seen(trace, "reply").items() if key in {WIRE_IN, ("node", "cali0", "out")}}
    assert back == {WIRE_IN: 17, ("node", "cali0", "out"): 17}


@pytest.mark.parametrize("is_lost", [False, True], ids=["answered", "answers are lost"])
def test_short_answers_to_masqueraded_datagrams_are_followed(node: Node, is_lost: bool) -> None:  # noqa: FBT001
    """The server's answers have neither our port nor our length until their address is changed back."""
    source, target = node.pods
    node.nft(MASQUERADE.format(rule='oifname "cali1" masquerade fully-random'))
    if is_lost:
        node.nft(CHAIN.format(family="netdev", hook='ingress device "cali1"', rule="udp sport 7003 drop"))
    try:
        fate = fate_in([node], one := flow(source, target.ip, port=7003))
        trace = trace_of(follow([node], one)["node-1"])
    finally:
        node.nft("delete table ip nat\n" + "delete table netdev guard\n" * is_lost)

    replies = seen(trace, "reply")
    assert replies["0003", "eth0", "out"] == replies[WIRE_IN] == 17
    assert (fate.lost, fate.leg) == ((17, "reply") if is_lost else (0, ""))
    assert not is_lost or fate.last_seen == "cali1 of node-1, coming in"


WIRE_IN = ("node", "cali1", "in")
"""Where an answer comes in under the masqueraded address."""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("tcp dport 7001 reject with icmp host-prohibited", ("request", "0003")),
        ("tcp sport 7001 drop", ("reply", "0003")),
    ],
)
def test_the_fate_of_what_is_masqueraded(node: Node, rule: str, expected: tuple[str, str]) -> None:
    """A firewall in the target's namespace that takes the packets, or lets no answer out."""
    source, target = node.pods
    hook = "input" if expected[0] == "request" else "output"
    node.nft(MASQUERADE.format(rule='oifname "cali1" masquerade fully-random'))
    firewall = CHAIN.format(family="ip", hook=hook, rule=rule)
    node.namespaces.run(target.number, "nft", "-f", "-", text=firewall)
    try:
        trace = trace_of(follow([node], flow(source, target.ip, protocol="tcp"))["node-1"])
    finally:
        node.nft("delete table ip nat\n")
        node.namespaces.run(target.number, "nft", "delete", "table", "ip", "guard")

    drop = only_drop(trace)
    assert (drop.leg, drop.netns[-4:], drop.count) == (*expected, 17)


def test_a_rule_that_counts_is_named_by_its_counter(node: Node) -> None:
    source, target = node.pods
    node.nft(CHAIN.format(family="ip", hook="forward", rule="tcp dport 7001 counter drop"))
    try:
        trace = trace_of(follow([node], flow(source, target.ip, protocol="tcp", count=13))["node-1"])
    finally:
        node.nft("delete table ip guard\n")

    assert only_drop(trace).count == 13
    assert trace.rules
    assert [(one.table, one.text, one.packets) for one in trace.rules] == [("guard", "tcp dport 7001 counter drop", 13)]


@pytest.mark.parametrize(
    ("broken", "fixed", "reason", "symbol", "dev"),
    [
        (
            "route add blackhole 10.42.0.11/32 table 77\nrule add to 10.42.0.11 lookup 77 pref 50",
            "rule del to 10.42.0.11 lookup 77 pref 50\nroute flush table 77",
            "NOT_SPECIFIED",
            "ip_error",
            "cali0",
        ),
        (
            "route replace 10.42.0.10/32 dev cali1 scope link",
            "route replace 10.42.0.10/32 dev cali0 scope link",
            "IP_RPFILTER",
            "ip_rcv_finish_core",
            "cali0",
        ),
    ],
)
def test_what_routing_refuses(node: Node, broken: str, fixed: str, reason: str, symbol: str, dev: str) -> None:
    source, target = node.pods
    follow([node], flow(source, target.ip))  # so that the pod knows its gateway, which answers it by its route alone
    node.ip_command(*broken.splitlines())
    try:
        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])
    finally:
        node.ip_command(*fixed.splitlines())

    drop = only_drop(trace)
    assert (drop.reason, drop.symbol, drop.dev, drop.count) == (reason, symbol, dev, 17)
    assert seen(trace) == {("0002", "eth0", "out"): 17, ("node", "cali0", "in"): 17}


def test_forwarding_that_is_off_shows_in_the_drop_and_in_the_counter(node: Node) -> None:
    source, target = node.pods
    node.namespaces.run(source.number, "ping", "-c1", "-W3", target.ip)  # the gateway is known: no ARP is answered now
    node.sysctl({"ipv4.conf.cali0.forwarding": 0})
    try:
        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])
    finally:
        node.sysctl({"ipv4.conf.cali0.forwarding": 1})

    assert (only_drop(trace).reason, only_drop(trace).symbol) == ("IP_INADDRERRORS", "ip_error")
    assert [(one.netns, one.name) for one in trace.counters] == [("node", "Ip.InAddrErrors")]


def test_a_queue_that_takes_nothing(node: Node) -> None:
    source, target = node.pods
    node.namespaces.run(
        node.number,
        "tc",
        "qdisc",
        "add",
        "dev",
        "cali1",
        "root",
        "tbf",
        "rate",
        "1kbit",
        "burst",
        "200",
        "limit",
        "200",
    )
    try:
        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])
    finally:
        node.namespaces.run(node.number, "tc", "qdisc", "del", "dev", "cali1", "root")

    drop = only_drop(trace)
    assert (drop.reason, drop.symbol, drop.dev, drop.count) == ("QDISC_DROP", "__dev_queue_xmit", "cali1", 17)


def test_a_neighbour_that_does_not_answer_is_named_before_the_kernel_gives_up(node: Node) -> None:
    source, _ = node.pods
    node.ip_command("route add 10.42.0.99/32 dev cali1")
    try:
        trace = trace_of(follow([node], flow(source, "10.42.0.99"))["node-1"])
    finally:
        node.ip_command("route del 10.42.0.99/32 dev cali1")

    assert [(one.netns, one.ip, one.dev) for one in trace.unresolved] == [("node", "10.42.0.99", "cali1")]
    assert seen(trace)["node", "cali0", "in"] == 17


def test_what_the_senders_own_kernel_refuses_has_no_sighting(node: Node) -> None:
    source, target = node.pods
    node.namespaces.ip(source.number, f"route add prohibit {target.ip}/32")
    try:
        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])
    finally:
        node.namespaces.ip(source.number, f"route del prohibit {target.ip}/32")

    assert (trace.sent[0].outcomes, trace.sightings) == ({"EACCES": 17}, ())


def test_an_unheard_port_is_a_drop_in_the_servers_namespace() -> None:
    with bridge_node([{}, {}]) as node:
        source, target = node.pods

        trace = trace_of(follow([node], flow(source, target.ip))["node-1"])

    drop = only_drop(trace)
    assert (drop.netns, drop.reason) == (target.uid, "NO_SOCKET")
    assert trace.sent[0].icmp == "port-unreachable"


@pytest.fixture(scope="module")
def nodes() -> Generator[tuple[Node, Node]]:
    with two_nodes([SERVER]) as made:
        yield made


def test_wrapped_packets_are_seen_on_the_wire(nodes: tuple[Node, Node]) -> None:
    first, second = nodes

    reports = follow(nodes, flow(first.pods[0], second.pods[0].ip))

    assert seen(trace_of(reports["node-1"])) == {
        ("0003", "eth0", "out"): 17,
        ("node", "cali0", "in"): 17,
        ("node", "cni0", "in"): 17,
        ("node", "flannel.1", "out"): 17,
        ("node", "vxlan eth0", "out"): 17,
    }
    assert seen(trace_of(reports["node-2"]))["0004", "eth0", "in"] == 17


def test_a_wrong_port_ends_on_the_other_node(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    mac = "02:00:00:00:00:02"
    bridge = ("bridge", "fdb", "replace", mac, "dev", "flannel.1", "dst", second.ip, "self", "permanent")
    first.namespaces.run(first.number, "bridge", "fdb", "del", mac, "dev", "flannel.1", "dst", second.ip)
    first.namespaces.run(first.number, *bridge[:8], "port", "9999", *bridge[8:])
    try:
        reports = follow(nodes, flow(first.pods[0], second.pods[0].ip))
    finally:
        first.namespaces.run(
            first.number, "bridge", "fdb", "del", mac, "dev", "flannel.1", "dst", second.ip, "port", "9999"
        )
        first.namespaces.run(first.number, *bridge)

    there = trace_of(reports["node-2"])
    assert seen(there) == {("node", "vxlan eth0", "in"): 17}
    drop = only_drop(there)
    assert (drop.reason, drop.tunnel, drop.netns) == ("NO_SOCKET", "vxlan", "node")


def test_several_series_are_told_apart(node: Node) -> None:
    source, target = node.pods
    flows = [
        flow(source, target.ip, number=1, protocol="tcp", count=13),
        flow(source, target.ip, number=2, protocol="icmp", count=11, length=300),
        flow(target, source.ip, number=3, count=17),
    ]
    began = time.monotonic()

    trace = trace_of(follow([node], *flows)["node-1"])

    assert time.monotonic() - began < 8
    assert {one.flow: one.outcomes for one in trace.sent} == {
        1: {"ok": 13},
        2: {"ok": 11},
        3: {"ECONNREFUSED": 17},
    } or (
        trace.sent[2].outcomes.keys() <= {"ECONNREFUSED", "timeout"}  # the kernel withholds ICMP errors
    )
    assert [(one.flow, one.reason) for one in trace.drops] == [(3, "NO_SOCKET")]


@pytest.fixture
def span(node: Node) -> Generator[str]:
    """A device that leads out of all that is looked at."""
    pid = node.namespaces.pids[0]
    node.ip_command(f"link add span0 type veth peer name span1 netns {pid}", "link set span0 up")
    node.namespaces.ip(0, "link set span1 up")
    try:
        yield "span0"
    finally:
        node.ip_command("link del span0")


def test_a_filter_that_redirects_is_named_though_no_packet_is_dropped(node: Node, span: str) -> None:
    source, target = node.pods
    takes = f"protocol ip u32 match ip dport 7001 0xffff action mirred egress redirect dev {span}"
    node.namespaces.run(node.number, *["tc", "qdisc", "add", "dev", "cali0", "clsact"])
    node.namespaces.run(node.number, *f"tc filter add dev cali0 ingress {takes}".split())
    try:
        fate = fate_in([node], flow(source, target.ip))
    finally:
        node.namespaces.run(node.number, *["tc", "qdisc", "del", "dev", "cali0", "clsact"])

    assert (fate.lost, fate.is_known, fate.hop) == (17, False, "node")
    assert fate.taken_at == ("node-1", "cali0", "ingress")
    assert fate.culprit.startswith("tc filter u32 ")
    assert fate.culprit.endswith(f"action mirred egress redirect dev {span} on cali0 of node-1, ingress")


@pytest.mark.parametrize(
    ("place", "verdict", "device", "is_known"),
    [
        ("tcx-ingress", ">span0", "cali0", False),
        ("tcx-ingress", ">lo", "cali0", True),
        ("tcx-ingress", "2", "cali0", True),
        ("tcx-egress", ">span0", "cali1", False),
        ("tcx-egress", "2", "cali1", True),
        ("xdp", "1", "cali0", True),
        ("xdp", "0", "cali0", True),
    ],
    ids=[
        "leads away what comes in",
        "leads astray what comes in",
        "drops what comes in",
        "leads away what goes out",
        "drops what goes out",
        "XDP drops",
        "XDP aborts",
    ],
)
@pytest.mark.usefixtures("span")
def test_a_program_of_a_stranger_is_named(
    node: Node,
    place: str,
    verdict: str,
    device: str,
    is_known: bool,  # noqa: FBT001
) -> None:
    source, target = node.pods
    node.namespaces.run(source.number, "ping", "-c", "1", "-w", "3", target.ip)  # or it is ARP that dies

    with node.namespaces.program(node.number, device, place, verdict, "catcher"):
        fate = fate_in([node], flow(source, target.ip))

    kind, _, side = place.partition("-")
    assert (fate.lost, fate.is_known) == (17, is_known)
    assert fate.culprit.startswith(f"{kind} program catcher id ")
    assert fate.taken_at == ("node-1", device, side or "ingress")


def test_a_rule_that_hands_packets_to_another_device_is_named(node: Node, span: str) -> None:
    source, target = node.pods
    rule = f'udp dport 7001 fwd to "{span}"'
    node.nft(CHAIN.format(family="netdev", hook='ingress device "cali0"', rule=rule))
    try:
        fate = fate_in([node], flow(source, target.ip))
    finally:
        node.nft("delete table netdev guard\n")

    assert (fate.lost, fate.is_known) == (17, False)
    assert fate.culprit.startswith("netdev/guard/c (hook ingress on cali0")
    assert "udp dport 7001 fwd" in fate.culprit
