"""Does the node's kernel drop packets: full tables, packet filters, and whose rules?

The neighbour table is one for all network namespaces of a machine: when it is full, pods fail at random. A rule whose
counter grew while the tests ran took a packet; who wrote the rule tells a NetworkPolicy at work (the CNI's policy
chains) from a firewall that nobody expects. iptables-legacy and nftables rules on one node are both in force.

Source: https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html (neigh/default/gc_thresh3)
Source: https://docs.tigera.io/calico/latest/reference/host-endpoints/overview (cali-… chains)
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bot.agent.report import Firewall, FirewallChain, FirewallRule, NodeReport
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.probe import Probe
from bot.probes.rule_owners import Owners, is_common, owners_of
from bot.probes.sight import Root, miss_all, put, roots
from bot.probes.telling import plural, unseen

NAME = "node-kernel"
FULL = 0.9
"""From this share of its limit on a table is as good as full."""
RECENT_S = 30 * 60.0
TEXT_LIMIT = 120
LISTED = 10

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_RULES = "nft list ruleset; iptables-save -c  # on <node>, twice: which counters grow"

_RPFILTER = re.compile(r"rpfilter|fib (saddr|daddr).*(oif|iif)")
_KNOWN_FIREWALLS = (("firewalld", re.compile(r"firewalld|^(IN|FWD[IO]?|FWD)_")), ("ufw", re.compile(r"^ufw")))

FACTS = (
    FactSpec(
        name="node.neighbour_ratio",
        type="float",
        doc="How full the kernel's neighbour table is (0 to 1), shared by all namespaces of the machine.",
        look="cat /proc/net/stat/arp_cache; sysctl net.ipv4.neigh.default.gc_thresh3  # on <node>",
    ),
    FactSpec(
        name="node.forward_policy",
        type="str",
        values=("accept", "drop"),
        doc="What happens to a forwarded packet that no rule takes.",
        rungs=_OUTSIDE,
        look="iptables -S FORWARD | head -1; nft list ruleset | grep 'hook forward'  # on <node>",
    ),
    FactSpec(
        name="node.host_firewall",
        type="str",
        values=("none", "firewalld", "ufw", "other"),
        doc="A firewall of the host itself, beside what CNI and kube-proxy write.",
        rungs=_OUTSIDE,
        look="systemctl is-active firewalld ufw  # on <node>",
    ),
    FactSpec(
        name="node.iptables_backends",
        type="str",
        values=("none", "nft", "legacy", "both"),
        doc="Through which iptables backends rules are in force.",
        rungs=_OUTSIDE,
        look="iptables-legacy-save | wc -l; iptables-nft-save | wc -l  # on <node>",
    ),
    FactSpec(name="node.drop_rules", type="int", doc="Rules that drop or reject.", rungs=_OUTSIDE, look=_LOOK_RULES),
    FactSpec(
        name="node.drops_hit",
        type="list",
        doc="Rules that dropped packets while the tests ran (10 at most).",
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.rejects_hit",
        type="list",
        doc="Rules that rejected packets while the tests ran (10 at most).",
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.policy_drops_hit",
        type="bool",
        doc="Rules in the CNI's policy chains dropped packets while the tests ran.",
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.foreign_drops_hit",
        type="bool",
        doc="Rules that belong neither to CNI nor kube-proxy dropped packets while the tests ran.",
        look=_LOOK_RULES,
    ),
    FactSpec(
        name="node.raw_rpfilter_hit",
        type="bool",
        doc="A reverse path rule in the packet filter (Calico's cali-PREROUTING) dropped packets while the tests ran.",
        look="iptables -t raw -L cali-PREROUTING -v  # on <node>, twice",
    ),
    FactSpec(
        name="node.sends_prohibited",
        type="bool",
        doc='The node answered a test with ICMP "prohibited", as reject rules of host firewalls do.',
        look="tcpdump -ni any 'icmp[0] == 3 and (icmp[1] == 9 or icmp[1] == 10 or icmp[1] == 13)'  # on <node>",
    ),
    FactSpec(
        name="node.drop_reasons",
        type="list",
        doc="Reasons for which the kernel dropped packets of our tests, with the function and how often.",
        look="perf trace -e skb:kfree_skb  # on <node>",
    ),
    FactSpec(
        name="node.uptime_s",
        type="float",
        doc="How long the node has been up.",
        rungs=_OUTSIDE,
        look="uptime  # on <node>",
    ),
    FactSpec(
        name="node.rebooted_recently",
        type="bool",
        doc="The node has been up for less than half an hour.",
        rungs=_OUTSIDE,
        look="uptime  # on <node>",
    ),
)
_RULE_KEYS = ("forward_policy", "host_firewall", "iptables_backends", "drop_rules")
_HIT_KEYS = ("drops_hit", "rejects_hit", "policy_drops_hit", "foreign_drops_hit", "raw_rpfilter_hit")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The tables, packet filters and drops of each node that was looked at."""
    prohibiting = _prohibiting(evidence)
    for name, root in roots(evidence).items():
        node, report = facts.node(name), root.report
        ratio = _ratio(report)
        put(
            into, node, "neighbour_ratio", ratio, root.why_missing("neighbour") or "the neighbour table was not counted"
        )
        prohibits = name in prohibiting if evidence.tests else None
        put(into, node, "sends_prohibited", prohibits, "no test ran")
        put(into, node, "uptime_s", report.uptime_s, "the node's uptime was not read")
        recent = None if report.uptime_s is None else report.uptime_s < RECENT_S
        put(into, node, "rebooted_recently", recent, "the node's uptime was not read")
        reasons = None
        if report.drop_reasons is not None:
            reasons = tuple(f"{each.reason} @ {each.function}: {each.count}" for each in report.drop_reasons[:LISTED])
        put(into, node, "drop_reasons", reasons, "the kernel's drop reasons were not asked for")
        _observe_firewall(node, root, owners_of(evidence.cni.name), into)


