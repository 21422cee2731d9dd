"""Which counters moved by exactly as much as a series is long? In each namespace, before and after.

By itself that proves little: on a busy node some counter moves by any small number. So only counters of drops and
errors are read, and they speak beside sightings, never alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from bot.agent.counters import NET, growth, read_conntrack_stats, read_counters
from bot.agent.files import read_text
from bot.agent.links import read_links
from bot.agent.netlink import NetlinkSocket
from bot.agent.report import Firewall
from bot.agent.traced import CounterMove, Refusals, RuleMove, TraceFlow

OF_DROPS = re.compile(
    r"Drop|Err|Fail|Discard|NoRoute|NoPort|RPFilter|Overflow|Unreach|TimeExcd|RateLimit|InTooShort|Xfrm|OutRsts"
)
OF_REFUSALS = ("TcpExt.ListenOverflows", "TcpExt.TCPReqQFullDrop", "Udp.RcvbufErrors", "conntrack.drop")
"""What has no room turns away everybody's packets: these need not move by exactly as much as a series is long."""
LINK_COUNTERS = ("rx_dropped", "tx_dropped", "rx_otherhost")


def read_drop_counters(netlink: NetlinkSocket) -> dict[str, int]:
    """Counters of drops and errors of the thread's namespace, its devices' too. What cannot be read is left out."""
    found: dict[str, int] = {}
    with suppress(OSError):
        found |= {name: value for name, value in read_counters().items() if OF_DROPS.search(name)}
    with suppress(OSError):
        for record in read_links(netlink):
            for name in LINK_COUNTERS:
                value: int | None = getattr(record.link, name)
                if value is not None:
                    found[f"link.{record.link.name}.{name}"] = value
    with suppress(OSError):
        found |= {f"conntrack.{name}": value for name, value in read_conntrack_stats().items() if name == "drop"}
    with suppress(OSError):
        found |= dict(_xfrm(read_text(f"{NET}/xfrm_stat")))
    return found


def moves(
    flows: Sequence[TraceFlow], netns: str, before: Mapping[str, int], after: Mapping[str, int]
) -> Iterator[CounterMove]:
    """Counters that grew by the length of a series."""
    by_count = {flow.count: flow.number for flow in flows}
    for name, more in sorted(growth(before, after).items()):
        if more in by_count:
            yield CounterMove(flow=by_count[more], netns=netns, name=name)


def refusals(netns: str, before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[Refusals]:
    """What took no more meanwhile, and how often."""
    grown = growth(before, after)
    yield from (Refusals(netns=netns, name=name, count=grown[name]) for name in OF_REFUSALS if name in grown)


def rule_moves(firewall: Firewall | None) -> tuple[RuleMove, ...] | None:
    """Rules and policies that drop and took packets meanwhile; None when they were read once or never."""
    if firewall is None:
        return None
    counted = [rule for rule in firewall.drops if rule.packets is not None]
    if any(rule.packets_delta is None for rule in counted):
        return None
    rules = [
        RuleMove(family=rule.family, table=rule.table, chain=rule.chain, text=rule.text, packets=rule.packets_delta)
        for rule in counted
        if rule.packets_delta
    ]
    policies = [
        RuleMove(family=chain.family, table=chain.table, chain=chain.chain, packets=chain.packets_delta)
        for chain in firewall.chains
        if chain.policy == "drop" and chain.packets_delta
    ]
    return (*rules, *policies)


def change_moves(firewall: Firewall | None) -> tuple[RuleMove, ...] | None:
    """Rules that change packets and met some meanwhile; None when they were read once or never."""
    counted = [rule for rule in firewall.changes if rule.packets is not None] if firewall else None
    if counted is None or any(rule.packets_delta is None for rule in counted):
        return None
    moved = {
        (rule.family, rule.table, rule.chain, rule.text): rule.packets_delta for rule in counted if rule.packets_delta
    }
    return tuple(
        RuleMove(family=family, table=table, chain=chain, text=text, packets=packets)
        for (family, table, chain, text), packets in moved.items()
    )


def _xfrm(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdecimal():
            yield name, int(value)
