"""The chains by which packets come to a rule that drops, with every rule in them that decides about the way.

Most rules of a node lead nowhere near a drop (the translations of Services): those are not worth their bytes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import FirewallChain, FirewallStep

STEPS_LIMIT = 6000
"""More than this many rules on the ways are not reported: a report has its size, too."""

chain_key = tuple[str, str, str, str]
"""Backend, family, table, chain."""
DROPPING = ("drop", "reject", "queue", "steal")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRule:
    """A rule as it was printed: what is needed to find the ways, and how to read the rest."""

    targets: tuple[str, ...] = ()
    """Chains of its table to which it jumps."""
    drops: bool = False
    sets_mark: int = 0
    """Bits of the packet mark that it may set."""
    read: Callable[[], Sequence[FirewallStep]]


def ways_to_drops(
    rules: Mapping[chain_key, Sequence[RawRule]], chains: Iterable[FirewallChain]
) -> tuple[tuple[FirewallStep, ...] | None, int]:
    """The steps of all chains on the ways to drops, None when they are too many; bits of the mark set elsewhere."""
    wanted = _with_callees(_leading_to_drops(rules, chains), rules)
    elsewhere = 0
    for key, here in rules.items():
        if key not in wanted:
            for rule in here:
                elsewhere |= rule.sets_mark
    if sum(len(rules[key]) for key in wanted if key in rules) > STEPS_LIMIT:
        return None, elsewhere
    return tuple(step for key in sorted(wanted) for rule in rules.get(key, ()) for step in rule.read()), elsewhere


def _leading_to_drops(rules: Mapping[chain_key, Sequence[RawRule]], chains: Iterable[FirewallChain]) -> set[chain_key]:
    """Chains that drop themselves or by their policy, and all that lead to them."""
    callers: dict[chain_key, list[chain_key]] = defaultdict(list)
    waiting = [_key(chain) for chain in chains if chain.policy == "drop"]
    for key, here in rules.items():
        for rule in here:
            for target in rule.targets:
                callers[(*key[:3], target)].append(key)
        if any(rule.drops for rule in here):
            waiting.append(key)
    return _closure(waiting, callers)


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
