"""Queues, filters, forwarding entries, rules and IPsec policies of a real namespace, as the agent reads them."""

import os
from collections.abc import Iterator

import pytest

from bot.agent.namespace import Reading, read_again, read_namespace
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home, open_netns
from bot.agent.report import NetnsState
from tests.agent.nodes import Namespaces, is_root, why_no_namespaces

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces()),
    pytest.mark.skipif(not is_root(), reason="this process enters the namespace itself"),
]
LINES = (
    "link add name a0 type veth peer name a1",
    "addr add 10.9.0.1/24 dev a0",
    "link set a0 up",
    "link set a1 up",
    "neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev a0 nud permanent",
    "link add name vx0 type vxlan id 5 dstport 4789",
    "rule add iif a0 uidrange 5-10 ipproto tcp dport 80 lookup 99",
    "rule add from all lookup main suppress_prefixlength 0",
    "route add 10.8.0.0/16 dev a0 advmss 500",
    "xfrm policy add src 10.9.0.1 dst 10.9.0.3 dir out action block",
)
COMMANDS = (
    "tc qdisc add dev a0 root tbf rate 4kbit burst 1540 limit 1540",
    "tc qdisc add dev a1 clsact",
    "tc filter add dev a1 ingress protocol ip u32 match ip dst 10.9.0.2/32 action mirred egress redirect dev vx0",
    "bridge fdb add 02:00:00:00:00:01 dev vx0 dst 192.0.2.9 port 9999 vni 77 self permanent",
)


@pytest.fixture(scope="module")
def states() -> Iterator[tuple[NetnsState, NetnsState]]:
    """The namespace before and after eight packets that the queue has no room for."""
    with Namespaces([{}]) as made:
        made.ip(0, *LINES)
        for command in COMMANDS:
            made.run(0, *command.split())
        home = Home()
        fd = open_netns(f"/proc/{made.pids[0]}/ns/net")
        try:
            with home.visiting(fd), NetlinkSocket() as netlink:
                before: Reading = read_namespace(netlink, "root", is_root=True)
                made.run(0, "sh", "-c", "ping -q -f -c 20 -s 1000 -w 1 10.9.0.2 || true")
                yield before.state, read_again(netlink, before, is_root=True)
        finally:
            os.close(fd)
            home.close()


def test_a_queue_with_what_it_dropped(states: tuple[NetnsState, NetnsState]):
    [queue] = [one for one in states[1].qdiscs or () if one.dev == "a0"]

    assert (queue.kind, queue.is_written) == ("tbf", True)
    assert queue.text.endswith("root rate 4Kbit limit 1540b")
    assert queue.dropped_delta > 0
    assert not any(one.is_written for one in states[1].qdiscs or () if one.dev == "vx0")


def test_a_filter_with_what_its_action_took(states: tuple[NetnsState, NetnsState]):
    [found] = list(states[1].filters or [])

    assert (found.dev, found.direction, found.effect, found.target) == ("a1", "ingress", "redirect", "vx0")
    assert "match ip dst 10.9.0.2/32 action mirred egress redirect dev vx0" in found.text
    assert found.packets_delta


def test_a_forwarding_entry_with_port_and_network(states: tuple[NetnsState, NetnsState]):
    [entry] = [one for one in states[0].fdb if one.dev == "vx0"]

    assert (entry.dst, entry.port, entry.vni) == ("192.0.2.9", 9999, 77)


def test_rules_with_all_that_they_ask_for(states: tuple[NetnsState, NetnsState]):
    rules = {one.others or one.suppress_prefix for one in states[0].rules}

    assert rules >= {"uidrange 5-10 ipproto 6 dport 80", 0}


def test_routes_neighbours_and_policies(states: tuple[NetnsState, NetnsState]):
    state = states[0]

    assert next(one for one in state.routes if one.dst == "10.8.0.0/16").advmss == 500
    assert ("10.9.0.2", "PERMANENT") in {(one.ip, one.state) for one in state.neighbours}
    [policy] = list(state.ipsec or [])
    assert (policy.direction, policy.action, policy.dst) == ("out", "block", "10.9.0.3/32")


@pytest.mark.parametrize("place", ["tcx-ingress", "tcx-egress", "xdp"])
def test_a_program_that_is_no_filter_of_tc_is_told_with_its_name(place: str):
    with Namespaces([{}]) as made:
        made.ip(0, "link add name a0 type veth peer name a1")
        home = Home()
        fd = open_netns(f"/proc/{made.pids[0]}/ns/net")
        try:
            with made.program(0, "a0", place, "2", "catcher"), home.visiting(fd), NetlinkSocket() as netlink:
                state = read_namespace(netlink, "root", is_root=True).state
        finally:
            os.close(fd)
            home.close()

    assert state.filters
    [found] = state.filters
    kind, _, side = place.partition("-")
    assert (found.dev, found.kind, found.direction, found.name) == ("a0", kind, side or "ingress", "catcher")
    assert (found.effect, state.has_all_programs) == ("program", True)
    assert found.text.startswith(f"{kind} program catcher id ")


def test_where_bpf_is_refused_that_is_said_once_and_the_numbers_of_xdp_remain(monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> tuple[int, ...]:
        raise PermissionError(1, "bpf(2) is refused")

    monkeypatch.setattr("bot.agent.attached.attached_programs", refused)
    monkeypatch.setattr("bot.agent.attached.program_name", refused)
    with Namespaces([{}]) as made:
        made.ip(0, "link add name a0 type veth peer name a1")
        home = Home()
        fd = open_netns(f"/proc/{made.pids[0]}/ns/net")
        try:
            with made.program(0, "a0", "xdp", "2", "catcher"), home.visiting(fd), NetlinkSocket() as netlink:
                root = read_namespace(netlink, "root", is_root=True)
                pod = read_namespace(netlink, "pods.x", is_root=False)
        finally:
            os.close(fd)
            home.close()

    assert [one.what for one in (*root.missing, *pod.missing) if "programs" in one.what] == ["root.programs"]
    assert [(one.kind, one.name) for one in root.state.filters or ()] == [("xdp", "")]
    assert not root.state.has_all_programs