def _ratio(report: NodeReport) -> float | None:
    if report.neighbour_entries is None or not report.neighbour_limit:
        return None
    return round(report.neighbour_entries / report.neighbour_limit, 3)


def _observe_firewall(node: Subject, root: Root, owners: Owners, into: FactBuilder) -> None:
    firewall = root.state.firewall
    if firewall is None:
        why = root.why_missing("firewall", "root.firewall") or "the node's packet filters were not read"
        miss_all(into, node, (*_RULE_KEYS, *_HIT_KEYS), why)
        return
    into.set(node, "forward_policy", _forward_policy(firewall))
    into.set(node, "host_firewall", _host_firewall(firewall, owners))
    into.set(node, "iptables_backends", _backends(firewall))
    into.set(node, "drop_rules", max(firewall.drops_total, len(firewall.drops)))
    if not root.is_ours:
        miss_all(into, node, _HIT_KEYS, "rules were read once only (no node agent)")
        return
    drops = [rule for rule in firewall.drops if not _is_reject(rule)]
    rejects = [rule for rule in firewall.drops if _is_reject(rule)]
    # kube-proxy's own rules have no counters in nftables mode; they say nothing about strangers.
    _put_hits(node, "drops_hit", [rule for rule in drops if rule.packets is not None or not is_common(rule)], into)
    _put_hits(node, "rejects_hit", [rule for rule in rejects if rule.packets is not None or not is_common(rule)], into)
    _put_hit(node, "raw_rpfilter_hit", [rule for rule in drops if _is_rpfilter(rule)], into)
    _put_hit(node, "policy_drops_hit", [rule for rule in drops if owners.enforce(rule.chain)], into)
    _put_hit(node, "foreign_drops_hit", [rule for rule in drops if not owners.own(rule.table, rule.chain)], into)


def _put_hits(node: Subject, key: str, rules: Sequence[FirewallRule], into: FactBuilder) -> None:
    """Those of the rules that took packets; none is an answer only if all of them count."""
    hit = tuple(in_words(rule) for rule in rules if rule.packets_delta)[:LISTED]
    put(into, node, key, hit if hit or not _uncounted(rules) else None, _uncounted(rules))


