"""Does the node's kernel drop packets: full tables, packet filters, and whose rules?

The neighbour table is one for all network namespaces of a machine: when it is full, pods fail at random. A rule whose
counter grew while the tests ran took a packet; who wrote the rule tells a NetworkPolicy at work (the CNI's policy
chains) from a firewall that nobody expects. iptables-legacy and nftables rules on one node are both in force.

Source: https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html (neigh/default/gc_thresh3)
Source: https://docs.tigera.io/calico/latest/reference/host-endpoints/overview (cali-… chains)
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from bot.agent.report import Firewall, FirewallChain, FirewallRule, NodeReport
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.ebpf.observe import policy_drops
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.deletion import deletions_of, deletions_of_held
from bot.probes.filters.held import Held, held_rules
from bot.probes.filters.naming import loss_in_words, rule_in_words, unmarking_in_words
from bot.probes.filters.rule_owners import Owners, is_common, owners_of
from bot.probes.filters.unmarking import Unmarking, unmarking_rules
from bot.probes.shared.pod_views import NodeView, node_views

RECENT_S = 30 * 60.0
TEXT_LIMIT = 120
LISTED = 10


_RPFILTER = re.compile(r"rpfilter|fib (saddr|daddr).*(oif|iif)")
_KNOWN_FIREWALLS = (("firewalld", re.compile(r"firewalld|^(IN|FWD[IO]?|FWD)_")), ("ufw", re.compile(r"^ufw")))

_RULE_KEYS = (
    "forward_policy",
    "forward_dropping_tool",
    "forward_dropping_chain",
    "host_firewall",
    "iptables_backends",
    "drop_rules",
)
_MATCH_KEYS = (
    "foreign_rules_match",
    "foreign_rules_perhaps",
    "tunnel_rules_match",
    "forward_policy_takes",
    "rewriting_rules",
    "rewriting_rule_deletions",
    "rewriting_rules_perhaps",
)
_HIT_KEYS = (
    "drops_hit",
    "rejects_hit",
    "foreign_drops_hit",
    "foreign_rules_named",
    "foreign_rule_deletions",
    "raw_rpfilter_hit",
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The tables, packet filters and drops of each node that was inspected."""
    prohibiting = _prohibiting(evidence)
    for name, root in node_views(evidence).items():
        node, report = facts.node(name), root.report
        ratio = _ratio(report)
        uncounted = root.why_missing("neighbour_entries") or "the neighbour table was not counted"
        into.put(node, "neighbour_ratio", ratio, uncounted)
        into.put(node, "neighbour_refusals", report.neighbour_refusals_delta, uncounted)
        prohibits = name in prohibiting if evidence.tests else None
        into.put(node, "sends_prohibited", prohibits, "no test ran")
        into.put(node, "uptime_s", report.uptime_s, "the node's uptime was not read")
        recent = None if report.uptime_s is None else report.uptime_s < RECENT_S
        into.put(node, "rebooted_recently", recent, "the node's uptime was not read")
        owners = owners_of(evidence.cni.name)
        held = held_rules(evidence).get(node)
        _observe_firewall(node, root, owners, held, into)
        unmarking = unmarking_rules(evidence).get(node, Unmarking())
        _observe_matches(node, held, unmarking, root.why_missing("firewall", "root.firewall"), into)
        _observe_policy_drops(evidence, node, root, into)


def _ratio(report: NodeReport) -> float | None:
    if report.neighbour_entries is None or not report.neighbour_limit:
        return None
    return round(report.neighbour_entries / report.neighbour_limit, 3)


