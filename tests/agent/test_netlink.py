"""Our netlink decoder against pyroute2's, and against the kernel's own files, in one namespace full of everything."""

import importlib
import os
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.links import CONF4, CONF6, LinkRecord, read_links
from bot.agent.netlink import NetlinkSocket, attribute, attributes
from bot.agent.netns import Home, open_netns
from bot.agent.report import Address, FdbEntry, Neighbour, Route, RouteAnswer, Rule
from bot.agent.rtnetlink import (
    ask_nsid,
    ask_route,
    read_addresses,
    read_fdb,
    read_neighbour_table,
    read_neighbours,
    read_routes,
    read_rules,
)
from bot.agent.sysctls import sysctl_path
from tests.agent.nodes import Namespaces, is_root, why_no_namespaces

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces()),
    pytest.mark.skipif(not is_root(), reason="this process enters the namespace itself"),
]

ARP_STATISTICS = Path("/proc/net/stat/arp_cache")
PYROUTE: Any = importlib.import_module("pyroute2").IPRoute
"""Its methods carry no types."""
LINES = (
    "link set lo up",
    "link add name br0 type bridge",
    "link add name veth0 type veth peer name veth1",
    "link set veth0 master br0 up",
    "link set veth1 up",
    "link add name vx0 type vxlan id 42 dstport 8472 local 192.0.2.1 nolearning",
    "link set br0 up mtu 1400",
    "link set vx0 up",
    "addr add 192.0.2.1/24 dev br0",
    "addr add 192.0.2.9/24 dev br0",
    "addr add fd00::1/64 dev veth1 nodad",
    "addr add 10.1.0.1/32 dev veth1",
    "route add default via 192.0.2.254 metric 50",
    "route add blackhole 10.42.0.0/26",
    "route add unreachable 10.43.0.0/16",
    "route add prohibit 10.44.0.0/16",
    "route add throw 10.45.0.0/16 table 100",
    "route add 10.46.0.0/16 via 10.99.0.1 dev veth1 onlink mtu 1300 src 10.1.0.1",
    "route add 10.47.0.0/16 nexthop via 192.0.2.3 nexthop via 192.0.2.4",
    "route add 10.48.0.0/16 via inet6 fd00::7 dev veth1",
    "route add 0.0.0.0/32 via 192.0.2.254",
    "route add fd01::/64 via fd00::7",
    "rule add iif veth1 table 100 pref 90",
    "rule add not fwmark 0xca6c/0xffff table 1234 pref 91",
    "rule add from 10.5.0.0/16 to 10.6.0.0/16 oif br0 blackhole pref 92",
    "neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev br0 nud permanent",
    "neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev br0 nud stale",
    "neigh add 10.50.0.1 lladdr 02:00:00:00:00:09 dev vx0 nud permanent",
)


@dataclass(kw_only=True)
class Seen:
    records: dict[str, LinkRecord]
    addresses: list[Address]
    routes: list[Route]
    rules: list[Rule]
    neighbours: list[Neighbour]
    fdb: list[FdbEntry]
    answers: list[RouteAnswer]
    theirs: dict[str, list[Any]]
    sysctls: dict[str, str]
    nsids: list[int | None]


@pytest.fixture(scope="module")
def seen() -> Generator[Seen]:
    with Namespaces([{}, {}]) as namespaces:
        namespaces.ip(0, *LINES)
        namespaces.ip(0, f"link add name far0 type veth peer name far1 netns {namespaces.pids[1]}")
        namespaces.run(0, "bridge", "fdb", "add", "02:00:00:00:00:09", "dev", "vx0", "dst", "192.0.2.50", "self")
        namespaces.run(0, "bridge", "link", "set", "dev", "veth0", "hairpin", "on", "isolated", "on")
        namespaces.set_sysctls(0, {"ipv4.conf.veth1.rp_filter": 2, "ipv4.conf.veth1.proxy_arp": 1})
        home = Home()
        fd = open_netns(f"/proc/{namespaces.pids[0]}/ns/net")
        other = open_netns(f"/proc/{namespaces.pids[1]}/ns/net")
        with home.visiting(fd):
            found = read_all(other, home.fd)
        for descriptor in (fd, other):
            os.close(descriptor)
        home.close()
        yield found


