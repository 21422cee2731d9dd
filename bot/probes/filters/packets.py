"""The packets of a test as they are between the NAT of both sides, without what hangs on the way."""

from bot.agent.report import Test
from bot.probes.filters.matching import Packet


def opening_packet(test: Test, port: int) -> dict[str, frozenset[str] | None]:
    """The first packet of a test, without its addresses. What a field of another protocol would be is empty."""
    protocol = {"dns-udp": "udp", "dns-tcp": "tcp", "mtu": "icmp"}.get(test.protocol, test.protocol)
    family = "ip6" if ":" in test.ip else "ip"
    nothing = frozenset[str]()
    found: dict[str, frozenset[str] | None] = {
        "ethertype": frozenset({family}),
        "proto": frozenset({protocol if family == "ip" or protocol != "icmp" else "icmpv6"}),
        "ctstate": frozenset({"new"}),
        "ctdirection": frozenset({"original"}),
        "length": frozenset({str(test.mtu_steps[0].size_bytes) if len(test.mtu_steps) == 1 else "60"}),
        "daddrtype": frozenset({"unicast"}),
        "arpop": nothing,
    }
    if protocol == "icmp":
        return {
            **found,
            "icmptype": frozenset({"echo-request"}),
            "sport": nothing,
            "dport": nothing,
            "tcpflags": nothing,
        }
    flags = frozenset({"syn"}) if protocol == "tcp" else nothing
    return {**found, "dport": frozenset({str(port)}), "sport": None, "icmptype": nothing, "tcpflags": flags}


def answer_to(there: Packet) -> dict[str, frozenset[str] | None]:
    """The answer to a packet."""
    back = {
        **there,
        "saddr": there["daddr"],
        "daddr": there["saddr"],
        "sport": there["dport"],
        "dport": there["sport"],
        "ctstate": frozenset({"established"}),
        "ctdirection": frozenset({"reply"}),
    }
    if there["icmptype"]:
        back["icmptype"] = frozenset({"echo-reply"})
    if there["tcpflags"]:
        back["tcpflags"] = frozenset({"syn,ack"})
    return back
