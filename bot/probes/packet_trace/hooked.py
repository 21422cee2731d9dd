"""What drops packets at a hook of netfilter beside rules, in words."""

from bot.agent.report import NetnsState
from bot.agent.traced import PacketDrop
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.hooked import is_of_nftables, is_refused_by_tracking, programs_on_hook
from bot.probes.filters.naming import program_in_words
from bot.probes.packet_trace.way import owner_of


def tracking_table(evidence: Evidence, node: str, drop: PacketDrop) -> str:
    """The connection tracking table of the namespace, if it refused as many; "" else."""
    if not is_refused_by_tracking(evidence, node, drop):
        return ""
    report, netns = evidence.reports.get(node), drop.netns or "node"
    table = report.conntrack if report and netns == "node" else None
    full = "full or does not take them"
    if table and table.count is not None and table.max and table.count >= table.max:
        full = f"full ({table.count} of {table.max})"
    return f"the connection tracking table of {owner_of(evidence, node, netns)}, which is {full}"


def programs_at(evidence: Evidence, node: str, drop: PacketDrop, state: NetnsState) -> list[str]:
    """BPF programs on the hook; none where the rules of the namespace were not all read: one may have done it."""
    found = programs_on_hook(evidence, node, drop)
    return [program_in_words(one) for one in found] if found and _has_all_rules(evidence, node, drop, state) else []


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
