"""The chains by which packets come to a rule that drops or rewrites, with every rule in them that bears on it.

Most rules of a node lead nowhere near a drop (the translations of Services): those are not worth their bytes. So of
rules that rewrite packets only those count that kube-proxy and CNIs did not write.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.agent.report import FirewallChain, FirewallMatch, FirewallStep

STEPS_LIMIT = 6000
"""More than this many rules on the ways are not reported: a report has its size, too."""

chain_key = tuple[str, str, str, str]
"""Backend, family, table, chain."""
PLUMBING = re.compile(
    r"^(KUBE-|((filter|nat|mangle|raw)-)?cali-|FLANNEL-|(OLD_)?CILIUM|ANTREA|WEAVE|OVN-KUBE)|"
    r"^(kube-proxy|calico|cilium|flannel|antrea|ovn-kube)",
    re.IGNORECASE,
)
"""Chains and tables whose translations are a cluster's daily work."""
UNKNOWN = FirewallMatch(fields=("unknown",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRule:
    """A rule as it was printed: what is needed to find the ways, and how to read the rest."""

    targets: tuple[str, ...] = ()
    """Chains of its table to which it jumps."""
    drops: bool = False
    rewrites: bool = False
    """Packets get another address or another time to live, are kept from any translation, or lose kube-proxy's mark."""
    sets_mark: int = 0
    """Bits of the packet mark that it may set."""
    read: Callable[[], Sequence[FirewallStep]]


def ways_through(
    rules: Mapping[chain_key, Sequence[RawRule]], chains: Iterable[FirewallChain]
) -> tuple[tuple[FirewallStep, ...] | None, int]:
    """The steps of all chains on the ways to drops and to strangers' rewriting; bits of the mark set elsewhere.

    None when those to drops are too many already; of those to rewriting none where they would make too many.
    """
    to_drops = _with_callees(_leading_to_drops(rules, chains), rules)
    to_rewriting = _leading_to_rewriting(rules) - to_drops
    fits = sum(len(rules[key]) for key in to_drops | to_rewriting if key in rules) <= STEPS_LIMIT
    wanted = to_drops | to_rewriting if fits else to_drops
    elsewhere = 0
    for key, here in rules.items():
        if key not in wanted:
            for rule in here:
                elsewhere |= rule.sets_mark
    if sum(len(rules[key]) for key in wanted if key in rules) > STEPS_LIMIT:
        return None, elsewhere
    steps = (step for key in sorted(wanted) for rule in rules.get(key, ()) for step in rule.read())
    return tuple(step if _is_read(step, wanted) else _unread(step) for step in steps), elsewhere


def _is_read(step: FirewallStep, wanted: set[chain_key]) -> bool:
    """Whether what becomes of a packet there is in the report: that of each jump is, but for kube-proxy's and CNIs'."""
    kind, _, target = step.verdict.partition(" ")
    return kind not in {"jump", "goto"} or (step.backend, step.family, step.table, target) in wanted


def _unread(step: FirewallStep) -> FirewallStep:
    """A jump to a chain out of sight: it may be the end of the way."""
    return replace(step, verdict="accept", matches=(*step.matches, UNKNOWN))


def _leading_to_drops(rules: Mapping[chain_key, Sequence[RawRule]], chains: Iterable[FirewallChain]) -> set[chain_key]:
    """Chains that drop themselves or by their policy, and all that lead to them."""
    waiting = [_key(chain) for chain in chains if chain.policy == "drop"]
    waiting += [key for key, here in rules.items() if any(rule.drops for rule in here)]
    return _closure(waiting, _callers(rules))


def _leading_to_rewriting(rules: Mapping[chain_key, Sequence[RawRule]]) -> set[chain_key]:
    """Strangers' chains that rewrite, all that lead to them, and strangers' chains that those ask on the way."""
    own = {key for key in rules if PLUMBING.search(key[2]) or PLUMBING.search(key[3])}
    waiting = [key for key, here in rules.items() if key not in own and any(rule.rewrites for rule in here)]
    leading = _closure(waiting, _callers(rules)) - own
    return _with_callees(leading, {key: here for key, here in rules.items() if key not in own}) - own


def _callers(rules: Mapping[chain_key, Sequence[RawRule]]) -> Mapping[chain_key, Sequence[chain_key]]:
    """By chain those that jump to it."""
    callers: dict[chain_key, list[chain_key]] = defaultdict(list)
    for key, here in rules.items():
        for rule in here:
            for target in rule.targets:
                callers[(*key[:3], target)].append(key)
    return callers


def _with_callees(wanted: set[chain_key], rules: Mapping[chain_key, Sequence[RawRule]]) -> set[chain_key]:
    """These and every chain that they jump to: it may accept, or set the mark that a later rule asks for."""
    callees = {key: [(*key[:3], target) for rule in here for target in rule.targets] for key, here in rules.items()}
    return _closure(list(wanted), callees)


def _closure(waiting: list[chain_key], leads_to: Mapping[chain_key, Sequence[chain_key]]) -> set[chain_key]:
    found: set[chain_key] = set()
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += leads_to.get(key, ())
    return found


def _key(chain: FirewallChain) -> chain_key:
    return chain.backend, chain.family, chain.table, chain.chain
