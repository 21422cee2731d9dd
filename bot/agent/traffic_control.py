"""Queues and filters of a namespace's devices, with what each took: what `tc -s qdisc` and `tc -s filter` print.

What the kernel puts on a device by itself has the handle 0; everything else somebody wrote.

Source: include/uapi/linux/pkt_sched.h, pkt_cls.h, gen_stats.h, tc_act/tc_mirred.h, tc_act/tc_gact.h
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.agent.netlink import NetlinkSocket, attributes, text, u32
from bot.agent.report import Filter, Qdisc

RTM_NEWQDISC, RTM_GETQDISC = 36, 38
RTM_NEWTFILTER, RTM_GETTFILTER = 44, 46
TCMSG = struct.Struct("=BxxxiIII")
TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TCA_STATS_BASIC, TCA_STATS_QUEUE = 1, 3
BASIC = struct.Struct("=QI")
QUEUE = struct.Struct("=IIIII")
ROOT, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
"""TC_H_INGRESS and TC_H_CLSACT are one number."""
PLACES = {ROOT: "root", INGRESS: ""}
SIDES: Mapping[str, int] = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
GATES = ("clsact", "ingress")
"""Qdiscs that hold filters and queue nothing."""
TBF_PARMS = 1
TBF = struct.Struct("=8xI8xIII")
NETEM = struct.Struct("=IIIIII")

TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_ACT_STATS = 1, 2, 4
PARMS: Mapping[str, int] = {"gact": 2, "mirred": 2, "police": 1}
ACTIONS_AT: Mapping[str, int] = {"u32": 7, "flower": 3, "bpf": 1, "matchall": 2, "basic": 3, "fw": 4}
"""The attribute that holds a filter's actions, by its kind."""
U32_SEL = 5
BPF_NAME, BPF_FLAGS, BPF_ID = 7, 8, 11
DIRECT_ACTION = 1
"""Without it a program only classifies packets, which go on."""
FLOWER_ETH_TYPE, FLOWER_IP_PROTO = 8, 9
FLOWER_ADDRESSES = {10: "src_ip", 12: "dst_ip"}
FLOWER_PORTS = {18: "src_port", 19: "dst_port", 20: "src_port", 21: "dst_port"}
VERDICTS = {-1: "continue", 0: "pass", 2: "drop", 4: "stolen", 5: "queued", 7: "redirect", 8: "trap"}
MIRRED = {1: ("egress", "redirect"), 2: ("egress", "mirror"), 3: ("ingress", "redirect"), 4: ("ingress", "mirror")}
DROPS = frozenset({"drop", "stolen", "queued", "trap"})
CHANGES = frozenset({"pedit", "nat", "vlan", "mpls", "tunnel_key", "skbmod", "ct"})
TEXT_LIMIT = 200

device_names = Mapping[int, str]
"""ifindex -> name."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a filter."""

    text: str
    effect: str
    """drop, redirect, police, change, "" for one that lets the packet go on as it is."""
    target: str = ""
    packets: int | None = None
    dropped: int | None = None


