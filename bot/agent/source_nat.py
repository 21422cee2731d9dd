"""Do packets that leave the cluster get another source address? The way through the nat rules of a node, by hand.

A pod's own address means nothing outside: without masquerading nothing comes back. Each rule is asked whether it takes
a packet from a pod to an address outside, in order, chain by chain; what a condition of another kind says is unknown.

Source: https://wiki.nftables.org/wiki-nftables/index.php/Performing_Network_Address_Translation_(NAT)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast

from bot.agent.report import EgressNat, FirewallChain

DEEPEST = 12
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
TRANSLATING = frozenset({"masquerade", "snat", "MASQUERADE", "SNAT", "NETMAP"})
ENDS = frozenset({"accept", "ACCEPT", "drop", "DROP"})
GOES_ON = frozenset({"LOG", "MARK", "CONNMARK", "NFLOG", "TRACE", ""})

chain_name = str
chain_key = tuple[str, str, str, str]
"""Backend, family, table, chain."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A packet of a pod that leaves the node."""

    src: str
    dst: str
    oif: str
    """The device by which it leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition: the field has one of the values; None as values: they are not known."""

    field: str
    values: tuple[str, ...] | None = None
    is_inverted: bool = False

    def holds(self, packet: Leaving) -> bool | None:
        """Whether it holds; None: unknown."""
        if self.values is None:
            return None
        if self.field == "mark":
            found: bool | None = any(_is_zero(value) for value in self.values)
        elif self.field in {"saddr", "daddr"}:
            ip = packet.src if self.field == "saddr" else packet.dst
            found = any(_is_in(ip, value) for value in self.values)
        elif self.field == "oif":
            found = any(_is_device(packet.oif, value) for value in self.values) if packet.oif else None
        else:
            return None
        return found if found is None else found is not self.is_inverted


@dataclass(frozen=True, slots=True, kw_only=True)
class NatRule:
    """A rule of a nat table, as far as it matters who gets another source address."""

    conditions: tuple[Condition, ...] = ()
    verdict: str = ""
    """masquerade, accept, return, "jump X", "goto X", "" for anything that goes on."""

    def takes(self, packet: Leaving) -> bool | None:
        """Whether all its conditions hold; None: unknown."""
        outcomes = [one.holds(packet) for one in self.conditions]
        return False if False in outcomes else None if None in outcomes else True


def is_translated(
    packet: Leaving, hooks: Iterable[chain_name], chains: Mapping[chain_name, Sequence[NatRule]]
) -> bool | None:
    """Whether one of these chains (of one table) gives the packet another source; None: perhaps."""
    words = {"yes": True, "perhaps": None}
    return any_of(words.get(_walk(packet, name, chains, 0), False) for name in hooks)


def any_of(outcomes: Iterable[bool | None]) -> bool | None:
    """True when one is, else unknown when one is, else False."""
    found = list(outcomes)
    return True if True in found else None if None in found else False


def _walk(packet: Leaving, name: chain_name, chains: Mapping[chain_name, Sequence[NatRule]], depth: int) -> str:
    """yes, perhaps, no (it was accepted) or "" (it came to the end of the chain)."""
    perhaps = ""
    for rule in chains.get(name, ()) if depth < DEEPEST else ():
        takes = rule.takes(packet)
        if takes is False:
            continue
        outcome = _outcome(packet, rule, chains, depth)
        if takes is None or outcome == "perhaps":
            perhaps = "perhaps" if outcome in {"yes", "perhaps"} else perhaps
        elif outcome in {"yes", "no"}:
            return perhaps or outcome
        elif outcome == "return":
            break
    return perhaps


def _outcome(packet: Leaving, rule: NatRule, chains: Mapping[chain_name, Sequence[NatRule]], depth: int) -> str:
    kind, _, target = rule.verdict.partition(" ")
    if kind == "masquerade":
        return "yes"
    if kind == "accept":
        return "no"
    if kind in {"jump", "goto"}:
        found = _walk(packet, target, chains, depth + 1)
        return found or ("return" if kind == "goto" else "")
    return kind


def egress_nat(
    leaving: Iterable[tuple[str, Leaving]], base: Iterable[FirewallChain], nat: Mapping[chain_key, Sequence[NatRule]]
) -> tuple[EgressNat, ...]:
    """Whether each packet that leaves, named by its pod, gets another source address from the rules of some table."""
    hooks: dict[tuple[str, str, str], list[chain_name]] = defaultdict(list)
    for chain in base:
        if chain.hook == "postrouting" and chain.family in {"ip", "inet"}:
            hooks[chain.backend, chain.family, chain.table].append(chain.chain)
    tables = [(at, {key[3]: rules for key, rules in nat.items() if key[:3] == table}) for table, at in hooks.items()]
    found: list[EgressNat] = []
    for pod, packet in leaving:
        outcome = any_of(is_translated(packet, at, chains) for at, chains in tables)
        found.append(EgressNat(pod=pod, dst=packet.dst, is_translated=outcome))
    return tuple(found)


# Reading


