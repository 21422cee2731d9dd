"""What node-kernel says about full tables and about rules that ate packets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bot.domain import facts
from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.shared.sentences import plural, unseen

NAME = "node-kernel"
FULL = 0.9
"""From this share of its limit on a table is as good as full."""


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for tables that are full and rules of strangers that drop; PASS for nodes with neither."""
    found: list[Finding] = []
    clean: list[Subject] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        reported = list(_about(node, known))
        found += reported
        if not reported and "foreign_drops_hit" in known and "neighbour_ratio" in known:
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


_Notes = Iterable[tuple[Severity, str, str]]


def _full_table(name: str, known: Mapping[str, Value]) -> _Notes:
    ratio = known.get("neighbour_ratio")
    if isinstance(ratio, int | float) and ratio >= FULL:
        yield Severity.WARN, f"The neighbour table of node {name} is {ratio:.0%} full.", "neighbour_ratio"


def _hits(name: str, known: Mapping[str, Value]) -> _Notes:
    drops, rejects = known.get("drops_hit"), known.get("rejects_hit")
    if isinstance(drops, tuple) and drops:
        severity = Severity.WARN if known.get("foreign_drops_hit") else Severity.INFO
        count = plural(len(drops), "rule")
        yield severity, f"While the tests ran, {count} on node {name} dropped packets: {drops[0]}.", "drops_hit"
    if isinstance(rejects, tuple) and rejects:
        count = plural(len(rejects), "rule")
        sentence = f"While the tests ran, {count} on node {name} rejected packets: {rejects[0]}."
        yield Severity.INFO, sentence, "rejects_hit"


def _filters(name: str, known: Mapping[str, Value]) -> _Notes:
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


def _rebooted(name: str, known: Mapping[str, Value]) -> _Notes:
    uptime = known.get("uptime_s")
    if known.get("rebooted_recently") and isinstance(uptime, int | float):
        yield Severity.INFO, f"Node {name} was started {uptime / 60:.0f} minutes ago.", "uptime_s"


_TELLERS: tuple[Callable[[str, Mapping[str, Value]], _Notes], ...] = (_full_table, _hits, _filters, _rebooted)


def _pass(nodes: Sequence[Subject]) -> Finding:
    one = len(nodes) == 1
    who = f"Node {nodes[0].name} has" if one else f"All {len(nodes)} nodes that were inspected have"
    return Finding(
        probe=NAME,
        subject=nodes[0] if one else facts.CLUSTER,
        severity=Severity.PASS,
        sentence=f"{who} room in the neighbour table, and no foreign rule dropped a packet while the tests ran.",
    )