def read_all(other: int, stranger: int) -> Seen:
    with NetlinkSocket() as netlink, PYROUTE() as route:
        records = read_links(netlink)
        names = {record.link.ifindex: record.link.name for record in records}
        sysctls = {
            f"{family}.conf.{record.link.name}.{name}": Path(
                sysctl_path(f"{family}.conf.{record.link.name}.{name}")
            ).read_text()
            for record in records
            for family, group in (("ipv4", CONF4), ("ipv6", CONF6))
            for name in group
        }
        return Seen(
            records={record.link.name: record for record in records},
            addresses=list(read_addresses(netlink, names)),
            routes=list(read_routes(netlink, names)),
            rules=list(read_rules(netlink)),
            neighbours=list(read_neighbours(netlink, names)),
            fdb=list(read_fdb(netlink, names)),
            answers=[
                ask_route(netlink, names, "10.46.1.1"),
                ask_route(netlink, names, "10.42.0.1"),
                ask_route(netlink, names, "10.43.0.1"),
                ask_route(netlink, names, "10.44.0.1"),
                ask_route(netlink, names, "192.0.2.1"),
                ask_route(netlink, names, "not an address"),
            ],
            theirs={
                "links": list(route.get_links()),
                "addresses": list(route.get_addr()),
                "routes": list(route.get_routes(family=socket.AF_INET)),
                "rules": list(route.get_rules(family=socket.AF_INET)),
                "neighbours": list(route.get_neighbours(family=socket.AF_INET)),
            },
            sysctls=sysctls,
            nsids=[ask_nsid(netlink, other), ask_nsid(netlink, stranger)],
        )


def test_links_are_those_that_pyroute2_reads(seen: Seen):
    theirs = {link.get("ifname"): link for link in seen.theirs["links"]}

    assert seen.records.keys() == theirs.keys()
    for name, record in seen.records.items():
        other = theirs[name]
        assert record.link.ifindex == other["index"]
        assert record.link.mac == other.get("address")
        assert record.link.mtu == other.get("mtu")
        assert record.link.is_up == (other["state"] == "up")
        assert 0 <= other.get("stats64")["rx_packets"] - record.link.rx_packets < 100  # The kernel itself sends some.
        assert record.link.kind == ((other.get("linkinfo") and other.get("linkinfo").get("kind")) or "")
        assert record.peer_nsid == other.get("link_netnsid")


def test_what_links_say_beyond_that(seen: Seen):
    port, vxlan, far = (seen.records[name].link for name in ("veth0", "vx0", "far0"))

    assert (port.master, port.bridge_port_state, port.is_hairpin, port.is_isolated) == ("br0", 3, True, True)
    assert port.peer_ifindex == seen.records["veth1"].link.ifindex
    assert (vxlan.vxlan_id, vxlan.vxlan_port, vxlan.vxlan_local) == (42, 8472, "192.0.2.1")
    assert far.peer_ifindex > 0
    assert seen.records["far0"].peer_nsid == seen.nsids[0]
    assert seen.nsids[1] is None
    assert seen.records["lo"].is_loopback


def test_sysctls_of_devices_by_netlink_are_those_of_the_files(seen: Seen):
    for name, text in seen.sysctls.items():
        family, _, device, key = name.split(".")
        conf = seen.records[device].conf4 if family == "ipv4" else seen.records[device].conf6
        assert conf[key] == text.strip(), name
    assert seen.records["veth1"].conf4["rp_filter"] == "2"
    assert sysctl_path("ipv4.conf.eth0/100.rp_filter") == "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"


def test_addresses_are_those_that_pyroute2_reads(seen: Seen):
    theirs = {(one.get("local") or one.get("address"), one["prefixlen"]) for one in seen.theirs["addresses"]}

    assert {(one.ip, one.prefix_len) for one in seen.addresses} == theirs
    secondary = next(one for one in seen.addresses if one.ip == "192.0.2.9")
    assert (secondary.dev, secondary.family, set(secondary.flags)) == ("br0", 4, {"secondary", "permanent"})


def test_routes_are_those_that_pyroute2_reads_but_the_local_table(seen: Seen):
    theirs = {
        (f"{one.get('dst')}/{one['dst_len']}" if one["dst_len"] else "default", one.get("table"))
        for one in seen.theirs["routes"]
        if one.get("table") != 255
    }
    theirs = {(dst.replace("None/", "0.0.0.0/"), table) for dst, table in theirs}

    assert {(one.dst, one.table) for one in seen.routes if ":" not in one.dst} == theirs
    assert {one.dst for one in seen.routes if ":" in one.dst} == {"fd00::/64", "fd01::/64"}


