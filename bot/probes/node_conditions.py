"""Which conditions of a node say that something is wrong with it, besides Ready?

NetworkUnavailable is set by clouds that lead pod addresses by routes of their own, until there is one for the node; the
pressures by its kubelet; further ones by node-problem-detector.

Source: https://kubernetes.io/docs/reference/node/node-status/#condition
Source: https://github.com/kubernetes/node-problem-detector (KernelDeadlock, ReadonlyFilesystem, Frequent…Restart)
"""

import re
from collections.abc import Sequence

from bot.cluster.objects import Condition
from bot.domain import facts
from bot.domain.errors import bounded
from bot.domain.facts import FactBuilder, FactTable, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import NODES
from bot.probes.engine.probe import Probe
from bot.probes.shared.values import strings

NAME = "node-conditions"
LISTED = 6
NETWORK_UNAVAILABLE = "NetworkUnavailable"
_BAD_WHEN_TRUE = re.compile(
    r"(Pressure|Unavailable|Deadlock|Unhealthy|Restart|NetDevice|Overlay2)$|^ReadonlyFilesystem$"
)
"""Types that name what is wrong. Others name what is well (EtcdIsVoter of K3s)."""
_LOOK = "kubectl describe node <node>  # Conditions"

FACTS = (
    fact(
        "node.network_unavailable",
        "bool",
        "The node's condition NetworkUnavailable is True: its cloud has no route to its pods (yet).",
        rungs=API,
        look=_LOOK,
    ),
    fact(
        "node.bad_conditions",
        "list",
        "Conditions of the node that say what is wrong, with reason and message; Ready is not among them.",
        rungs=API,
        look=_LOOK,
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Of each node that the API listed."""
    for name, node in evidence.nodes.items():
        bad = [one for one in node.status.conditions if one.status == "True" and _BAD_WHEN_TRUE.search(one.type)]
        into.set(facts.node(name), "network_unavailable", any(one.type == NETWORK_UNAVAILABLE for one in bad))
        into.set(facts.node(name), "bad_conditions", tuple(map(_in_words, bad[:LISTED])))


def _in_words(one: Condition) -> str:
    return bounded(f"{one.type} ({one.reason}): {one.message}")


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for each node with such a condition."""
    return [
        Finding(
            probe=NAME,
            subject=node,
            severity=Severity.WARN,
            sentence=f"Node {node.name} reports {and_more(bad, 1)}.",
            evidence={"bad_conditions": bad},
        )
        for node in table.subjects(SubjectKind.NODE)
        if (bad := strings(table.of(node).get("bad_conditions")))
    ]


PROBE = Probe(
    name=NAME,
    question="Which conditions of a node say that something is wrong with it, besides Ready?",
    facts=FACTS,
    needs=(NODES,),
    observe=observe,
    judge=judge,
)
