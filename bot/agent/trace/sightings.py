"""Where were the probe packets seen? One packet socket in each namespace sees all its devices, both ways.

A device's incoming side is seen after XDP and before everything else; its outgoing side behind everything else:
queueing, tc and the egress hook.
"""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.agent.netns import Home
from bot.agent.trace.packets import HEADER6_BYTES, ICMP, ICMP6, MSS_BASE, MSS_SPAN, TCP, UDP, Fingerprints, Mark
from bot.agent.traced import Leg, Sighting, TraceFlow, Tunnel

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
PACKET_OUTGOING = 4
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
BUFFER_BYTES = 4 << 20
SNAP_BYTES = 160
TIMESPEC = struct.Struct("=qq")
SOCKADDR_LL = struct.Struct("=HHiHBB8s")
BLOCK = 128
"""Source ports of one trace, all its flows together."""
MOST = 20_000
"""Packets read of one namespace: a trace must end, whatever loops."""
PORTS_AT = (20, 22, 24, 28, 40, 42, 44, 48, 50, 52, 70, 72, 74, 78, 80, 82, 86, 90, 92, 98, 100, 106, 108)
"""Where a port, an identifier or a DNS question's number stands: plain, inside IPIP, quoted in an ICMP error, in VXLAN
(IPv4, IPv6), quoted in that; of Geneve with one option of eight bytes, as OVN writes it, each eight further."""
PORTS6_AT = (40, 42, 44, 48, 88, 90, 92, 98, 110, 112, 118)
"""The same behind IPv6's header: plain, quoted in an ICMP error or (IPv4) inside VXLAN, IPv6 inside VXLAN."""
MSS_AT = (42, 62, 92, 100, 112)
"""Where a first TCP packet offers its segment size: plain, inside IPIP, VXLAN, Geneve, IPv6 inside VXLAN."""
MSS6_AT = (62, 112, 132)
SYN_OR_RESET = 0x06
ICMP4_ECHOES, ICMP6_INFORMATION = 8, 128
"""From these types on ICMP asks or tells; below are its errors, and IPv4's answer to an echo (0)."""
MOST_TARGETS = 16
"""Whose answers are heard under whatever port: more would make jumps longer than a filter's can be."""
_libc = ctypes.CDLL(None, use_errno=True)

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _SUBTRACT, _RETURN = 0x20, 0x28, 0x30, 0x14, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_PROTOCOL = 0xFFFFF000
"""SKF_AD_OFF + SKF_AD_PROTOCOL."""

_TO_REFUSE, _TO_ACCEPT = -1, -2
"""Jumps to the end."""
_line = tuple[int, int, int, int]
_key = tuple[int, str, bool, Leg, Tunnel]


@dataclass(slots=True)
class _Seen:
    places: set[int] = field(default_factory=set[int])
    unplaced: int = 0
    first_at: float = 0.0
    src: str = ""
    dst: str = ""
    hops_left: int = 0


class Sniffer:
    """Hears from the moment it is made. OSError where packet sockets are refused."""

    def __init__(self, home: Home, netns_fd: int, label: str, flows: Sequence[TraceFlow]) -> None:
        self.label = label
        with home.visiting(netns_fd):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setblocking(False)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            _attach(self._socket, socket_filter(flows))
            _bind(self._socket)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()

    def sightings(self, fingerprints: Fingerprints, began_at: float) -> tuple[Sighting, ...]:
        """What was seen, in order of the first packet. `began_at`: Unix time that milliseconds count from."""
        seen: dict[_key, _Seen] = {}
        for dev, is_out, at, packet in self._packets():
            if mark := fingerprints.identify(packet):
                one = seen.setdefault((mark.flow, dev, is_out, mark.leg, mark.tunnel), _Seen())
                _note(one, mark, at)
        found = [
            Sighting(
                flow=flow,
                netns=self.label,
                dev=dev,
                is_out=is_out,
                leg=leg,
                tunnel=tunnel,
                count=len(one.places) or one.unplaced,
                first_ms=round((one.first_at - began_at) * 1000, 3),
                src=one.src,
                dst=one.dst,
                hops_left=one.hops_left,
            )
            for (flow, dev, is_out, leg, tunnel), one in seen.items()
        ]
        return tuple(sorted(found, key=lambda one: one.first_ms))

    def _packets(self) -> Iterator[tuple[str, bool, float, bytes]]:
        """(device, whether it leaves, Unix time, bytes from the network header on)."""
        for _ in range(MOST):
            try:
                data, ancillary, _, (dev, _, kind, *_) = self._socket.recvmsg(SNAP_BYTES, 64)
            except OSError:
                return
            yield dev, kind == PACKET_OUTGOING, _stamp(ancillary), data