def test_routes_in_every_form(seen: Seen):
    by_dst = {route.dst: route for route in seen.routes}

    default = by_dst["default"]
    assert (default.via, default.dev, default.metric, default.type) == ("192.0.2.254", "br0", 50, "unicast")
    assert by_dst["0.0.0.0/32"].via == "192.0.2.254"
    types = {dst: by_dst[dst].type for dst in ("10.42.0.0/26", "10.43.0.0/16", "10.44.0.0/16", "10.45.0.0/16")}
    assert list(types.values()) == ["blackhole", "unreachable", "prohibit", "throw"]
    assert by_dst["10.45.0.0/16"].table == 100
    rich = by_dst["10.46.0.0/16"]
    assert (rich.via, rich.dev, rich.onlink, rich.mtu, rich.src) == ("10.99.0.1", "veth1", True, 1300, "10.1.0.1")
    assert [route.via for route in seen.routes if route.dst == "10.47.0.0/16"] == ["192.0.2.3", "192.0.2.4"]
    assert by_dst["10.48.0.0/16"].via == "fd00::7"
    connected = by_dst["192.0.2.0/24"]
    assert (connected.scope, connected.proto, connected.src) == ("link", "kernel", "192.0.2.1")


def test_rules_are_those_that_pyroute2_reads(seen: Seen):
    rules = [one for one in seen.rules if one.family == 4]
    assert [one.priority for one in rules] == [one.get("priority") or 0 for one in seen.theirs["rules"]]
    by_priority = {rule.priority: rule for rule in rules}
    assert (by_priority[90].iif, by_priority[90].table, by_priority[90].action) == ("veth1", 100, "lookup")
    assert (by_priority[91].fwmark, by_priority[91].is_inverted) == ("0xca6c/0xffff", True)
    last = by_priority[92]
    assert (last.src, last.dst, last.oif, last.action) == ("10.5.0.0/16", "10.6.0.0/16", "br0", "blackhole")
    assert by_priority[32766].table == 254


def test_neighbours_are_those_that_pyroute2_reads(seen: Seen):
    theirs = {(one.get("dst"), one.get("lladdr")) for one in seen.theirs["neighbours"] if one["state"] != 0x40}

    assert {(one.ip, one.mac) for one in seen.neighbours if ":" not in one.ip} == theirs
    states = {one.ip: (one.dev, one.state) for one in seen.neighbours}
    assert states["192.0.2.7"] == ("br0", "PERMANENT")
    assert states["192.0.2.8"] == ("br0", "STALE")


def test_forwarding_entries_name_device_and_destination(seen: Seen):
    [entry] = [entry for entry in seen.fdb if entry.dev == "vx0" and entry.dst]

    assert (entry.mac, entry.dst, entry.state) == ("02:00:00:00:00:09", "192.0.2.50", "PERMANENT")


def test_route_questions_answer_what_ip_route_get_answers(seen: Seen):
    found, *refused, local, nonsense = seen.answers

    assert (found.question, found.via, found.dev, found.src) == ("10.46.1.1", "10.99.0.1", "veth1", "10.1.0.1")
    assert [one.errno for one in refused] == ["EINVAL", "EHOSTUNREACH", "EACCES"]
    assert (local.type, local.dev) == ("local", "lo")
    assert nonsense.errno


@given(st.binary(max_size=200))
def test_attributes_of_any_bytes_do_not_raise(data: bytes):
    for value in attributes(data).values():
        assert len(value) <= len(data)


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_read_back_what_was_encoded(values: dict[int, bytes]):
    assert attributes(b"".join(attribute(kind, value) for kind, value in values.items())) == values


def test_every_namespace_is_told_how_full_the_arp_table_is_and_how_full_it_may_be():
    with NetlinkSocket() as netlink:
        table = read_neighbour_table(netlink)

    assert table.entries is not None
    assert table.limit is not None
    assert table.refusals is not None
    assert table.entries >= 0
    assert table.limit > 0


@pytest.mark.skipif(not ARP_STATISTICS.exists(), reason="shown to the machine's own namespace only")
def test_refusals_are_what_the_machines_own_statistics_call_table_fulls():
    with NetlinkSocket() as netlink:
        table = read_neighbour_table(netlink)
        header, *rows = ARP_STATISTICS.read_text(encoding="ascii").splitlines()

    assert header.split()[-1] == "table_fulls"
    assert table.refusals == sum(int(row.split()[-1], 16) for row in rows)
