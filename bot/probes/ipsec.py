"""Does an IPsec policy of a node block packets, or require a tunnel whose key does not exist?

A policy stands below routing and packet filters: `ip route get` and every rule say that the packet passes, and it does
not. The kernel counts what it refuses by reason in /proc/net/xfrm_stat.

Source: https://docs.kernel.org/networking/xfrm_proc.html
"""

from collections.abc import Sequence

from bot.agent.report import IpsecPolicy
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.shared.pod_views import node_views
from bot.probes.shared.sentences import plural

NAME = "ipsec"
LISTED = 10
_REFUSING = ("PolBlock", "NoStates", "NoPols", "TmplMismatch", "PolError")
"""How the counters end that say that a policy refused a packet."""

FACTS = (
    fact(
        "node.ipsec_policies",
        "list",
        "IPsec policies that block, or that require a tunnel without a key.",
        look="ip xfrm policy; ip xfrm state  # on <node>",
    ),
    fact(
        "node.ipsec_refused",
        "int",
        "Packets that IPsec policies refused while the tests ran.",
        look="cat /proc/net/xfrm_stat  # on <node>, twice",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The policies of each node that was inspected, and what they refused."""
    for name, root in node_views(evidence).items():
        node, state = facts.node(name), root.state
        if state.ipsec is None:
            why = root.why_missing("root.ipsec") or "IPsec policies were not read"
            into.miss_all(node, ("ipsec_policies", "ipsec_refused"), why)
            continue
        found = tuple(_in_words(each) for each in state.ipsec if each.action == "block" or each.has_state is False)
        into.set(node, "ipsec_policies", found[:LISTED])
        refused = [delta for counter, delta in state.counters_delta.items() if _is_refusal(counter)]
        is_counted = not found or any(counter.startswith("Xfrm.") for counter in state.counters)
        into.put(
            node, "ipsec_refused", sum(refused) if is_counted else None, "the kernel does not count what IPsec refuses"
        )


def _is_refusal(counter: str) -> bool:
    return counter.startswith("Xfrm.") and counter.endswith(_REFUSING)


def _in_words(policy: IpsecPolicy) -> str:
    ending = "block" if policy.action == "block" else "a tunnel without a key"
    return f"{policy.direction} {policy.src} to {policy.dst}: {ending}"


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for nodes whose policies refused packets, INFO for policies that may."""
    found: list[Finding] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        policies, refused = known.get("ipsec_policies"), known.get("ipsec_refused", 0)
        if not isinstance(policies, tuple) or not policies:
            continue
        sentence = f"An IPsec policy of node {node.name} refuses packets ({policies[0]})"
        took = f": {plural(refused, 'packet')} during the tests" if isinstance(refused, int) and refused else ""
        severity = Severity.WARN if took else Severity.INFO
        evidence = {"ipsec_policies": policies}
        found.append(
            Finding(probe=NAME, subject=node, severity=severity, sentence=f"{sentence}{took}.", evidence=evidence)
        )
    return found


PROBE = Probe(
    name=NAME,
    question="Does an IPsec policy of a node block packets, or require a tunnel whose key does not exist?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
