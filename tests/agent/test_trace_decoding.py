"""What is told from bytes and texts: packets of a series, places of a stack, types of a kernel, lines of a trace."""

import os
import socket
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.agent.report import Firewall, FirewallRule
from bot.agent.trace.btf import Btf, BtfError
from bot.agent.trace.counting import moves, refusals, rule_moves
from bot.agent.trace.packets import ANY, Fingerprints, Mark, offered_mss
from bot.agent.trace.sightings import socket_filter
from bot.agent.trace.symbols import Place, names_of, place_of, read_symbols
from bot.agent.trace.tracefs import DropTrace, parse_trace
from bot.agent.traced import CounterMove, Refusals, RuleMove, TraceFlow

SOURCE, SERVICE, BACKEND = "10.42.0.10", "10.43.0.1", "10.42.1.10"
FIRST = 61_440
UDP_FLOW = TraceFlow(
    number=1,
    node="node-1",
    source="u",
    ip=SERVICE,
    port=53,
    protocol="udp",
    addresses=(SOURCE, SERVICE, BACKEND),
    count=17,
    first_port=FIRST,
    length=700,
)
TCP_FLOW = TraceFlow(
    number=2,
    node="node-1",
    source="u",
    ip=SERVICE,
    port=80,
    protocol="tcp",
    addresses=(SOURCE, SERVICE, BACKEND),
    count=13,
    first_port=FIRST + 32,
)
ICMP_FLOW = TraceFlow(
    number=3,
    node="node-1",
    source="u",
    ip=BACKEND,
    protocol="icmp",
    addresses=(SOURCE, BACKEND),
    count=11,
    first_port=FIRST + 64,
    length=300,
)
SOURCE6, BACKEND6, ROUTER6 = "fd00::10", "fd00:1::10", "fd00::1"
UDP6_FLOW = replace(UDP_FLOW, number=4, ip=BACKEND6, addresses=(SOURCE6, BACKEND6), first_port=FIRST + 96, length=740)
FLOWS = (UDP_FLOW, TCP_FLOW, ICMP_FLOW, UDP6_FLOW)


def ip(src: str, dst: str, protocol: int, body: bytes, length: int = 0) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, length or 20 + len(body), 0, 0, 64, protocol, 0)
    return header + socket.inet_aton(src) + socket.inet_aton(dst) + body


def ip6(src: str, dst: str, protocol: int, body: bytes, length: int = 0) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, (length - 40) if length else len(body), protocol, 64)
    return header + socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + body


def udp6(src: str, dst: str, sport: int, dport: int, length: int = 740) -> bytes:
    return ip6(src, dst, 17, struct.pack("!HHHH", sport, dport, length - 40, 0) + bytes(40), length)


def udp(src: str, dst: str, sport: int, dport: int, length: int = 700) -> bytes:
    return ip(src, dst, 17, struct.pack("!HHHH", sport, dport, length - 20, 0) + bytes(40), length)


def tcp(src: str, dst: str, sport: int, dport: int) -> bytes:
    return ip(src, dst, 6, struct.pack("!HH", sport, dport) + bytes(36))


def echo(src: str, dst: str, kind: int, ident: int, sequence: int) -> bytes:
    return ip(src, dst, 1, struct.pack("!BBHHH", kind, 0, 0, ident, sequence) + bytes(20), 300)


def vxlan(inner: bytes, port: int = 8472) -> bytes:
    ethernet = bytes(12) + (b"\x86\xdd" if inner[0] >> 4 == 6 else b"\x08\x00")
    return ip(
        "172.30.0.11",
        "172.30.0.12",
        17,
        struct.pack("!HHHH", 40000, port, 0, 0) + b"\x08" + bytes(7) + ethernet + inner,
    )