def _stamp(ancillary: Sequence[tuple[int, int, bytes]]) -> float:
    """The kernel's time of the packet."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            return seconds + nanoseconds / 1e9
    return 0.0


def _note(seen: _Seen, mark: Mark, at: float) -> None:
    if not seen.first_at:
        seen.first_at, seen.src, seen.dst, seen.hops_left = at, mark.src, mark.dst, mark.hops_left
    if mark.at < 0:
        seen.unplaced += 1
    else:
        seen.places.add(mark.at)


def socket_filter(flows: Sequence[TraceFlow]) -> bytes:
    """Classic BPF: IP with one of our ports, lengths or segment sizes anywhere that it may stand; also answers from an
    address that is dialled, and ICMP errors: these may go to a port that masquerading chose.

    A load behind the end of a packet refuses it, so the checks go by offset.
    """
    first = min(flow.first_port for flow in flows)
    lengths = sorted({flow.length for flow in flows if flow.length})
    of_ipv4 = [
        *_lengths(2, lengths),
        *_tcp_answers(9, 33, 12, _targets(flows, "tcp", socket.AF_INET)),
        *_udp_answers(9, 12, _targets(flows, "udp", socket.AF_INET)),
        *_icmp_errors(9, ICMP, 20, ICMP4_ECHOES),
        *_numbers(PORTS_AT, first, MSS_AT),
    ]
    of_ipv6 = [
        *_lengths(4, [length - HEADER6_BYTES for length in lengths]),
        *_tcp_answers(6, 53, 20, _targets(flows, "tcp", socket.AF_INET6)),
        *_udp_answers(6, 20, _targets(flows, "udp", socket.AF_INET6)),
        *_icmp_errors(6, ICMP6, 40, ICMP6_INFORMATION),
        *_numbers(PORTS6_AT, first, MSS6_AT),
    ]
    lines: list[_line] = [(_LOAD_WORD, 0, 0, _PROTOCOL), (_IF_EQUAL, 0, len(of_ipv4) + 1, ETH_P_IP)]
    lines += [*of_ipv4, (_RETURN, 0, 0, 0), (_IF_EQUAL, 0, _TO_REFUSE, ETH_P_IPV6), *of_ipv6]
    refuse, accept = len(lines), len(lines) + 1
    goal = {_TO_REFUSE: refuse, _TO_ACCEPT: accept}
    code = [
        (kind, goal[yes] - at - 1 if yes < 0 else yes, goal[no] - at - 1 if no < 0 else no, value)
        for at, (kind, yes, no, value) in enumerate(lines)
    ]
    code += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, SNAP_BYTES)]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def _lengths(at: int, lengths: Sequence[int]) -> Iterator[_line]:
    for length in lengths:
        yield _LOAD_HALF, 0, 0, at
        yield _IF_EQUAL, _TO_ACCEPT, 0, length


def _numbers(ports_at: Sequence[int], first_port: int, sizes_at: Sequence[int]) -> Iterator[_line]:
    """Ports and segment sizes, by offset."""
    ports = ((at, first_port, BLOCK) for at in ports_at)
    sizes = ((at, MSS_BASE, MSS_SPAN) for at in sizes_at)
    for at, first, count in sorted([*ports, *sizes]):
        yield _LOAD_HALF, 0, 0, at
        yield _SUBTRACT, 0, 0, first
        yield _IF_AT_LEAST, 0, _TO_ACCEPT, count


def _targets(flows: Sequence[TraceFlow], protocol: str, family: int) -> list[int]:
    """The last four bytes of each address that is dialled by a protocol or stands behind one.

    Not those of name servers: they answer everybody, and the number of the question tells their answers.
    """
    sources = {flow.addresses[0] for flow in flows}
    asked = [flow for flow in flows if flow.protocol == protocol and not flow.question]
    addresses = dict.fromkeys(ip for flow in asked for ip in (flow.ip, *flow.addresses[1:]) if ip not in sources)
    known = (socket.inet_pton(family, ip) for ip in addresses if (":" in ip) is (family == socket.AF_INET6))
    return list(dict.fromkeys(struct.unpack("!I", ip[-4:])[0] for ip in known))[:MOST_TARGETS]


def _tcp_answers(protocol_at: int, flags_at: int, source_at: int, targets: Sequence[int]) -> Iterator[_line]:
    """SYN and ACK together, and resets."""
    if targets:
        yield _LOAD_BYTE, 0, 0, protocol_at
        yield _IF_EQUAL, 0, len(targets) + 3, TCP
        yield _LOAD_BYTE, 0, 0, flags_at
        yield _IF_ANY_BIT, 0, len(targets) + 1, SYN_OR_RESET
        yield _LOAD_WORD, 0, 0, source_at
        for target in targets:
            yield _IF_EQUAL, _TO_ACCEPT, 0, target


def _udp_answers(protocol_at: int, source_at: int, targets: Sequence[int]) -> Iterator[_line]:
    """Datagrams from there."""
    if targets:
        yield _LOAD_BYTE, 0, 0, protocol_at
        yield _IF_EQUAL, 0, len(targets) + 1, UDP
        yield _LOAD_WORD, 0, 0, source_at
        for target in targets:
            yield _IF_EQUAL, _TO_ACCEPT, 0, target


def _icmp_errors(protocol_at: int, protocol: int, type_at: int, others: int) -> Iterator[_line]:
    """ICMP with none of the types that are no errors: those from `others` on, and the answer to an echo."""
    yield _LOAD_BYTE, 0, 0, protocol_at
    yield _IF_EQUAL, 0, 3, protocol
    yield _LOAD_BYTE, 0, 0, type_at
    yield _IF_EQUAL, 1, 0, 0
    yield _IF_AT_LEAST, 0, _TO_ACCEPT, others


def _attach(sock: socket.socket, code: bytes) -> None:
    text = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(code) // 8, ctypes.addressof(text)))


def _bind(sock: socket.socket) -> None:
    """To all devices, which `socket.bind` has no word for."""
    address = SOCKADDR_LL.pack(socket.AF_PACKET, socket.htons(ETH_P_ALL), 0, 0, 0, 0, b"")
    if _libc.bind(sock.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "bind of a packet socket")
