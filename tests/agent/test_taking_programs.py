"""BPF programs that take packets and are no rules: filters of tc that steal, and programs on hooks of netfilter."""

import json
from collections.abc import Generator
from fnmatch import fnmatchcase

import pytest

from bot.agent.attached import read_netfilter_programs
from tests.agent.nodes import Namespaces, Node, calico_node, is_root, two_nodes, why_no_namespaces
from tests.agent.trace_lab import CHAIN, fate_in, flow

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="bpf(2) is root's"),
]
SERVER = {"tcp": [7001], "udp": [7001]}
DROP, STEAL = "0", "4"


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    with calico_node([{}, SERVER]) as made:
        know_neighbours(made.namespaces, made.pods[0].number, made.pods[1].ip)
        yield made


def know_neighbours(namespaces: Namespaces, client: int, server_ip: str) -> None:
    """For ever: what takes packets takes ARP as well, and a question unanswered would be all that is seen."""
    namespaces.run(client, "ping", "-c1", "-w3", server_ip)
    for number in range(len(namespaces.pids)):
        known = json.loads(namespaces.run(number, "ip", "-json", "-4", "neigh", "show"))
        entries = [f"{one['dst']} lladdr {one['lladdr']} dev {one['dev']}" for one in known if "lladdr" in one]
        namespaces.ip(number, *(f"neigh replace {entry} nud permanent" for entry in entries))


@pytest.mark.parametrize(
    ("place", "device", "side", "protocol", "leg", "seen"),
    [
        ("node", "cali0", "ingress", "udp", "request", "cali0 of node-1, coming in"),
        ("node", "cali1", "egress", "udp", "request", "cali0 of node-1, coming in"),
        ("node", "cali1", "ingress", "udp", "reply", "cali1 of node-1, coming in"),
        ("client", "eth0", "egress", "udp", "request", ""),
        ("server", "eth0", "ingress", "udp", "reply", "eth0 of shop/pod-1-on-1, coming in"),
        ("server", "eth0", "egress", "tcp", "reply", "eth0 of shop/pod-1-on-1, coming in"),
    ],
)
def test_a_filter_that_steals_is_named_as_it_is_written(
    node: Node, place: str, device: str, side: str, protocol: str, leg: str, seen: str
) -> None:
    client, server = node.pods
    places = {"node": (node.number, "node-1"), "client": (client.number, "shop/pod-0-on-1")}
    number, owner = places.get(place, (server.number, "shop/pod-1-on-1"))

    with node.namespaces.program(number, device, f"tc-{side}", STEAL, "catcher"):
        fate = fate_in([node], flow(client, server.ip, protocol=protocol))

    assert (fate.lost, fate.is_known, fate.leg, fate.last_seen) == (17, False, leg, seen)
    assert fnmatchcase(fate.culprit, f"tc filter bpf catcher id * on {device} of {owner}, {side}"), fate


@pytest.fixture(scope="module")
def nodes() -> Generator[tuple[Node, Node]]:
    with two_nodes([SERVER]) as made:
        know_neighbours(made[0].namespaces, made[0].pods[0].number, made[1].pods[0].ip)
        yield made


@pytest.mark.parametrize(
    ("at", "device", "side", "seen"),
    [
        (0, "eth0", "egress", "flannel.1 of node-1, going out"),
        (1, "eth0", "ingress", "eth0 of node-2, coming in in the tunnel"),
        (1, "cali0", "egress", "cni0 of node-2, going out"),
    ],
    ids=["behind the tunnel", "before the tunnel", "at a port of the bridge"],
)
def test_a_filter_that_steals_below_a_device_is_named(
    nodes: tuple[Node, Node], at: int, device: str, side: str, seen: str
) -> None:
    (client,), (server,) = nodes[0].pods, nodes[1].pods

    with nodes[at].namespaces.program(nodes[at].number, device, f"tc-{side}", STEAL, "catcher"):
        fate = fate_in(nodes, flow(client, server.ip))

    assert (fate.lost, fate.is_known, fate.last_seen) == (17, False, seen)
    assert fnmatchcase(fate.culprit, f"tc filter bpf catcher id * on {device} of node-{at + 1}, {side}"), fate


