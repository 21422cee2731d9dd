"""Pods whose policy chains drop what no NetworkPolicy denies: the node's rules are not those of the API.

A drop that is counted in a pod's own chain is not enough, for the tests themselves try flows that are denied. So all
flows that policies allow must fail in one direction, with pods of the same node among the other ends: a fault between
the nodes does not do that.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from bot.agent.report import FirewallRule
from bot.cluster.objects import Pod
from bot.domain.facts import Subject, SubjectKind
from bot.probes.evidence import Evidence
from bot.probes.flows import Tried, tried_flows
from bot.probes.node_kernel import owners_of

_DROPPED = "timeout"
_ARRIVED = frozenset({"ok", "mixed", "refused"})


def wrongly_dropped(evidence: Evidence) -> Mapping[str, tuple[Subject, ...]]:
    """Such pods by node, in order of name; without nodes whose packet filters were not read twice."""
    enforcing = owners_of(evidence.cni.name)
    found: dict[str, tuple[Subject, ...]] = {}
    suspects = set(_cut_off(tried_flows(evidence)))
    for node, report in evidence.reports.items():
        firewall = report.root.firewall
        if firewall is None:
            continue
        hit = [rule for rule in firewall.drops if rule.packets_delta and enforcing.enforce(rule.chain)]
        here = (pod for pod in evidence.pods_on(node) if pod in suspects)
        found[node] = tuple(sorted(pod for pod in here if _is_named(hit, evidence.pods[pod], _link(evidence, pod))))
    return found


def _cut_off(flows: Iterable[Tried]) -> Iterator[Subject]:
    """Pods that lose, in one direction, every flow with other pods that policies allow, those of their node too."""
    of: dict[tuple[Subject, str], list[tuple[bool, bool]]] = defaultdict(list)
    for flow in flows:
        if flow.is_denied or SubjectKind.NODE in {flow.source.kind, flow.target.kind}:
            continue
        # A flow may also fail for a reason of its other end: that is no word for this pod.
        is_dropped_here = flow.reach == _DROPPED and flow.source_node == flow.target_node
        outcome = (flow.reach not in _ARRIVED, is_dropped_here)
        of[flow.target, "ingress"].append(outcome)
        of[flow.source, "egress"].append(outcome)
    for (pod, _), outcomes in of.items():
        if all(is_lost for is_lost, _ in outcomes) and any(is_dropped_here for _, is_dropped_here in outcomes):
            yield pod


def _link(evidence: Evidence, pod: Subject) -> str:
    """The node's end of the pod's link: Calico names its chains after it."""
    report = evidence.pod_reports.get(pod)
    return report.host_link if report else ""


def _is_named(rules: Iterable[FirewallRule], pod: Pod, link: str) -> bool:
    """Whether one of these rules is the pod's: by its link in the chain's name, or its name in the rule's comment."""
    name = re.compile(rf"(?<![\w.-]){re.escape(pod.metadata.name)}(?![\w.-])")
    return any((link and rule.chain.endswith(f"-{link}")) or name.search(rule.text) for rule in rules)