def geneve(inner: bytes, options: bytes = b"") -> bytes:
    ethernet = bytes(12) + (b"\x86\xdd" if inner[0] >> 4 == 6 else b"\x08\x00")
    head = bytes([len(options) // 4, 0]) + b"\x65\x58" + bytes(4) + options
    return ip("172.30.0.11", "172.30.0.12", 17, struct.pack("!HHHH", 40000, 6081, 0, 0) + head + ethernet + inner)


REQUEST = udp(SOURCE, BACKEND, FIRST + 3, 5353)
REQUEST6 = udp6(SOURCE6, BACKEND6, FIRST + 99, 5353)
ENDS6 = (f"[{SOURCE6}]:{FIRST + 99}", f"[{BACKEND6}]:5353")
ERROR6 = ip6(ROUTER6, SOURCE6, 58, struct.pack("!BBHI", 1, 4, 0, 0) + REQUEST6)


def seen(at: int, leg: str, tunnel: str, src: str, dst: str, flow: int = 1) -> tuple[object, ...]:
    return flow, at, leg, tunnel, src, dst


HERE, THERE = "172.30.0.11", "172.30.0.12"
CLIENT, SERVER = f"{SOURCE}:{FIRST + 3}", f"{BACKEND}:5353"
ERROR = ip("172.30.0.1", SOURCE, 1, struct.pack("!BBHI", 3, 1, 0, 0) + REQUEST)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(REQUEST, seen(3, "request", "", CLIENT, SERVER), id="behind DNAT"),
        pytest.param(
            udp(BACKEND, SOURCE, 53, FIRST), seen(0, "reply", "", f"{BACKEND}:53", f"{SOURCE}:{FIRST}"), id="reply"
        ),
        pytest.param(
            udp("172.30.0.11", SERVICE, 1025, 53),
            seen(ANY, "request", "", "172.30.0.11:1025", f"{SERVICE}:53"),
            id="masqueraded",
        ),
        pytest.param(udp("172.30.0.11", SERVICE, 1025, 53, 701), None, id="another length and port"),
        pytest.param(udp("10.42.9.9", "10.42.9.8", FIRST + 3, 53), None, id="strangers on our port"),
        pytest.param(
            tcp(SOURCE, SERVICE, FIRST + 32, 80),
            seen(0, "request", "", f"{SOURCE}:{FIRST + 32}", f"{SERVICE}:80", flow=2),
            id="tcp",
        ),
        pytest.param(tcp(SOURCE, SERVICE, FIRST + 3, 80), None, id="a port of another protocol's series"),
        pytest.param(
            echo(SOURCE, BACKEND, 8, FIRST + 64, 10), seen(10, "request", "", SOURCE, BACKEND, flow=3), id="echo"
        ),
        pytest.param(
            echo(BACKEND, SOURCE, 0, FIRST + 64, 10), seen(10, "reply", "", BACKEND, SOURCE, flow=3), id="echo reply"
        ),
        pytest.param(echo(SOURCE, BACKEND, 8, FIRST + 64, 11), None, id="beyond the series"),
        pytest.param(vxlan(REQUEST), seen(3, "request", "vxlan", HERE, f"{THERE}:8472"), id="vxlan"),
        pytest.param(
            vxlan(REQUEST, 9999),
            seen(3, "request", "vxlan", HERE, f"{THERE}:9999"),
            id="vxlan on a wrong port",
        ),
        pytest.param(
            ip("172.30.0.11", "172.30.0.12", 4, REQUEST),
            seen(3, "request", "ipip", "172.30.0.11", "172.30.0.12"),
            id="ipip",
        ),
        pytest.param(ERROR, seen(3, "error", "", "172.30.0.1", SOURCE), id="icmp error"),
        pytest.param(geneve(REQUEST), seen(3, "request", "geneve", HERE, f"{THERE}:6081"), id="geneve"),
        pytest.param(
            geneve(REQUEST, bytes(8)), seen(3, "request", "geneve", HERE, f"{THERE}:6081"), id="geneve with an option"
        ),
        pytest.param(
            geneve(REQUEST6), seen(3, "request", "geneve", HERE, f"{THERE}:6081", flow=4), id="IPv6 in geneve"
        ),
        pytest.param(REQUEST6, seen(3, "request", "", *ENDS6, flow=4), id="IPv6"),
        pytest.param(
            udp6(ROUTER6, BACKEND6, 1025, 5353),
            seen(ANY, "request", "", f"[{ROUTER6}]:1025", ENDS6[1], flow=4),
            id="IPv6 masqueraded",
        ),
        pytest.param(vxlan(REQUEST6), seen(3, "request", "vxlan", HERE, f"{THERE}:8472", flow=4), id="IPv6 in vxlan"),
        pytest.param(ERROR6, seen(3, "error", "", ROUTER6, SOURCE6, flow=4), id="icmp error of IPv6"),
        pytest.param(udp6("fd00:9::1", "fd00:9::2", FIRST + 99, 53), None, id="strangers over IPv6"),
        pytest.param(REQUEST6[:42], None, id="IPv6 cut"),
        pytest.param(b"\x45\x00", None, id="cut"),
        pytest.param(bytes(100), None, id="no IP"),
    ],
)
def test_packets_of_a_series(packet: bytes, expected: tuple[object, ...] | None) -> None:
    mark = Fingerprints(FLOWS).identify(packet)

    assert (mark and (mark.flow, mark.at, mark.leg, mark.tunnel, mark.src, mark.dst)) == expected
    assert mark is None or isinstance(mark, Mark)


