"""Which probe packet is this? Told by source port (ICMP: identifier) or by what it carries, also inside a tunnel.

VXLAN, Geneve and IPIP; both families, on an underlay of either. Packets with extension headers of IPv6 are nobody's.

Ports survive what DNAT does to a destination. Masquerading gives a source another port, as kube-proxy and Flannel do
(fully random): then a first TCP packet is known by the maximum segment size that it offers, a DNS question and its
answer by their number, any other datagram by its length. What a source was changed to is remembered: answers and ICMP
errors are told by it. Nothing of this survives fragmentation, GSO or encryption.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bot.agent.traced import Leg, TraceFlow, Tunnel

IPIP, ICMP, TCP, UDP, ICMP6 = 4, 1, 6, 17, 58
PROTOCOLS = {"icmp": frozenset({ICMP, ICMP6}), "tcp": frozenset({TCP}), "udp": frozenset({UDP})}
ECHO = {ICMP: 8, ICMP6: 128}
ECHO_REPLY = {ICMP: 0, ICMP6: 129}
ICMP_ERRORS = {ICMP: frozenset({3, 11, 12}), ICMP6: frozenset({1, 2, 3, 4})}
ICMP_HEADER_BYTES = 8
VXLAN_BYTES = 8 + 8 + 14
"""UDP, VXLAN, Ethernet."""
VXLAN_FLAG = 0x08
GENEVE_ETHERNET = b"\x65\x58"
"""Geneve's type of what it carries; options of four bytes each stand before it."""
ETHERTYPES = (b"\x08\x00", b"\x86\xdd")
HEADER_BYTES = 20
HEADER6_BYTES = 40
DNS_ANSWER = 0x80
MSS_BASE = 1_000
"""Every path carries such segments, and hardly anybody offers so small ones."""
MSS_SPAN = 128
"""Of one trace: as many as it has source ports."""
SYN, SYN_ACK = 0x02, 0x12
MSS_OPTION = b"\x02\x04"
"""Linux writes it first."""
ANY = -1
"""The place in its series is not known: it was recognised by its length alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a packet is, and the addresses that it carries by now: of one in a tunnel, the tunnel's."""

    flow: int
    at: int
    """Its place in the series, or ANY."""
    leg: Leg
    tunnel: Tunnel = ""
    src: str
    dst: str
    hops_left: int = 0
    """Its time to live, or hop limit."""


_tuple = tuple[int, str, int, str, int]
"""Protocol, source, its port, destination, its port."""
_Found = tuple[Leg, int, int, int]
"""Leg, place in the series, source port, destination port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    protocol: int
    length: int
    src: str
    dst: str
    hops_left: int
    body: int
    """Where the payload starts."""


class Fingerprints:
    """The series that are followed, and under which addresses they went on."""

    def __init__(self, flows: Sequence[TraceFlow]) -> None:
        self._flows = flows
        self._changed: dict[_tuple, tuple[int, int]] = {}
        """Requests with another source port than they were sent from: (flow, place)."""

    def identify(self, packet: bytes) -> Mark | None:
        """The mark of a packet that starts with its IP header; None for everybody else's."""
        header = _header(packet, 0)
        if header is None:
            return None
        if found := self._match(packet, header, ""):
            return found
        for tunnel, at, port in _tunnels(packet, header):
            if (inner := _header(packet, at)) and (found := self._match(packet, inner, tunnel)):
                return replace(found, src=header.src, dst=_with_port(header.dst, port))
        return None

    def may_be_ours(self, packet: bytes) -> bool:
        """Whether one of its addresses is that of a series: an answer that `identify` knows once it saw the request."""
        header = _header(packet, 0)
        return header is not None and any({header.src, header.dst} & set(flow.addresses) for flow in self._flows)

    def _match(self, packet: bytes, header: _Header, tunnel: Tunnel) -> Mark | None:
        if _byte(packet, header.body) in ICMP_ERRORS.get(header.protocol, ()):
            quoted = _header(packet, header.body + ICMP_HEADER_BYTES)
            about = self._match(packet, quoted, tunnel) if quoted else None
            if about is None:
                return None
            return Mark(flow=about.flow, at=about.at, leg="error", tunnel=tunnel, src=header.src, dst=header.dst)
        for flow in self._flows:
            if place := self._place(packet, header, flow):
                leg, at, src_port, dst_port = place
                if leg == "request" and src_port and src_port != flow.first_port + at:
                    self._changed[header.protocol, header.src, src_port, header.dst, dst_port] = flow.number, at
                return Mark(
                    flow=flow.number,
                    at=at,
                    leg=leg,
                    tunnel=tunnel,
                    src=_with_port(header.src, src_port),
                    dst=_with_port(header.dst, dst_port),
                    hops_left=header.hops_left,
                )
        return None

    def _place(self, packet: bytes, header: _Header, flow: TraceFlow) -> _Found | None:
        if header.protocol not in PROTOCOLS[flow.protocol] or {header.src, header.dst}.isdisjoint(flow.addresses):
            return None
        return (
            _by_port(packet, header, flow)
            or self._by_changed(packet, header, flow)
            or _by_content(packet, header, flow)
        )

    def _by_changed(self, packet: bytes, header: _Header, flow: TraceFlow) -> _Found | None:
        """By addresses that one of the flow's was changed to."""
        first, second = _short(packet, header.body), _short(packet, header.body + 2)
        there = self._changed.get((header.protocol, header.src, first, header.dst, second))
        back = self._changed.get((header.protocol, header.dst, second, header.src, first))
        if there and there[0] == flow.number:
            return "request", there[1], first, second
        if back and back[0] == flow.number:
            return "reply", back[1], first, second
        return None