def _observe_firewall(
    node: Subject, root: NodeView, owners: Owners, held: Sequence[Held] | None, into: FactBuilder
) -> None:
    firewall = root.state.firewall
    if firewall is None:
        why = root.why_missing("firewall", "root.firewall") or "the node's packet filters were not read"
        into.miss_all(node, (*_RULE_KEYS, *_HIT_KEYS), why)
        return
    dropping = next((c for c in _ip(firewall) if c.hook.lower() == "forward" and c.policy.lower() == "drop"), None)
    into.set(node, "forward_policy", "drop" if dropping else "accept")
    into.put(node, "forward_dropping_tool", dropping.backend if dropping else None, "no chain drops by default")
    place = f"{dropping.family} {dropping.table} {dropping.chain}" if dropping else None
    into.put(node, "forward_dropping_chain", place, "no chain drops by default")
    into.set(node, "host_firewall", _host_firewall(firewall, owners))
    into.set(node, "iptables_backends", _backends(firewall))
    into.set(node, "drop_rules", max(firewall.drops_total, len(firewall.drops)))
    if not root.is_ours:
        into.miss_all(node, _HIT_KEYS, "rules were read once only (no node agent)")
        return
    drops = [rule for rule in firewall.drops if not _is_reject(rule)]
    rejects = [rule for rule in firewall.drops if _is_reject(rule)]
    # kube-proxy's own rules have no counters in nftables mode; they say nothing about strangers.
    _put_hits(node, "drops_hit", [rule for rule in drops if rule.packets is not None or not is_common(rule)], into)
    _put_hits(node, "rejects_hit", [rule for rule in rejects if rule.packets is not None or not is_common(rule)], into)
    _put_hit(node, "raw_rpfilter_hit", [rule for rule in drops if _is_rpfilter(rule)], into)
    foreign = [rule for rule in firewall.drops if not owners.own(rule.table, rule.chain)]
    # A rejection by a stranger costs as much as a drop.
    foreign = [rule for rule in foreign if rule.packets_delta or not _is_reject(rule)]
    _put_foreign_hit(node, foreign, held, into)
    counted = dict.fromkeys(in_words(rule) for rule in foreign if rule.packets_delta)
    into.set(node, "foreign_rules_named", _words(_matching(held or ())) or tuple(counted)[:LISTED])
    exact = deletions_of_held(_matching(held or ()))
    into.set(node, "foreign_rule_deletions", exact or deletions_of(rule for rule in foreign if rule.packets_delta))


def _put_foreign_hit(
    node: Subject, foreign: Sequence[FirewallRule], held: Sequence[Held] | None, into: FactBuilder
) -> None:
    """Whether a stranger's rule took our flows, by its counter or a trace; what can take none of them is no suspect.

    The policy of the forward hook is no rule: it has a cause of its own.
    """
    if held is None:
        _put_hit(node, "foreign_drops_hit", foreign, into)
        return
    strangers = (one for one in held if not one.taking.is_rewriting and not _is_forward_policy(one))
    suspects = [one for one in strangers if one.may_match]
    if any(one.packets_delta or one.is_traced for one in suspects):
        into.set(node, "foreign_drops_hit", True)
        return
    counting = next((rule for rule in foreign if rule.packets_delta), None)
    why = f"a rule may have taken packets and has no counter: {rule_in_words(suspects[0].taking)}" if suspects else ""
    if counting is not None:
        why = f"a rule took packets, but of no flow that was tried: {in_words(counting)}"
    into.put(node, "foreign_drops_hit", None if why else False, why)


def _observe_matches(
    node: Subject, held: Sequence[Held] | None, unmarking: Unmarking, why: str, into: FactBuilder
) -> None:
    """The rules that take flows which failed, whether or not they count."""
    if held is None:
        into.miss_all(node, _MATCH_KEYS, why or "the ways to the rules that drop were not read")
        return
    foreign = [one for one in held if not _is_forward_policy(one) and not one.taking.is_rewriting]
    sure = _matching(held)
    into.set(node, "foreign_rules_match", _words(sure))
    into.set(node, "foreign_rules_perhaps", _words(one for one in foreign if one.may_match and not one.matches))
    into.set(node, "tunnel_rules_match", _words(one for one in sure if one.takes_tunnel))
    into.set(node, "forward_policy_takes", any(one.matches for one in held if _is_forward_policy(one)))
    _observe_rewriting(node, [one for one in held if one.taking.is_rewriting], unmarking, into)


def _observe_rewriting(node: Subject, rewriting: Sequence[Held], unmarking: Unmarking, into: FactBuilder) -> None:
    sure = [one for one in rewriting if one.matches]
    unmark = tuple(map(unmarking_in_words, unmarking.sure))[:LISTED]
    into.set(node, "rewriting_rules", (*_words(sure), *unmark))
    steps = (taking.step for taking in unmarking.sure if taking.step is not None)
    into.set(node, "rewriting_rule_deletions", (*deletions_of_held(sure), *deletions_of(steps)))
    perhaps = (one for one in rewriting if one.may_match and not one.matches)
    unmark = tuple(map(unmarking_in_words, unmarking.perhaps))[:LISTED]
    into.set(node, "rewriting_rules_perhaps", (*_words(perhaps), *unmark))


def _matching(held: Sequence[Held]) -> list[Held]:
    """Strangers' rules that surely take what failed."""
    return [one for one in held if one.matches and not _is_forward_policy(one) and not one.taking.is_rewriting]


def _is_forward_policy(one: Held) -> bool:
    return one.taking.step is None and one.taking.hook.hook.lower() == "forward"