SYN = tcp(SOURCE, SERVICE, FIRST + 32, 80)


def is_heard(packet: bytes) -> bool:
    """What the kernel makes of the socket's filter: classic BPF, as far as this one needs it."""
    lines = list(struct.iter_unpack("=HBBI", socket_filter((UDP_FLOW, TCP_FLOW, ICMP_FLOW, UDP6_FLOW))))
    register = at = 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        match code:
            case 0x20 if value >= 0xFFFFF000:  # the packet's protocol
                register = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
            case 0x20 | 0x28 | 0x30:
                size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
                if value + size > len(packet):
                    return False
                register = int.from_bytes(packet[value : value + size], "big")
            case 0x45:
                at += yes if register & value else no
            case 0x14:
                register = (register - value) % (1 << 32)
            case 0x15:
                at += yes if register == value else no
            case 0x35:
                at += yes if register >= value else no
            case 0x06:
                return value > 0
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize(
    "packet",
    [
        *(
            wrap(one)
            for wrap in (bytes, vxlan, geneve)
            for one in (REQUEST, REQUEST6, tcp(SOURCE, SERVICE, FIRST + 32, 80))
        ),
        geneve(REQUEST, bytes(8)),
        ip(HERE, THERE, 4, REQUEST),
        ERROR,
        ERROR6,
        udp(HERE, SERVICE, 1025, 53),
        udp6(ROUTER6, BACKEND6, 1025, 5353),
        echo(SOURCE, BACKEND, 8, FIRST + 64, 10),
    ],
)
def test_the_socket_hears_all_that_is_told_apart_later(packet: bytes) -> None:
    assert Fingerprints(FLOWS).identify(packet)
    assert is_heard(packet)


FIRST_PACKET = struct.pack("!IIBBHHH", 1, 0, 0x60, 0x02, 65_000, 0, 0)
"""Of TCP, behind the ports: SYN, with one word of options."""


def syn(src: str, dst: str, sport: int, dport: int, mss: int) -> bytes:
    return ip(src, dst, 6, struct.pack("!HH", sport, dport) + FIRST_PACKET + struct.pack("!BBH", 2, 4, mss))


def question(src: str, dst: str, sport: int, dport: int, number: int, flags: int = 0) -> bytes:
    return ip(src, dst, 17, struct.pack("!HHHHHH", sport, dport, 40, 0, number, flags) + bytes(40))


MASQUERADED = syn(HERE, SERVICE, 1025, 80, offered_mss(FIRST + 32 + 4))
ANSWERS = (
    ip(SERVICE, HERE, 6, struct.pack("!HH", 80, 1025) + struct.pack("!IIBBHHH", 1, 2, 0x50, 0x12, 65_000, 0, 0)),
    ip(SERVICE, HERE, 6, struct.pack("!HH", 80, 1025) + struct.pack("!IIBBHHH", 1, 2, 0x50, 0x14, 65_000, 0, 0)),
    ip(THERE, HERE, 1, struct.pack("!BBHI", 3, 10, 0, 0) + MASQUERADED[:28]),
)
"""Accepted, reset, refused by a firewall on the way."""


