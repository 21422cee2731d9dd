"""Pods whose policy chains drop what no NetworkPolicy denies: the node's rules are not those of the API.

A drop that is counted in a pod's own chain is not enough, for the tests themselves try flows that are denied. So all
flows that policies allow must fail in one direction, with pods of the same node among the other ends: a fault between
the nodes does not do that.

One port alone may be missing from the node's rules. Then all allowed flows to this port fail, and either nothing was
tried at the pod that policies deny, so that the drops are of these flows; or a policy opens a range of ports of which
the first works and no other does, as with a CNI that does not implement `endPort`.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-a-range-of-ports
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import FirewallRule
from bot.cluster.objects import Pod
from bot.domain import facts
from bot.domain.facts import Subject, SubjectKind
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.rule_owners import owners_of
from bot.probes.filters.traced import traced_drops
from bot.probes.policy.evaluation import policy_index
from bot.probes.policy.index import name_of
from bot.probes.shared.flows import Tried, tried_flows
from bot.probes.shared.hops import has_few_hops

_ARRIVED = frozenset({"ok", "mixed", "refused", "reset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """What a node's policy chains drop wrongly."""

    pods: tuple[Subject, ...] = ()
    ports: tuple[str, ...] = ()
    """Single ports of them: "shop/db-1 5432/TCP"."""
    ranges: tuple[str, ...] = ()
    """Policies of which only the first port of a range is let in: "shop/db 5400-5500"."""


def wrongly_dropped(evidence: Evidence) -> Mapping[str, Stale]:
    """By node; without nodes whose packet filters were not read twice."""
    if not evidence.cni.has_policy_chains:
        return {}
    flows = [flow for flow in tried_flows(evidence) if not _is_lost_before(evidence, flow)]
    whole = set(_cut_off(flows))
    single = _cut_off_ports(evidence, [flow for flow in flows if flow.target not in whole])
    found: dict[str, Stale] = {}
    for node in evidence.reports:
        counting = _counting(evidence, node)
        if counting is None:
            continue
        if _is_dropped_beside_rules(evidence, node):
            found[node] = Stale()
            continue
        here = [pod for pod in evidence.pods_on(node) if pod in whole or pod in single]
        named = sorted(pod for pod in here if _is_named(counting, evidence.pods[pod], _link(evidence, pod)))
        ports = [(pod, port, of) for pod in named if pod in single for port, of in sorted(single[pod].items())]
        found[node] = Stale(
            pods=tuple(named),
            ports=tuple(f"{pod.name} {port}/TCP" for pod, port, _ in ports),
            ranges=tuple(dict.fromkeys(of for _, _, of in ports if of)),
        )
    return found


def _is_dropped_beside_rules(evidence: Evidence, node: str) -> bool:
    """Whether a trace saw drops there by what is no rule (a program, connection tracking), and by no policy."""
    enforcing = owners_of(evidence.cni.name)
    drops = [one for one in traced_drops(evidence).values() if one.place == facts.node(node)]
    is_policys = any(enforcing.enforce(taking.chain) for one in drops for taking in one.takings)
    return not is_policys and any(one.is_of_no_rule for one in drops)


def dropped_by_policy(evidence: Evidence, pod: Subject) -> bool | None:
    """Whether a chain that enforces policies for the pod dropped packets while we looked; None where none was read."""
    counting = _counting(evidence, evidence.node_of(pod))
    return None if counting is None else _is_named(counting, evidence.pods[pod], _link(evidence, pod))


def _counting(evidence: Evidence, node: str) -> Sequence[FirewallRule] | None:
    """The rules of policy chains that dropped packets there between two looks; None where none was read."""
    report = evidence.reports.get(node)
    firewall = report.root.firewall if report else None
    if firewall is None or not evidence.cni.has_policy_chains:
        return None
    enforcing = owners_of(evidence.cni.name)
    return [rule for rule in firewall.drops if rule.packets_delta and enforcing.enforce(rule.chain)]