def _put_hit(node: Subject, key: str, rules: Sequence[FirewallRule], into: FactBuilder) -> None:
    hit = any(rule.packets_delta for rule in rules)
    put(into, node, key, hit if hit or not _uncounted(rules) else None, _uncounted(rules))


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


def _forward_policy(firewall: Firewall) -> str:
    return (
        "drop" if any(c.hook.lower() == "forward" and c.policy.lower() == "drop" for c in _ip(firewall)) else "accept"
    )


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


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for tables that are full and rules of strangers that drop; PASS for nodes with neither."""
    found: list[Finding] = []
    clean: list[Subject] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        told = list(_about(node, known))
        found += told
        if not told and "foreign_drops_hit" in known and "neighbour_ratio" in known:
            clean.append(node)
    if clean:
        found.append(_pass(clean))
    found += unseen(table, NAME, SubjectKind.NODE, "drop_rules", "The packet filters")
    return found


def _about(node: Subject, known: Mapping[str, Value]) -> Iterator[Finding]:
    for tell in _TELLERS:
        for severity, sentence, key in tell(node.name, known):
            yield Finding(
                probe=NAME, subject=node, severity=severity, sentence=sentence, evidence={key: known.get(key, "")}
            )


_Told = Iterable[tuple[Severity, str, str]]


def _full_table(name: str, known: Mapping[str, Value]) -> _Told:
    ratio = known.get("neighbour_ratio")
    if isinstance(ratio, int | float) and ratio >= FULL:
        yield Severity.WARN, f"The neighbour table of node {name} is {ratio:.0%} full.", "neighbour_ratio"


def _hits(name: str, known: Mapping[str, Value]) -> _Told:
    drops, rejects = known.get("drops_hit"), known.get("rejects_hit")
    if isinstance(drops, tuple) and drops:
        severity = Severity.WARN if known.get("foreign_drops_hit") else Severity.INFO
        count = plural(len(drops), "rule")
        yield severity, f"While the tests ran, {count} on node {name} dropped packets: {drops[0]}.", "drops_hit"
    if isinstance(rejects, tuple) and rejects:
        count = plural(len(rejects), "rule")
        sentence = f"While the tests ran, {count} on node {name} rejected packets: {rejects[0]}."
        yield Severity.INFO, sentence, "rejects_hit"


def _filters(name: str, known: Mapping[str, Value]) -> _Told:
    if known.get("forward_policy") == "drop":
        sentence = f"On node {name} a forwarded packet that no rule allows is dropped (policy of the forward hook)."
        yield Severity.INFO, sentence, "forward_policy"
    if known.get("iptables_backends") == "both":
        sentence = f"On node {name} rules of iptables-legacy and iptables-nft are in force together."
        yield Severity.WARN, sentence, "iptables_backends"
    if known.get("sends_prohibited"):
        sentence = f"Node {name} itself refused packets of the tests (ICMP prohibited): a firewall on it rejects them."
        yield Severity.WARN, sentence, "sends_prohibited"
    firewall = known.get("host_firewall")
    if firewall in {"firewalld", "ufw"}:
        yield Severity.INFO, f"On node {name} {firewall} filters packets beside the CNI.", "host_firewall"


def _rebooted(name: str, known: Mapping[str, Value]) -> _Told:
    uptime = known.get("uptime_s")
    if known.get("rebooted_recently") and isinstance(uptime, int | float):
        yield Severity.INFO, f"Node {name} was started {uptime / 60:.0f} minutes ago.", "uptime_s"


_TELLERS: tuple[Callable[[str, Mapping[str, Value]], _Told], ...] = (_full_table, _hits, _filters, _rebooted)


def _pass(nodes: Sequence[Subject]) -> Finding:
    one = len(nodes) == 1
    who = f"Node {nodes[0].name} has" if one else f"All {len(nodes)} nodes that were looked at have"
    return Finding(
        probe=NAME,
        subject=nodes[0] if one else facts.CLUSTER,
        severity=Severity.PASS,
        sentence=f"{who} room in the neighbour table, and no rule of a stranger dropped a packet while the tests ran.",
    )


PROBE = Probe(
    name=NAME,
    question="Does the node's kernel drop packets: full tables, packet filters, and whose rules?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