@pytest.mark.parametrize(("answer", "leg"), list(zip(ANSWERS, ("reply", "reply", "error"), strict=True)))
def test_a_masqueraded_tcp_packet_is_told_by_its_segment_size_and_its_answer_by_the_addresses(
    answer: bytes, leg: str
) -> None:
    known = Fingerprints(FLOWS)

    before, request, after = (known.identify(packet) for packet in (answer, MASQUERADED, answer))

    assert before is None
    assert request
    assert after
    assert [(one.flow, one.at, one.leg) for one in (request, after)] == [(2, 4, "request"), (2, 4, leg)]
    assert all(map(is_heard, (MASQUERADED, answer)))


@pytest.mark.parametrize(
    "packet",
    [
        syn(HERE, SERVICE, 1025, 80, offered_mss(FIRST + 32) + 13),
        syn(HERE, SERVICE, 1025, 80, 1460),
        syn("10.42.9.9", "10.42.9.8", 1025, 80, offered_mss(FIRST + 32)),
        ip(HERE, SERVICE, 6, struct.pack("!HH", 1025, 80) + bytes(16)),
    ],
)
def test_tcp_of_others_is_nobodys(packet: bytes) -> None:
    assert Fingerprints(FLOWS).identify(packet) is None


def test_a_masqueraded_dns_question_and_its_answer_are_told_by_their_number() -> None:
    known = Fingerprints((replace(UDP_FLOW, question="kubernetes.default.svc.cluster.local"),))
    packets = (
        question(HERE, SERVICE, 1025, 53, FIRST + 6),
        question(SERVICE, HERE, 53, 2048, FIRST + 7, 0x8180),
    )

    found = [known.identify(packet) for packet in packets]

    assert [(one.at, one.leg) for one in found if one] == [(6, "request"), (7, "reply")]
    assert all(map(is_heard, packets))


def test_the_largest_filter_has_no_jump_that_is_too_long() -> None:
    """A jump has eight bits: packing a longer one would raise."""
    flows = tuple(
        replace(flow, length=700 + at, addresses=(*flow.addresses, *(f"10.44.{at}.{n}" for n in range(30)), *many6(at)))
        for at, flow in enumerate((UDP_FLOW, UDP_FLOW, ICMP_FLOW, UDP6_FLOW))
    )

    assert len(socket_filter(flows)) // 8 <= 256


def many6(at: int) -> list[str]:
    return [f"fd00:{at:x}::{n:x}" for n in range(1, 31)]


def test_the_socket_hears_nothing_of_others() -> None:
    assert not is_heard(tcp("10.42.9.9", "10.42.9.8", 1025, 80))
    assert not is_heard(tcp(SERVICE, HERE, 80, 1025))
    assert not is_heard(ip("10.42.9.9", "10.42.9.8", 1, bytes(64)))
    assert not is_heard(udp("10.42.9.9", "10.42.9.8", 1025, 53, 701))
    assert not is_heard(udp6("fd00:9::1", "fd00:9::2", 1025, 53, 741))


TAP = ("bpf_prog_0123456789abcdef", "bpf_trace_run4", "__traceiter_kfree_skb", "sk_skb_reason_drop")


@pytest.mark.parametrize(
    ("stack", "location", "expected"),
    [
        (("nft_do_chain", "nft_do_chain_inet", "nf_hook_slow", "ip_forward"), "", ("nft_do_chain", "forward", "inet")),
        (("nft_do_chain", "nft_do_chain_ipv4", "nf_hook_slow", "__ip_local_out"), "", ("nft_do_chain", "output", "ip")),
        (
            ("nft_do_chain", "nft_do_chain_netdev", "nf_hook_slow", "__netif_receive_skb_core"),
            "",
            ("nft_do_chain", "ingress", "netdev"),
        ),
        (
            ("nft_do_chain", "nft_do_chain_bridge", "nf_hook_slow", "__br_forward"),
            "",
            ("nft_do_chain", "forward", "bridge"),
        ),
        (("nf_hook_slow", "ip_rcv"), "nf_hook_slow", ("nf_hook_slow", "prerouting", "")),
        (("nf_hook_slow", "br_nf_forward_ip"), "", ("nf_hook_slow", "forward", "")),
        (("nf_hook_slow", "br_handle_frame"), "", ("nf_hook_slow", "prerouting", "bridge")),
        (("ip_error", "ip_sublist_rcv_finish"), "", ("ip_error", "", "")),
        (("__dev_queue_xmit", "ip_finish_output2"), "__dev_queue_xmit", ("__dev_queue_xmit", "", "")),
        ((), "", ("", "", "")),
    ],
)
def test_a_stack_says_which_hook_took_the_packet(
    stack: tuple[str, ...], location: str, expected: tuple[str, ...]
) -> None:
    place = place_of((*TAP, *stack), location)

    assert (place.symbol, place.hook, place.family, place.stack) == (*expected, stack)


