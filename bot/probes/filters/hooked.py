"""What drops packets at a hook of netfilter beside rules: connection tracking, and BPF programs that no table shows.

Both drop in the kernel's own function of the hook, as iptables-legacy does, and never in one of nftables'.
"""

from bot.agent.report import NetfilterProgram
from bot.agent.traced import PacketDrop, split_address
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.routing import family_of

OF_TRACKING = frozenset({"prerouting", "input", "output", "postrouting", ""})
"""Where connections are looked for, and where they are confirmed; "" where the stack does not tell the hook."""
REFUSED = "conntrack.drop"
HOOK_ITSELF = "nf_hook_slow"


def is_of_nftables(drop: PacketDrop) -> bool:
    """Whether it was surely a rule of nftables."""
    return bool(drop.family) or drop.symbol.startswith("nft_")


def is_refused_by_tracking(evidence: Evidence, node: str, drop: PacketDrop) -> bool:
    """Whether connection tracking refused as many in the namespace where they died.

    A table that is full refuses everybody's connections, so its counter need not move by just as many.
    """
    if is_of_nftables(drop) or drop.hook not in OF_TRACKING:
        return False
    trace, here = evidence.traces[node], (drop.netns or "node", REFUSED)
    is_exact = any((one.netns, one.name) == here and one.flow == drop.flow for one in trace.counters)
    return is_exact or any((one.netns, one.name) == here and one.count >= drop.count for one in trace.refusals or ())


def programs_on_hook(evidence: Evidence, node: str, drop: PacketDrop) -> tuple[NetfilterProgram, ...]:
    """BPF programs that may have dropped it; none where they were not read."""
    report, family = evidence.reports.get(node), family_of(split_address(drop.dst)[0])
    if is_of_nftables(drop) or not drop.symbol.startswith(HOOK_ITSELF) or report is None:
        return ()
    found = report.netfilter_programs or ()
    return tuple(one for one in found if (one.hook, one.family) == (drop.hook, family))
