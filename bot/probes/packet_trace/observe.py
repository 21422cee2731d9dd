"""Where do probe packets of failing flows die, and what says the kernel?"""

from collections import defaultdict
from collections.abc import Iterator

from bot.agent.traced import split_address
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.domain.finding import HOPS
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.naming import change_in_words
from bot.probes.filters.rule_owners import owners_of
from bot.probes.filters.traced import namespace_of, traced_drops
from bot.probes.packet_trace.culprits import one_of
from bot.probes.packet_trace.fate import Fate, fates
from bot.probes.packet_trace.hooked import programs_at, unread_programs
from bot.probes.packet_trace.way import is_sent_on, pod_addresses
from bot.probes.packet_trace.words import outcome
from bot.probes.shared.sentences import plural

NOT_FOLLOWED = "no probe packets were followed here: nothing failed, or following them was not possible or not wanted"
NOT_TOLD = "the kernel of this node does not report drops"
LISTED = 20


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Drops by node, fates by the pod that sent."""
    followed = fates(evidence)
    sent: dict[Subject, list[Fate]] = defaultdict(list)
    for fate in followed:
        sent[fate.ends.source].append(fate)
    for (first, second), losses in _losses(evidence, followed).items():
        into.set(facts.pair(first, second), "traced_loss", losses.pop() if len(losses) == 1 else "mixed")
        into.set(facts.pair(first, second), "traced_share", _share(followed, first, second))
    rewritten = _rewritten(evidence, followed)
    for name in evidence.reports:
        words = tuple(dict.fromkeys(rewritten.get(name, ())))[:LISTED]
        into.put(facts.node(name), "sources_rewritten", words if followed else None, NOT_FOLLOWED)
        into.set(facts.node(name), "traced_dns", _dns(followed, name))
        _observe_node(evidence, name, followed, into)
        _observe_programs(evidence, name, followed, into)
        into.set(facts.node(name), "traced_changers", tuple(dict.fromkeys(_foreign_changers(evidence, name, followed))))
    for pod in evidence.pods:
        mine = sent.get(pod)
        lost = [fate for fate in mine or () if fate.lost and fate.hop]
        hops = sorted((fate.hop for fate in lost if fate.hop), key=HOPS.index)
        into.put(pod, "traced_fates", tuple(map(outcome, lost))[:LISTED] if mine else None, NOT_FOLLOWED)
        into.put(pod, "traced_hop", hops[0] if hops else None, NOT_FOLLOWED)


def _losses(evidence: Evidence, followed: tuple[Fate, ...]) -> dict[tuple[str, str], set[str]]:
    """For each direction between two nodes, where packets were lost; a place that is not known counts for nothing."""
    names = sorted({*evidence.reports, *evidence.nodes_in_scope})
    found: dict[tuple[str, str], set[str]] = {(a, b): set() for a in names for b in names if a != b}
    for fate in followed:
        ends = fate.ends
        there, back = (ends.source_node, ends.target_node), (ends.target_node, ends.source_node)
        if ends.is_local or there not in found:
            continue
        if fate.segment:
            found[back if fate.leg == "reply" else there].add(fate.segment)
        if not fate.lost or fate.leg == "reply":
            found[there].add("none")
        if not fate.lost:
            found[back].add("none")
    for losses in found.values():
        if len(losses) > 1:
            losses.discard("none")
    taking = {fate.node for fate in followed if fate.is_known and not fate.ends.is_local}
    return {pair: losses or {"elsewhere" if taking & {*pair} else "not-followed"} for pair, losses in found.items()}


def _share(followed: tuple[Fate, ...], first: str, second: str) -> str:
    """Of what was sent from the one node to the other, and answered, how much was lost on the way there."""
    ways = [fate for fate in followed if (fate.ends.source_node, fate.ends.target_node) == (first, second)]
    lost = sum(fate.lost for fate in ways if fate.leg == "request")
    return f"{lost} of {plural(sum(fate.sent for fate in ways), 'packet')}" if lost else ""


def _dns(followed: tuple[Fate, ...], name: str) -> str:
    """What became of the DNS questions over UDP of a node's pods."""
    asked = [fate for fate in followed if fate.flow.question and fate.flow.protocol == "udp"]
    lost = [fate.lost > 0 for fate in asked if fate.ends.source_node == name]
    return ("lost" if any(lost) else "answered") if lost else "not-followed"


def _rewritten(evidence: Evidence, followed: tuple[Fate, ...]) -> dict[str, list[str]]:
    """By sender's node the flows between pods whose source it changed, and that policies of another node then took."""
    policies, drops = owners_of(evidence.cni.name), traced_drops(evidence)
    found: dict[str, list[str]] = defaultdict(list)
    for fate in followed:
        ends, drop = fate.ends, fate.drop
        if ends.is_local or drop is None or drop.leg != "request" or drop.tunnel:
            continue
        traced = drops.get((fate.node, drop))
        if not (traced and traced.takings and all(policies.enforce(one.chain) for one in traced.takings)):
            continue
        own = evidence.pods.get(ends.source)
        if own is None or ends.target is None or ends.target not in evidence.pods or fate.node == ends.source_node:
            continue
        source = split_address(drop.src)[0]
        if source and source not in pod_addresses(evidence, ends.source) and not is_sent_on(fate.flow, drop):
            found[ends.source_node].append(f"{ends.source.name} to {ends.target.name} arrives as {source}")
    return found


def _foreign_changers(evidence: Evidence, name: str, followed: tuple[Fate, ...]) -> Iterator[str]:
    """Where it is one rule, and a stranger's."""
    owners = owners_of(evidence.cni.name)
    for fate in followed:
        node, rule = fate.changed_by or ("", None)
        if rule and node == name and not owners.own(rule.table, rule.chain):
            yield change_in_words(rule)


def _observe_programs(evidence: Evidence, name: str, followed: tuple[Fate, ...], into: FactBuilder) -> None:
    """Those that a trace leaves as the only takers; where they were not read, they may be."""
    found: dict[str, None] = {}
    unread = ""
    for fate in followed:
        state = namespace_of(evidence, name, fate.drop.netns) if fate.drop and fate.node == name else None
        if fate.drop is None or state is None:
            continue
        words = programs_at(evidence, name, fate.drop, state)
        if words and fate.culprit == one_of(words):
            found |= dict.fromkeys(words)
        unread = unread or ("" if fate.culprit else unread_programs(evidence, name, fate.drop).removeprefix("; "))
    into.put(facts.node(name), "traced_programs", None if unread and not found else tuple(found), unread)


def _observe_node(evidence: Evidence, name: str, followed: tuple[Fate, ...], into: FactBuilder) -> None:
    node, trace = facts.node(name), evidence.traces.get(name)
    keys = ("traced_drops", "traced_hooks", "traced_devices")
    if trace is None or trace.instrument == "none":
        into.miss_all(node, keys, NOT_TOLD if trace else NOT_FOLLOWED)
        return
    drops = [fate.drop for fate in followed if fate.drop and fate.node == name]
    texts = (f"{one.reason} in {one.symbol} at {one.dev or '?'} ({one.count})" for one in drops)
    hooks = (f"{one.family} {one.hook}".strip() for one in drops if one.hook)
    into.set(node, "traced_drops", tuple(dict.fromkeys(texts))[:LISTED])
    into.set(node, "traced_hooks", tuple(dict.fromkeys(hooks)))
    into.set(node, "traced_devices", tuple(dict.fromkeys(one.dev for one in drops if one.dev)))