def test_functions_are_found_by_address_and_hidden_addresses_by_nothing(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_text(
        "ffffffff81000000 T ip_forward\nffffffff81000100 t nft_do_chain.constprop.0\nffffffff81000180 d data\n"
        "ffffffffc0000000 t nf_hook\t[nf_tables]\n"
    )

    found = names_of([0xFFFFFFFF81000010, 0xFFFFFFFF81000190, 0xFFFFFFFFC0000000, 5], read_symbols(str(table)))

    assert sorted(found.values()) == ["ip_forward", "nf_hook", "nft_do_chain"]
    table.write_text("0000000000000000 T ip_forward\n")
    assert names_of([0xFFFFFFFF81000010], read_symbols(str(table))) == {}


def types() -> bytes:
    """A kernel with `struct net {{ int a; struct {{ int b; }}; }}` and the reasons."""
    texts = b"\0net\0a\0b\0skb_drop_reason\0SKB_DROP_REASON_TCP_CSUM\0"
    at = {name: texts.index(b"\0" + name + b"\0") + 1 for name in texts.strip(b"\0").split(b"\0")}
    body = struct.pack("<IIII", 0, 1 << 24, 4, 32)  # 1: int
    body += struct.pack("<III", 0, 4 << 24 | 1, 4) + struct.pack("<III", at[b"b"], 1, 32)  # 2: the unnamed structure
    body += struct.pack("<III", at[b"net"], 4 << 24 | 2, 12)  # 3
    body += struct.pack("<III", at[b"a"], 1, 0) + struct.pack("<III", 0, 2, 32)
    body += struct.pack("<III", at[b"skb_drop_reason"], 6 << 24 | 1, 4) + struct.pack(
        "<Ii", at[b"SKB_DROP_REASON_TCP_CSUM"], 5
    )
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(texts)) + body + texts


def test_offsets_and_reasons_come_from_the_kernels_types() -> None:
    btf = Btf(types(), ["net"])

    assert (btf.offset("net", "a"), btf.offset("net", "b")) == (0, 8)
    assert btf.drop_reasons == {5: "TCP_CSUM"}
    for structure, path in (("net", "c"), ("sock", "a")):
        with pytest.raises(BtfError, match=f"no {structure}.{path}"):
            btf.offset(structure, path)
    for junk in (b"", bytes(100)):
        with pytest.raises(BtfError, match="no type information"):
            Btf(junk, [])


DROPPED = "kfree_skb: skbaddr={} rx_sk=0 protocol=2048 location={}+0x1b/0x5 reason: {}"
TRACE = "\n".join(
    (
        "# tracer: nop",
        "  python3-7  [001] ..s1.  10.1: netif_receive_skb: dev=cali0 skbaddr=00000000aa len=700",
        f"  python3-7  [001] ..s1.  10.2: {DROPPED.format('00000000aa', 'nft_do_chain', 'NETFILTER_DROP')}",
        "  python3-7  [001] ..s1.  10.2: <stack trace>",
        " => kfree_skb_reason",
        " => nft_do_chain",
        " => nft_do_chain_ipv4",
        " => nf_hook_slow",
        " => ip_forward",
        "  sshd-9  [000] ..s1.  10.3: netif_receive_skb: dev=eth0 skbaddr=00000000aa len=99",
        f"  sshd-9  [000] ..s1.  10.4: {DROPPED.format('00000000aa', 'ip_error', 'NOT_SPECIFIED')}",
        f"  sshd-9  [000] ..s1.  10.5: {DROPPED.format('00000000bb', 'ip_error', 'NOT_SPECIFIED')}",
    )
)