def offered_mss(port: int) -> int:
    """The maximum segment size that the TCP packet from this source port offers."""
    return MSS_BASE + port % MSS_SPAN


def _tunnels(packet: bytes, header: _Header) -> Iterator[tuple[Tunnel, int, int]]:
    """(kind, where the inner packet starts, UDP port) of what the packet may carry in it."""
    if header.protocol == IPIP:
        yield "ipip", header.body, 0
    elif header.protocol == UDP:
        port = _short(packet, header.body + 2)
        if _is_vxlan(packet, header.body):
            yield "vxlan", header.body + VXLAN_BYTES, port
        options = _geneve_options(packet, header.body)
        if options is not None:
            yield "geneve", header.body + VXLAN_BYTES + options, port


def _by_port(packet: bytes, header: _Header, flow: TraceFlow) -> _Found | None:
    """By the port that it was sent from; an echo by its identifier, or its length."""
    first, second = _short(packet, header.body), _short(packet, header.body + 2)
    if header.protocol in ECHO:
        echo, answer = ECHO[header.protocol], ECHO_REPLY[header.protocol]
        ident, sequence = _short(packet, header.body + 4), _short(packet, header.body + 6)
        leg: Leg = "request" if first >> 8 == echo else "reply"
        is_ours = first >> 8 in {echo, answer} and (ident == flow.first_port or header.length == flow.length)
        return (leg, sequence, 0, 0) if is_ours and 0 <= sequence < flow.count else None
    if 0 <= first - flow.first_port < flow.count:
        return "request", first - flow.first_port, first, second
    if 0 <= second - flow.first_port < flow.count:
        return "reply", second - flow.first_port, first, second
    return None


def _by_content(packet: bytes, header: _Header, flow: TraceFlow) -> _Found | None:
    """By what no change of addresses changes."""
    if header.protocol in ECHO:
        return None
    found = _by_segment_size(packet, header, flow) if header.protocol == TCP else _by_payload(packet, header, flow)
    return (*found, _short(packet, header.body), _short(packet, header.body + 2)) if found else None


def _by_segment_size(packet: bytes, header: _Header, flow: TraceFlow) -> tuple[Leg, int] | None:
    at = _short(packet, header.body + 22) - offered_mss(flow.first_port)
    is_first = _byte(packet, header.body + 13) & SYN_ACK == SYN
    is_ours = is_first and packet[header.body + 20 : header.body + 22] == MSS_OPTION and 0 <= at < flow.count
    return ("request", at) if is_ours else None


def _by_payload(packet: bytes, header: _Header, flow: TraceFlow) -> tuple[Leg, int] | None:
    at = _short(packet, header.body + 8) - flow.first_port
    is_dns = flow.port in {_short(packet, header.body), _short(packet, header.body + 2)}
    if flow.question and is_dns and 0 <= at < flow.count:
        return "reply" if _byte(packet, header.body + 10) & DNS_ANSWER else "request", at
    return ("request", ANY) if header.length == flow.length else None


def _header(packet: bytes, at: int) -> _Header | None:
    version = _byte(packet, at) >> 4
    if version == 6 and len(packet) >= at + HEADER6_BYTES + 4:
        return _Header(
            protocol=packet[at + 6],
            length=_short(packet, at + 4) + HEADER6_BYTES,
            src=socket.inet_ntop(socket.AF_INET6, packet[at + 8 : at + 24]),
            dst=socket.inet_ntop(socket.AF_INET6, packet[at + 24 : at + 40]),
            hops_left=packet[at + 7],
            body=at + HEADER6_BYTES,
        )
    if version != 4 or len(packet) < at + HEADER_BYTES + 4:
        return None
    return _Header(
        protocol=packet[at + 9],
        length=_short(packet, at + 2),
        src=socket.inet_ntoa(packet[at + 12 : at + 16]),
        dst=socket.inet_ntoa(packet[at + 16 : at + 20]),
        hops_left=packet[at + 8],
        body=at + (packet[at] & 15) * 4,
    )


def _is_vxlan(packet: bytes, at: int) -> bool:
    """Whether UDP carries VXLAN with IP in it, on whatever port: the port may be what is wrong."""
    end = at + VXLAN_BYTES
    return _byte(packet, at + 8) & VXLAN_FLAG != 0 and packet[end - 2 : end] in ETHERTYPES


def _geneve_options(packet: bytes, at: int) -> int | None:
    """Bytes of the options of Geneve with IP in Ethernet in it; None for anything else."""
    options = (_byte(packet, at + 8) & 0x3F) * 4
    end = at + VXLAN_BYTES + options
    is_geneve = _byte(packet, at + 8) >> 6 == 0 and packet[at + 10 : at + 12] == GENEVE_ETHERNET
    return options if is_geneve and packet[end - 2 : end] in ETHERTYPES else None


def _byte(packet: bytes, at: int) -> int:
    return packet[at] if at < len(packet) else 0


def _short(packet: bytes, at: int) -> int:
    return struct.unpack_from("!H", packet, at)[0] if at + 2 <= len(packet) else 0


def _with_port(ip: str, port: int) -> str:
    if not port:
        return ip
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