def read_qdiscs(netlink: NetlinkSocket, names: device_names) -> Iterator[Qdisc]:
    """The queues of all devices, those that the kernel puts there by itself included."""
    for kind, body in netlink.dump(RTM_GETQDISC, TCMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if kind != RTM_NEWQDISC:
            continue
        _, ifindex, handle, parent, _ = TCMSG.unpack_from(body)
        found = attributes(body, TCMSG.size)
        name = text(found.get(TCA_KIND))
        packets, dropped, overlimits, backlog = _stats(found.get(TCA_STATS2, b""))
        own = _number(handle)
        place = (
            "root" if parent == ROOT else "" if parent == INGRESS else f"parent {_number(parent)}{parent & 0xFFFF:x}"
        )
        options = _queue_options(name, found.get(TCA_OPTIONS, b""))
        yield Qdisc(
            dev=names.get(ifindex, str(ifindex)),
            kind=name,
            handle=own,
            text=" ".join(filter(None, (name, own, place, options)))[:TEXT_LIMIT],
            packets=packets,
            dropped=dropped,
            overlimits=overlimits,
            backlog=backlog,
        )


def read_filters(netlink: NetlinkSocket, names: device_names, qdiscs: Iterable[Qdisc]) -> Iterator[Filter]:
    """The filters on the devices that have a place for any: clsact, ingress, and queues that somebody wrote."""
    numbers = {name: ifindex for ifindex, name in names.items()}
    for dev, side, parent in dict.fromkeys(_places(qdiscs)):
        if dev in numbers:
            request = TCMSG.pack(socket.AF_UNSPEC, numbers[dev], 0, parent, 0)
            for kind, body in netlink.dump(RTM_GETTFILTER, request):
                if kind == RTM_NEWTFILTER:
                    yield from _filter(dev, side, body, names)


def _number(handle: int) -> str:
    return f"{handle >> 16:x}:"


def queues_with_growth(before: Sequence[Qdisc], after: Iterable[Qdisc]) -> tuple[Qdisc, ...]:
    """The queues as they were before the tests, with what they took meanwhile and what still waits in them."""
    later = {(one.dev, one.text): one for one in after}
    return tuple(_queue_growth(one, later.get((one.dev, one.text))) for one in before)


def filters_with_growth(before: Sequence[Filter], after: Iterable[Filter]) -> tuple[Filter, ...]:
    """The filters, with the packets that they took while the tests ran."""
    later = {(one.dev, one.direction, one.text): one for one in after}
    return tuple(_filter_growth(one, later.get((one.dev, one.direction, one.text))) for one in before)


def _queue_growth(one: Qdisc, later: Qdisc | None) -> Qdisc:
    if later is None:
        return one
    return replace(
        one,
        packets_delta=max(0, later.packets - one.packets),
        dropped_delta=max(0, later.dropped - one.dropped),
        overlimits_delta=max(0, later.overlimits - one.overlimits),
        backlog=later.backlog,
    )


def _filter_growth(one: Filter, later: Filter | None) -> Filter:
    if later is None or one.packets is None or later.packets is None:
        return one
    return replace(one, packets_delta=max(0, later.packets - one.packets))


def _stats(data: bytes) -> tuple[int, int, int, int]:
    """(packets, dropped, overlimits, packets that wait)."""
    found = attributes(data)
    basic, queue = found.get(TCA_STATS_BASIC, b""), found.get(TCA_STATS_QUEUE, b"")
    packets = BASIC.unpack_from(basic)[1] if len(basic) >= BASIC.size else 0
    length, _, drops, _, overlimits = QUEUE.unpack_from(queue) if len(queue) >= QUEUE.size else (0, 0, 0, 0, 0)
    return packets, drops, overlimits, length


def _queue_options(kind: str, data: bytes) -> str:
    """The limits of the queues that drop by them, as tc prints them."""
    if kind == "tbf":
        parms = attributes(data).get(TBF_PARMS, b"")
        if len(parms) >= TBF.size:
            rate, _, limit, _ = TBF.unpack_from(parms)
            return f"rate {_bits(rate)} limit {limit}b"
    if kind in {"pfifo", "bfifo"} and len(data) >= 4:
        return f"limit {u32(data)}{'p' if kind == 'pfifo' else 'b'}"
    if kind == "netem" and len(data) >= NETEM.size:
        _, limit, loss, gap, duplicate, _ = NETEM.unpack_from(data)
        share = f" loss {loss * 100 / 0xFFFFFFFF:.3g}%" if loss else ""
        more = f"{share}{f' gap {gap}' if gap else ''}{' duplicate' if duplicate else ''}"
        return f"limit {limit}{more}"
    return ""


def _bits(bytes_per_s: int) -> str:
    bits = bytes_per_s * 8
    for unit, size in (("Gbit", 10**9), ("Mbit", 10**6), ("Kbit", 10**3)):
        if bits >= size:
            return f"{bits / size:g}{unit}"
    return f"{bits}bit"


# Filters


def _places(qdiscs: Iterable[Qdisc]) -> Iterator[tuple[str, str, int]]:
    for one in qdiscs:
        if one.kind in GATES:
            yield one.dev, "ingress", SIDES["ingress"]
            if one.kind == "clsact":
                yield one.dev, "egress", SIDES["egress"]
        elif one.is_written:
            yield one.dev, "queue", int(one.handle.removesuffix(":"), 16) << 16


def _filter(dev: str, side: str, body: bytes, names: device_names) -> Iterator[Filter]:
    _, _, _, _, info = TCMSG.unpack_from(body)
    found = attributes(body, TCMSG.size)
    kind = text(found.get(TCA_KIND))
    options = attributes(found.get(TCA_OPTIONS, b""))
    if not options:
        return  # The head of a priority, which matches nothing.
    actions = tuple(_actions(options.get(ACTIONS_AT.get(kind, 0), b""), names))
    if kind == "u32" and U32_SEL not in options:
        return  # A hash table.
    is_program = kind == "bpf"
    name = text(options.get(BPF_NAME)) if is_program else ""
    number = f"id {u32(options[BPF_ID])}" if is_program and BPF_ID in options else ""
    decides = is_program and bool(u32(options.get(BPF_FLAGS)) & DIRECT_ACTION)
    effect = next((one.effect for one in actions if one.effect), "program" if decides else "")
    taking = next((one for one in actions if one.effect), None)
    protocol = socket.ntohs(info & 0xFFFF)
    verdicts = [f"action {one.text}" for one in actions]
    words = (kind, name, number, f"pref {info >> 16}", _protocol(protocol), _match(kind, options), *verdicts)
    yield Filter(
        dev=dev,
        direction=side,
        kind=kind,
        name=name,
        effect=effect,
        target=taking.target if taking else "",
        text=" ".join(filter(None, words))[:TEXT_LIMIT],
        packets=_taken(taking) if taking else None,
    )


def _taken(one: Action) -> int | None:
    """What the action took: of a police what it dropped, of any other what it got."""
    return one.dropped if one.effect == "police" else one.packets


def _protocol(number: int) -> str:
    return {0x0003: "", 0x0800: "ip", 0x86DD: "ipv6", 0x0806: "arp"}.get(number, f"protocol {number:#x}")


def _match(kind: str, options: Mapping[int, bytes]) -> str:
    if kind == "u32":
        return _u32_keys(options.get(U32_SEL, b""))
    if kind == "flower":
        found = [f"ip_proto {options[FLOWER_IP_PROTO][0]}"] if options.get(FLOWER_IP_PROTO) else []
        addresses = ((word, options.get(at, b"")) for at, word in FLOWER_ADDRESSES.items())
        found += [f"{word} {socket.inet_ntoa(raw)}" for word, raw in addresses if len(raw) == 4]
        ports = ((word, options[at]) for at, word in FLOWER_PORTS.items() if at in options)
        found += [f"{word} {int.from_bytes(raw, 'big')}" for word, raw in ports]
        return " ".join(found)
    return ""


def _u32_keys(data: bytes) -> str:
    """The keys of a u32 match, those of the IP and port headers in words."""
    keys: list[str] = []
    for at in range(16, 16 + 16 * (data[2] if len(data) > 2 else 0), 16):
        if at + 16 > len(data):
            break
        mask, value = struct.unpack_from(">II", data, at)
        (offset,) = struct.unpack_from("=i", data, at + 8)
        keys.append(_u32_key(mask, value, offset))
    return " ".join(keys)


def _u32_key(mask: int, value: int, offset: int) -> str:
    match offset, mask:
        case (20, 0x0000FFFF):
            return f"match ip dport {value}"
        case (20, 0xFFFF0000):
            return f"match ip sport {value >> 16}"
        case (8, 0x00FF0000):
            return f"match ip protocol {value >> 16 & 0xFF}"
        case (12 | 16, _) if mask:
            word = "src" if offset == 12 else "dst"
            return f"match ip {word} {socket.inet_ntoa(value.to_bytes(4, 'big'))}/{mask.bit_count()}"
        case _:
            return f"match u32 {value:08x} {mask:08x} at {offset}" if mask else "match all"


def _actions(data: bytes, names: device_names) -> Iterator[Action]:
    for at in sorted(table := attributes(data)):
        each = attributes(table[at])
        yield _action(text(each.get(TCA_ACT_KIND)), each, names)


def _action(kind: str, each: Mapping[int, bytes], names: device_names) -> Action:
    stats = each.get(TCA_ACT_STATS)
    packets, dropped, _, _ = _stats(stats) if stats else (None, None, 0, 0)
    parms = attributes(each.get(TCA_ACT_OPTIONS, b"")).get(PARMS.get(kind, 0), b"")
    if kind == "gact" and len(parms) >= 12:
        (verdict,) = struct.unpack_from("=8xi", parms)
        word = VERDICTS.get(verdict, "pass")
        return Action(word, "drop" if word in DROPS else "", packets=packets)
    if kind == "mirred" and len(parms) >= 28:
        how, ifindex = struct.unpack_from("=20xiI", parms)
        side, what = MIRRED.get(how, ("", "redirect"))
        target = names.get(ifindex, str(ifindex))
        return Action(f"mirred {side} {what} dev {target}", "redirect" if what == "redirect" else "", target, packets)
    if kind == "police":
        return Action("police", "police", packets=packets, dropped=dropped)
    return Action(kind, "change" if kind in CHANGES else "", packets=packets)