def test_a_trace_tells_our_drops_by_length_and_address() -> None:
    drops = parse_trace(TRACE, (UDP_FLOW,), pid=8)

    assert [(one.flow, one.dev, one.reason, one.symbol, one.hook, one.family, one.count) for one in drops] == [
        (1, "cali0", "NETFILTER_DROP", "nft_do_chain", "forward", "ip", 1)
    ]


def test_a_stack_belongs_to_the_event_of_its_processor_and_is_taken_once() -> None:
    """Another processor's packet comes between, and an event that the filter leaves out leaves its stack."""
    lines = TRACE.splitlines()
    header = next(at for at, line in enumerate(lines) if "<stack trace>" in line)
    other = "  sshd-9  [000] ..s1.  10.2: netif_receive_skb: dev=eth0 skbaddr=00000000cc len=99"
    foreign = ["  python3-7  [001] ..s1.  10.25: <stack trace>", " => kfree_skb_reason", " => arp_rcv"]
    torn = [*lines[:header], other, *lines[header : header + 6], *foreign, *lines[header + 6 :]]

    assert parse_trace("\n".join(torn), (UDP_FLOW,), pid=8) == parse_trace(TRACE, (UDP_FLOW,), pid=8)


def test_a_trace_tells_tcp_by_the_process_that_sends() -> None:
    assert [one.flow for one in parse_trace(TRACE, (TCP_FLOW,), pid=7)] == [2]
    assert parse_trace(TRACE, (TCP_FLOW,), pid=8) == ()


def test_instances_of_killed_agents_are_taken_away_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    """A folder that behaves as tracefs does, but for the kernel behind it."""
    tracing = tmp_path / "sys/kernel/tracing"
    (tracing / "events/skb/kfree_skb").mkdir(parents=True)
    mine, dead = tracing / f"instances/cnibot-{os.getppid()}", tracing / "instances/cnibot-4194305"
    mine.mkdir(parents=True)
    dead.mkdir()
    with pytest.raises(FileNotFoundError, match="tracefs is not to be seen"):
        DropTrace(["/nonexistent"], (UDP_FLOW,))

    with pytest.raises(FileNotFoundError):
        DropTrace(["/nonexistent", str(tmp_path)], (UDP_FLOW,))  # Its files are not there: nothing stays behind.

    assert list((tracing / "instances").iterdir()) == [mine]


def test_only_counters_that_moved_by_exactly_a_series_are_told() -> None:
    before = {"Ip.InAddrErrors": 5, "Udp.NoPorts": 1, "Tcp.OutRsts": 0}
    after = {"Ip.InAddrErrors": 22, "Udp.NoPorts": 2, "Tcp.OutRsts": 13}

    assert list(moves((UDP_FLOW, TCP_FLOW), "node", before, after)) == [
        CounterMove(flow=1, netns="node", name="Ip.InAddrErrors"),
        CounterMove(flow=2, netns="node", name="Tcp.OutRsts"),
    ]


def test_what_takes_no_more_is_told_however_many_it_turned_away() -> None:
    before = {"TcpExt.ListenOverflows": 5, "conntrack.drop": 7, "Udp.NoPorts": 1}
    after = {"TcpExt.ListenOverflows": 25, "conntrack.drop": 7, "Udp.NoPorts": 4, "Udp.RcvbufErrors": 9}

    assert list(refusals("node", before, after)) == [
        Refusals(netns="node", name="TcpExt.ListenOverflows", count=20),
    ]


def test_rules_are_told_that_took_anything_and_only_if_they_were_read_twice() -> None:
    place: dict[str, Any] = {"backend": "nft", "family": "ip", "table": "guard", "chain": "c", "verdict": "drop"}
    took = FirewallRule(**place, text="a", packets=9, packets_delta=3)
    still = FirewallRule(**place, text="b", packets=9, packets_delta=0)
    without = FirewallRule(**place, text="c")

    assert rule_moves(None) is None
    assert rule_moves(Firewall(drops=(took, still, without))) == (
        RuleMove(family="ip", table="guard", chain="c", text="a", packets=3),
    )
    assert rule_moves(Firewall(drops=(replace(took, packets_delta=None), without))) is None


def test_a_place_without_a_hook_is_no_packet_filter() -> None:
    assert place_of(("ip_error",)) == Place(symbol="ip_error", stack=("ip_error",))
