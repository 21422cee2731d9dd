"""What drops packets at a hook of netfilter beside rules: connection tracking, and BPF programs that no table shows.

Both drop in the kernel's own function of the hook, as iptables-legacy does, and never in one of nftables'.
"""

from bot.agent.report import NetnsState
from bot.agent.traced import PacketDrop, TraceFlow, split_address
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.naming import program_in_words
from bot.probes.packet_trace.way import owner_of
from bot.probes.shared.routing import family_of

OF_TRACKING = frozenset({"prerouting", "input", "output", "postrouting", ""})
"""Where connections are looked for, and where they are confirmed; "" where the stack does not tell the hook."""
HOOK_ITSELF = "nf_hook_slow"


def is_of_nftables(drop: PacketDrop) -> bool:
    """Whether it was surely a rule of nftables."""
    return bool(drop.family) or drop.symbol.startswith("nft_")


def tracking_table(evidence: Evidence, flow: TraceFlow, node: str, drop: PacketDrop) -> str:
    """The connection tracking table of the namespace, if it refused as many; "" else."""
    if is_of_nftables(drop) or drop.hook not in OF_TRACKING:
        return ""
    trace, netns, name = evidence.traces[node], drop.netns or "node", "conntrack.drop"
    is_exact = any((one.netns, one.name, one.flow) == (netns, name, flow.number) for one in trace.counters)
    # A table that is full refuses everybody's connections.
    refused = sum(one.count for one in trace.refusals or () if (one.netns, one.name) == (netns, name))
    if not is_exact and refused < drop.count:
        return ""
    report = evidence.reports.get(node)
    table = report.conntrack if report and netns == "node" else None
    full = "full or does not take them"
    if table and table.count is not None and table.max and table.count >= table.max:
        full = f"full ({table.count} of {table.max})"
    return f"the connection tracking table of {owner_of(evidence, node, netns)}, which is {full}"


def programs_at(evidence: Evidence, node: str, drop: PacketDrop, state: NetnsState) -> list[str]:
    """BPF programs on the hook; none where the rules of the namespace were not all read: one may have done it."""
    if is_of_nftables(drop) or not drop.symbol.startswith(HOOK_ITSELF):
        return []
    report, family = evidence.reports.get(node), family_of(split_address(drop.dst)[0])
    found = report.netfilter_programs if report and _has_all_rules(evidence, node, drop, state) else None
    return [program_in_words(one) for one in found or () if (one.hook, one.family) == (drop.hook, family)]


def unread_programs(evidence: Evidence, node: str, drop: PacketDrop) -> str:
    """Of a drop that nothing explains: that programs may have done it, where they were not read; "" else."""
    report = evidence.reports.get(node)
    if (
        drop.reason != "NETFILTER_DROP"
        or is_of_nftables(drop)
        or report is None
        or report.netfilter_programs is not None
    ):
        return ""
    why = report.why_missing("netfilter_programs") or "an older agent looked"
    return f"; whether a BPF program is on that hook was not read ({why})"


def _has_all_rules(evidence: Evidence, node: str, drop: PacketDrop, state: NetnsState) -> bool:
    if state.firewall is None or (state.firewall.steps is None and state.firewall.chains):
        return False
    of_pod = f"pods.{drop.netns}.firewall"
    places = ("firewall", "root.firewall") if drop.netns in {"node", ""} else ("firewall", "pods.firewall", of_pod)
    return not evidence.reports[node].why_missing(*places)