def nft_nat_rule(expressions: Iterable[Mapping[str, Any]], sets: Mapping[str, Sequence[object]]) -> NatRule:
    """A rule from nft's JSON. `sets` are the named ones of its table."""
    conditions: list[Condition] = []
    verdict = ""
    for kind, value in (pair for expression in expressions for pair in expression.items()):
        if kind == "match":
            conditions.append(_nft_condition(value, sets))
        elif kind == "vmap" or (kind == "xt" and value.get("name") not in TRANSLATING | GOES_ON):
            conditions.append(Condition(field="unknown"))
        else:
            verdict = _nft_verdict(kind, value) or verdict
    return NatRule(conditions=tuple(conditions), verdict=verdict)


def _nft_verdict(kind: str, value: Any) -> str:
    if kind in {"jump", "goto"}:
        return f"{kind} {value.get('target', '')}"
    name = value.get("name") if kind == "xt" else kind
    if name in TRANSLATING:
        return "masquerade"
    return "return" if name == "return" else "accept" if name in ENDS else ""


def _nft_condition(match: Mapping[str, Any], sets: Mapping[str, Sequence[object]]) -> Condition:
    left, mask = cast("object", match.get("left")), ""
    parts = cast("dict[str, Any]", left).get("&") if isinstance(left, dict) else None
    if isinstance(parts, list):
        left, mask = cast("list[object]", parts)[0], f"/{cast('list[object]', parts)[1]}"
    field = _nft_field(cast("object", left))
    values = _nft_values(match.get("right"), sets) if field != "unknown" else None
    if values is not None and field == "mark":
        values = tuple(f"{value}{mask}" for value in values)
    operator = match.get("op")
    is_known = operator in {"==", "in", "!="}
    return Condition(field=field, values=values if is_known else None, is_inverted=operator == "!=")


def _nft_field(left: object) -> str:
    if not isinstance(left, dict):
        return "unknown"
    [(kind, value)] = list(cast("dict[str, Any]", left).items())[:1] or [("", {})]
    if kind == "payload" and value.get("protocol") in {"ip", "ip4"}:
        return str(value.get("field", "unknown"))
    if kind == "meta":
        return {"mark": "mark", "oifname": "oif", "oif": "oif"}.get(str(value.get("key")), "unknown")
    return "unknown"


def _nft_values(right: object, sets: Mapping[str, Sequence[object]]) -> tuple[str, ...] | None:
    if isinstance(right, str) and right.startswith("@"):
        elements = sets.get(right[1:])
        return None if elements is None else _all_values(elements)
    if isinstance(right, dict) and "set" in right:
        return _all_values(cast("Sequence[object]", right["set"]))
    value = _nft_value(cast("object", right))
    return None if value is None else (value,)


def _all_values(elements: Sequence[object]) -> tuple[str, ...] | None:
    found = [_nft_value(one) for one in elements]
    return None if None in found else tuple(one for one in found if one is not None)


def _nft_value(value: object) -> str | None:
    if isinstance(value, str | int):
        return str(value)
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if "prefix" in fields:
        return f"{fields['prefix'].get('addr')}/{fields['prefix'].get('len')}"
    if "elem" in fields:
        return _nft_value(cast("object", fields["elem"].get("val")))
    return None


def iptables_nat_rule(text: str, target: str) -> NatRule:
    """A rule from a line of iptables-save, behind the chain's name."""
    words = QUOTED.sub('""', text).split()
    conditions = [one for at in range(len(words)) if (one := _iptables_condition(words, at))]
    if target in TRANSLATING:
        verdict = "masquerade"
    elif target in ENDS or target == "RETURN":
        verdict = "return" if target == "RETURN" else "accept"
    else:
        verdict = "" if target in GOES_ON else f"{'goto' if '-g' in words else 'jump'} {target}"
    return NatRule(conditions=tuple(conditions), verdict=verdict)


_FIELDS = {"-s": "saddr", "-d": "daddr", "-o": "oif", "--mark": "mark"}
_HARMLESS = frozenset(
    {"-m", "-j", "-g", "--comment", "--random-fully", "--random", "--to-source", "--to-ports", "--persistent"}
)
_ONLY_LOCAL = frozenset({"--dst-type", "--src-type"})


def _iptables_condition(words: Sequence[str], at: int) -> Condition | None:
    option = words[at]
    if not option.startswith("-") or option in _HARMLESS:
        return None
    is_inverted = at > 0 and words[at - 1] == "!"
    value = words[at + 1] if at + 1 < len(words) else ""
    if option in _ONLY_LOCAL and value == "LOCAL":
        # Neither a pod's address nor one outside is the node's own.
        return Condition(field="saddr", values=(), is_inverted=is_inverted)
    if option in _FIELDS:
        value = value.replace("+", "*") if option == "-o" else value
        return Condition(field=_FIELDS[option], values=(value,), is_inverted=is_inverted)
    if words[max(0, at - 1)] in {"-j", "-g"}:
        return None
    return Condition(field="unknown") if option.startswith(("--match-set", "--ctstate", "-p", "--")) else None


def _is_zero(value: str) -> bool:
    """Whether a packet without a mark has this one, as "value/mask"."""
    number, _, mask = value.partition("/")
    try:
        return int(number, 0) & (int(mask, 0) if mask else 0xFFFFFFFF) == 0
    except ValueError:
        return False


def _is_in(ip: str, cidr: str) -> bool:
    try:
        return ip_address(ip) in ip_network(cidr, strict=False)
    except ValueError:
        return False


def _is_device(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