def _words(rules: Iterable[Held]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(loss_in_words(one) for one in rules))[:LISTED]


def _observe_policy_drops(evidence: Evidence, node: Subject, root: NodeView, into: FactBuilder) -> None:
    """What the CNI's own policy chains or programs dropped; nothing can be said where neither counts."""
    firewall, why = root.state.firewall, ""
    by_programs = policy_drops(root.report.cilium) if evidence.cni.runs_cilium else None
    if by_programs is not None:
        into.set(node, "policy_drops_hit", by_programs)
        return
    if not evidence.cni.has_policy_chains:
        why = f"{evidence.cni.name} enforces policies past the packet filters, whose counters do not move"
    elif firewall is None:
        why = root.why_missing("firewall", "root.firewall") or "the node's packet filters were not read"
    elif not root.is_ours:
        why = "rules were read once only (no node agent)"
    if why or firewall is None:
        into.miss(node, "policy_drops_hit", why)
        return
    owners = owners_of(evidence.cni.name)
    drops = [rule for rule in firewall.drops if owners.enforce(rule.chain)]
    _put_hit(node, "policy_drops_hit", drops, into)


def _put_hits(node: Subject, key: str, rules: Sequence[FirewallRule], into: FactBuilder) -> None:
    """Those of the rules that took packets; none is an answer only if all of them count."""
    counting = tuple(in_words(rule) for rule in rules if rule.packets_delta)[:LISTED]
    into.put(node, key, counting if counting or not _uncounted(rules) else None, _uncounted(rules))


def _put_hit(node: Subject, key: str, rules: Sequence[FirewallRule], into: FactBuilder) -> None:
    counting = any(rule.packets_delta for rule in rules)
    into.put(node, key, counting if counting or not _uncounted(rules) else None, _uncounted(rules))


def _uncounted(rules: Iterable[FirewallRule]) -> str:
    """Why it is not known whether one of these took a packet, "" when all count."""
    first = next((rule for rule in rules if rule.packets is None or rule.packets_delta is None), None)
    return f"a rule has no counter: {in_words(first)}" if first else ""


def _prohibiting(evidence: Evidence) -> frozenset[str]:
    """Nodes that answered a test with ICMP "prohibited": the mark of a reject rule of their own."""
    node_of = {
        each.ip: name for name, report in evidence.reports.items() for each in report.root.addresses if each.dev != "lo"
    }
    senders = (test.icmp_from for _, _, test in evidence.tests if test.icmp.endswith("-prohibited"))
    return frozenset(node for ip in senders if (node := node_of.get(ip) or evidence.node_by_ip.get(ip)))


def _ip(firewall: Firewall) -> Iterator[FirewallChain]:
    return (chain for chain in firewall.chains if chain.family in {"ip", "inet"})


def _host_firewall(firewall: Firewall, owners: Owners) -> str:
    places = {*firewall.foreign_chains, *(chain.table for chain in firewall.chains)}
    places |= {name.removeprefix("table ") for name in firewall.foreign_chains} | {
        rule.chain for rule in firewall.drops
    }
    for name, pattern in _KNOWN_FIREWALLS:
        if any(pattern.search(place) for place in places):
            return name
    has_policy = any(c.hook.lower() == "input" and c.policy.lower() == "drop" for c in _ip(firewall))
    foreign = any(rule.family in {"ip", "inet"} and not owners.own(rule.table, rule.chain) for rule in firewall.drops)
    return "other" if has_policy or foreign else "none"


def _backends(firewall: Firewall) -> str:
    used = {chain.backend for chain in firewall.chains if chain.rules or chain.policy.lower() == "drop"}
    used |= {rule.backend for rule in firewall.drops}
    has_legacy, has_nft = "iptables-legacy" in used, bool(used & {"iptables-nft", "nft"})
    if has_legacy:
        return "both" if "iptables-nft" in used else "legacy"
    return "nft" if has_nft else "none"


def _is_reject(rule: FirewallRule) -> bool:
    return rule.verdict.lower().startswith("reject")


def _is_rpfilter(rule: FirewallRule) -> bool:
    return bool(_RPFILTER.search(rule.text)) or rule.chain.startswith(("cali-rpf", "raw-cali-rpf"))


def in_words(rule: FirewallRule) -> str:
    """A rule by its place and text: "inet/filter/forward: ip saddr 10.42.0.0/16 drop"."""
    return f"{rule.family}/{rule.table}/{rule.chain}: {' '.join(rule.text.split())}"[:TEXT_LIMIT]


# Judgement