def test_a_filter_that_only_classifies_is_not_accused(node: Node) -> None:
    client, server = node.pods
    run, bytecode = node.namespaces.run, "1,6 0 0 4294967295,"
    where = ["dev", "cali0"]
    run(node.number, "tc", "qdisc", "add", *where, "clsact")
    try:
        run(node.number, "tc", "filter", "add", *where, "ingress", "bpf", "bytecode", bytecode, "classid", "1:1")
        with node.namespaces.program(node.number, "cali1", "tc-egress", STEAL, "catcher"):
            fate = fate_in([node], flow(client, server.ip))
    finally:
        run(node.number, "tc", "qdisc", "del", *where, "clsact")

    assert fate.taken_at == ("node-1", "cali1", "egress")
    assert fate.culprit.startswith("tc filter bpf catcher id ")


def test_a_filter_behind_a_server_that_may_not_answer_is_not_accused(node: Node) -> None:
    """Whether a process answers UDP is its own business: nothing shows that there were answers to steal."""
    client, server = node.pods

    with node.namespaces.program(server.number, "eth0", "tc-egress", STEAL, "catcher"):
        fate = fate_in([node], flow(client, server.ip))

    assert (fate.lost, fate.culprit) == (17, "")


@pytest.mark.parametrize(
    ("place", "hook", "died_at"),
    [
        ("node", "forward", "cali0 of node-1"),
        ("node", "prerouting", "cali0 of node-1"),
        ("node", "postrouting", "cali1 of node-1"),
        ("client", "output", "shop/pod-0-on-1"),
        ("server", "input", "eth0 of shop/pod-1-on-1"),
    ],
)
def test_a_program_on_a_hook_is_named_where_no_rule_drops(node: Node, place: str, hook: str, died_at: str) -> None:
    client, server = node.pods
    number = {"node": node.number, "client": client.number}.get(place, server.number)

    with node.namespaces.program(number, "7", f"netfilter-{hook}", DROP, "catcher"):
        fate = fate_in([node], flow(client, server.ip))

    assert (fate.lost, fate.leg, fate.died_at) == (17, "request", died_at)
    assert fnmatchcase(
        fate.culprit,
        f"netfilter program catcher id * (hook {hook}, priority 7, of unknown origin, "
        "in a network namespace that the kernel does not tell)",
    )


@pytest.mark.parametrize("chance", ["", "numgen random mod 100 < 90 "])
def test_a_program_on_a_hook_is_not_named_beside_a_rule_of_nftables(node: Node, chance: str) -> None:
    client, server = node.pods
    node.nft(CHAIN.format(family="ip", hook="forward", rule=f"udp dport 7001 {chance}drop"))
    try:
        with node.namespaces.program(node.number, "7", "netfilter-forward", "1", "watcher"):
            fate = fate_in([node], flow(client, server.ip))
    finally:
        node.nft("delete table ip guard\n")

    assert fate.lost
    assert fate.culprit.startswith("ip/guard/c (hook forward")
    assert "watcher" not in fate.culprit


def test_a_program_on_a_hook_is_not_named_beside_a_rule_of_iptables(node: Node) -> None:
    client, server = node.pods
    legacy = ["-p", "udp", "--dport", "7001", "-j", "DROP"]
    node.namespaces.run(node.number, "iptables-legacy", "-w", "-I", "FORWARD", *legacy)
    try:
        with (
            node.namespaces.program(node.number, "7", "netfilter-prerouting", "1", "watcher"),
            node.namespaces.program(node.number, "7", "netfilter-forward", "1", "watcher"),
        ):
            fate = fate_in([node], flow(client, server.ip))
    finally:
        node.namespaces.run(node.number, "iptables-legacy", "-w", "-D", "FORWARD", *legacy)

    assert "watcher" not in fate.culprit
    assert fate.culprit.startswith("ip/filter/FORWARD (hook forward")


def test_programs_on_hooks_are_listed_with_their_places(node: Node) -> None:
    with node.namespaces.program(node.number, "-150", "netfilter-prerouting", "1", "watcher"):
        found = [one for one in read_netfilter_programs() if one.priority == -150]

    assert [(one.family, one.hook, one.name) for one in found] == [(4, "prerouting", "watcher")]