def _is_lost_before(evidence: Evidence, flow: Tried) -> bool:
    """Whether its loss says nothing of filters: it may run out of hops, or one end gets no answer to ARP."""
    ends = (flow.source, flow.target)
    return any(has_few_hops(evidence, end) or _is_cut_from_gateway(evidence, end) for end in ends)


def _is_cut_from_gateway(evidence: Evidence, pod: Subject) -> bool:
    report = evidence.pod_reports.get(pod)
    answers = report.gateway_arp.answers_ms if report and report.gateway_arp else ()
    return bool(answers) and all(each is None for each in answers)


def _cut_off(flows: Iterable[Tried]) -> Iterator[Subject]:
    """Pods that lose, in one direction, every flow with other pods that policies allow, those of their node too."""
    of: dict[tuple[Subject, str], list[Tried]] = defaultdict(list)
    for flow in flows:
        if not flow.is_denied and SubjectKind.NODE not in {flow.source.kind, flow.target.kind}:
            of[flow.target, "ingress"].append(flow)
            of[flow.source, "egress"].append(flow)
    for (pod, _), tried in of.items():
        if _are_lost(tried):
            yield pod


def _are_lost(flows: Iterable[Tried]) -> bool:
    """Whether all fail, and one of them within a node: a flow may also fail for a reason of its other end."""
    tried = list(flows)
    return all(_is_lost(flow) for flow in tried) and any(
        _is_dropped(flow) and flow.source_node == flow.target_node for flow in tried
    )


def _is_lost(flow: Tried) -> bool:
    return flow.is_refused_by_rule or flow.reach not in _ARRIVED


def _is_dropped(flow: Tried) -> bool:
    return flow.is_refused_by_rule or flow.reach == "timeout"


def _cut_off_ports(evidence: Evidence, flows: Iterable[Tried]) -> Mapping[Subject, Mapping[int, str]]:
    """By pod the ports that it loses alone, each with the policy and range of which it is not the first port, or ""."""
    tried: dict[Subject, dict[int, list[Tried]]] = defaultdict(lambda: defaultdict(list))
    has_denied: set[Subject] = set()
    for flow in flows:
        if SubjectKind.NODE in {flow.source.kind, flow.target.kind}:
            continue
        if flow.is_denied:
            has_denied.add(flow.target)
        elif flow.protocol == "tcp":
            tried[flow.target][flow.port].append(flow)
    found: dict[Subject, dict[int, str]] = {}
    for pod, ports in tried.items():
        lost = {port for port, of in ports.items() if _are_lost(of)}
        works = {port for port, of in ports.items() if not any(map(_is_lost, of))}
        if not lost or not policy_index(evidence).isolating(pod, "ingress"):
            continue
        ranged = {port: name for name, first, last in _ranges(evidence, pod) for port in lost if first < port <= last}
        firsts = {first for _, first, _ in _ranges(evidence, pod)}
        is_first_only = set(ranged) == lost and bool(firsts & works)
        if is_first_only or pod not in has_denied:
            found[pod] = {port: ranged.get(port, "") if is_first_only else "" for port in lost}
    return found


def _ranges(evidence: Evidence, pod: Subject) -> Iterator[tuple[str, int, int]]:
    """Ranges of ports that ingress policies of the pod open: policy and range in words, first, last."""
    for policy in policy_index(evidence).isolating(pod, "ingress"):
        for rule in policy.spec.ingress:
            for port in rule.ports:
                if isinstance(port.port, int) and port.end_port and port.end_port > port.port:
                    yield f"{name_of(policy)} {port.port}-{port.end_port}", port.port, port.end_port


def _link(evidence: Evidence, pod: Subject) -> str:
    """The node's end of the pod's link: Calico names its chains after it."""
    report = evidence.pod_reports.get(pod)
    return report.host_link if report else ""


def _is_named(rules: Iterable[FirewallRule], pod: Pod, link: str) -> bool:
    """Whether one of these rules is the pod's: by its link in the chain's name, or its name in the rule's comment."""
    name = re.compile(rf"(?<![\w.-]){re.escape(pod.metadata.name)}(?![\w.-])")
    return any((link and rule.chain.endswith(f"-{link}")) or name.search(rule.text) for rule in rules)
