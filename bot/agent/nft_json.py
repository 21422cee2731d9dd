"""What `nft -j list …` prints.

Source: https://manpages.debian.org/bookworm/libnftables1/libnftables-json.5.en.html
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from bot.agent.filter_ways import RawRule
from bot.agent.nft_matches import keyed, mark_set, matches_of, sets_mark
from bot.agent.nft_text import expression_text
from bot.agent.packet_changes import nft_change, unmarks_services, verdict_of
from bot.agent.report import FirewallChain, FirewallChange, FirewallMatch, FirewallRule, FirewallStep
from bot.agent.rules import MANY_OF_A_KIND, RULES_LIMIT, TEXT_LIMIT, RuleSet, Step
from bot.agent.source_nat import nft_nat_rule

Object = Mapping[str, Any]
ELEMENTS_LIMIT = 20_000
NAME_LIMIT = 255
"""The kernel's own limit; kube-proxy's chains of endpoints have 80 characters and more."""
SERVICES_TABLE = "kube-proxy"
"""Has a chain for each Service and endpoint."""
NESTING = frozenset({"set", "concat", "elem", "val"})
MOST_PACKETS = (1 << 63) - 1


class NftError(ValueError):
    """The tool's output is not what nft prints."""


def parse_nft(text: str | bytes, *, with_steps: bool) -> RuleSet:
    """Base chains, drops and (asked for) steps of Service traffic.

    NftError when it is not JSON of nft; objects that make no sense are left out.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NftError(f"not JSON: {error}") from error
    listed = _dict(document).get("nftables")
    if not isinstance(listed, list):
        raise NftError("no list of objects in it")
    return _Reader(cast("list[object]", listed), with_steps=with_steps).read()


class _Reader:
    def __init__(self, listed: list[object], *, with_steps: bool) -> None:
        self._with_steps = with_steps
        self._objects: dict[str, list[Object]] = {"chain": [], "rule": [], "map": [], "set": [], "counter": []}
        for item in listed[:RULES_LIMIT]:
            for kind, value in _dict(item).items():
                if kind in self._objects:
                    self._objects[kind].append(_dict(value))
        self._counters = {(*_table(one), _str(one, "name")): one.get("packets") for one in self._objects["counter"]}
        self._maps = {(*_table(one), _str(one, "name")): list(_pairs(one.get("elem"))) for one in self._objects["map"]}
        self._sets = {(*_table(one), _str(one, "name")): _list(one.get("elem")) for one in self._objects["set"]}

    def read(self) -> RuleSet:
        found = RuleSet()
        counts = Counter((*_table(rule), _str(rule, "chain")) for rule in self._objects["rule"])
        for chain in self._objects["chain"]:
            found.add_name(_str(chain, "name"), _str(chain, "table"))
            if "hook" in chain:
                found.chains.append(_base_chain(chain, counts[*_table(chain), _str(chain, "name")]))
        tables = {(one.family, one.table) for one in found.chains if one.hook == "postrouting"}
        translating = {table: self._named_sets(table) for table in tables}
        for rule in self._objects["rule"]:
            expressions = [_dict(one) for one in _list(rule.get("expr"))]
            if verdict := _dropping(expressions):
                found.drops.append(self._drop(rule, expressions, verdict))
            found.changes += self._changes(rule, expressions)
            key = ("nft", *_table(rule), _str(rule, "chain"))
            if _table(rule) in translating:
                found.nat[key].append(nft_nat_rule(expressions, translating[_table(rule)]))
            if self._with_steps:
                found.steps[key] += self._steps(_table(rule), expressions)
                found.ways[key].append(self._raw(rule, expressions))
        return found

    def _named_sets(self, table: tuple[str, str]) -> dict[str, list[Any]]:
        return {name: elements for (*at, name), elements in self._sets.items() if tuple(at) == table}

    def _raw(self, rule: Object, expressions: Sequence[Object]) -> RawRule:
        table = _table(rule)
        verdicts = [*expressions]
        for expression in expressions:
            if "vmap" in expression:
                verdicts += [_dict(one) for _, one in self._elements(table, _dict(expression["vmap"]).get("data"))]
        return RawRule(
            targets=tuple({target for verdict in verdicts for target in _jumps(verdict)}),
            drops=any(_terminal(verdict) in _TAKING or "reject" in verdict for verdict in verdicts),
            rewrites=any(verdict_of(each) or unmarks_services(each) for each in map(nft_change, expressions)),
            sets_mark=0xFFFFFFFF if any(map(sets_mark, expressions)) else 0,
            read=partial(self._way, rule, expressions),
        )

    def _way(self, rule: Object, expressions: Sequence[Object]) -> Sequence[FirewallStep]:
        """The rule as steps: one, or one for each element of its verdict map."""
        table = _table(rule)
        found: list[FirewallStep] = []
        matches: list[FirewallMatch] = []
        text = (" ".join(map(expression_text, expressions)) + _comment(rule))[:TEXT_LIMIT]
        for expression in expressions:
            matches += matches_of(expression, lambda name: self._sets.get((*table, name)))
            if "vmap" in expression:
                vmap = _dict(expression["vmap"])
                for key, verdict in self._elements(table, vmap.get("data")):
                    conditions = (*matches, *keyed(vmap.get("key"), [key]))
                    found += _step(rule, conditions, _dict(verdict), text)
            else:
                found += _step(rule, tuple(matches), expression, text)
        return found

    def _drop(self, rule: Object, expressions: Sequence[Object], verdict: str) -> FirewallRule:
        family, table = _table(rule)
        return FirewallRule(
            backend="nft",
            family=family,
            table=table,
            chain=_str(rule, "chain"),
            verdict=verdict,
            text=(" ".join(map(expression_text, expressions)) + _comment(rule))[:TEXT_LIMIT],
            handle=_handle(rule),
            packets=self._packets((family, table), expressions),
        )

    def _changes(self, rule: Object, expressions: Sequence[Object]) -> Iterator[FirewallChange]:
        (family, table), chain = _table(rule), _str(rule, "chain")
        if chain.startswith(MANY_OF_A_KIND) or table == SERVICES_TABLE:
            return
        for at, expression in enumerate(expressions):
            if changed := nft_change(expression):
                before = expressions[:at]
                yield FirewallChange(
                    backend="nft",
                    family=family,
                    table=table,
                    chain=chain,
                    kind=changed[0],
                    to=changed[1],
                    matches=tuple(
                        match for one in before for match in matches_of(one, self._elements_of(family, table))
                    ),
                    text=(" ".join(map(expression_text, expressions)) + _comment(rule))[:TEXT_LIMIT],
                    packets=self._packets((family, table), expressions),
                )

    def _elements_of(self, family: str, table: str) -> Callable[[str], Sequence[object] | None]:
        return lambda name: self._sets.get((family, table, name))

    def _packets(self, table: tuple[str, str], expressions: Iterable[Object]) -> int | None:
        for expression in expressions:
            counter = expression.get("counter")
            packets = (
                self._counters.get((*table, counter)) if isinstance(counter, str) else _dict(counter).get("packets")
            )
            if isinstance(packets, int):
                return min(packets, MOST_PACKETS)
        return None

    def _steps(self, table: tuple[str, str], expressions: Sequence[Object]) -> Iterator[Step]:
        """The rule itself, and each element of the verdict maps that it looks in."""
        ips, ports, protocols = _destinations(expressions)
        jumps: list[str] = []
        backends: list[str] = []
        for expression in expressions:
            jumps += _jumps(expression)
            backends += self._dnat(table, _dict(expression.get("dnat")))
            if "vmap" not in expression:
                continue
            for key, verdict in self._elements(table, _dict(expression["vmap"]).get("data")):
                named = _named_in_key(key)
                if named[0]:
                    yield Step(ips=named[0], ports=named[1], protocols=named[2], jumps=tuple(_jumps(_dict(verdict))))
                else:
                    jumps += _jumps(_dict(verdict))
        yield Step(
            ips=ips,
            ports=ports,
            protocols=protocols,
            jumps=tuple(jumps),
            backends=tuple(backends),
            is_reject=any("reject" in expression for expression in expressions),
        )

    def _elements(self, table: tuple[str, str], data: object) -> Iterator[tuple[object, object]]:
        """Pairs of a map, whether it has a name or stands in the rule."""
        if isinstance(data, str):
            yield from self._maps.get((*table, data.removeprefix("@")), ())
        else:
            yield from _pairs(_dict(data).get("set"))

    def _dnat(self, table: tuple[str, str], dnat: Object) -> Iterator[str]:
        address, port = dnat.get("addr"), dnat.get("port")
        fixed = port if isinstance(port, int) else 0
        if isinstance(address, str):
            yield f"{address}:{fixed}"
        for _, value in self._elements(table, _dict(_dict(address).get("map")).get("data")):
            leaves = list(_leaves(value))
            ip = next((leaf for leaf in leaves if isinstance(leaf, str)), None)
            if ip is not None:
                yield f"{ip}:{next((leaf for leaf in leaves if isinstance(leaf, int)), fixed)}"


_TAKING = frozenset({"drop", "queue", "steal"})
_TERMINAL = {"drop": "drop", "accept": "accept", "return": "return", "queue": "queue", "fwd": "steal", "notrack": ""}
_NAT = ("dnat", "snat", "masquerade", "redirect")


def _terminal(verdict: Object) -> str:
    """What becomes of a packet, in the report's word; "" for a statement that decides nothing."""
    for kind, word in _TERMINAL.items():
        if kind in verdict:
            return word
    if "reject" in verdict:
        return _rejecting(verdict)
    for kind in ("jump", "goto"):
        if kind in verdict:
            return f"{kind} {_dict(verdict[kind]).get('target')}"
    target = _dict(verdict.get("xt"))
    if target.get("type") == "target":
        name = str(target.get("name"))
        return {"DROP": "drop", "REJECT": "reject", "ACCEPT": "accept", "RETURN": "return"}.get(name, "")
    return "accept" if verdict.keys() & {*_NAT} else ""


def _step(rule: Object, matches: Sequence[FirewallMatch], statement: Object, text: str) -> Iterator[FirewallStep]:
    """What the statement does with packets that met the conditions before it."""
    family, table = _table(rule)
    change = nft_change(statement)
    rewriting = verdict_of(change)
    verdict = rewriting or _terminal(statement)
    if not verdict and sets_mark(statement):
        known = mark_set(statement)
        verdict = f"mark {known[0]:#x}/{known[1]:#x}" if known else "mark"
    if verdict:
        takes = verdict in _TAKING or verdict.startswith("reject") or bool(rewriting) or unmarks_services(change)
        yield FirewallStep(
            backend="nft",
            family=family,
            table=table,
            chain=_str(rule, "chain"),
            matches=tuple(matches),
            verdict=verdict,
            text=text if takes else "",
            handle=_handle(rule) if takes else 0,
        )


def _handle(rule: Object) -> int:
    value = rule.get("handle")
    return value if type(value) is int and 0 < value <= MOST_PACKETS else 0


def _comment(rule: Object) -> str:
    return f' comment "{_str(rule, "comment")}"' if rule.get("comment") else ""


def _rejecting(verdict: Object) -> str:
    reject = _dict(verdict["reject"])
    how = f"{reject.get('type', '')} {reject.get('expr', '')}".strip()
    return f"reject with {how}"[:80] if how else "reject"


def _base_chain(chain: Object, rules: int) -> FirewallChain:
    family, table = _table(chain)
    priority = chain.get("prio")
    return FirewallChain(
        backend="nft",
        family=family,
        table=table,
        chain=_str(chain, "name"),
        hook=_str(chain, "hook"),
        priority=priority if isinstance(priority, int) else 0,
        policy=_str(chain, "policy"),
        rules=rules,
        devices=tuple(str(one)[:64] for one in _list(chain.get("dev")) or [chain.get("dev")] if one),
    )


def _dropping(expressions: Iterable[Object]) -> str:
    """The verdict of a rule that drops or rejects, a verdict map in it included; "" for any other."""
    for expression in expressions:
        if "drop" in expression:
            return "drop"
        if "reject" in expression:
            return _rejecting(expression)
        target = _dict(expression.get("xt"))
        if target.get("type") == "target" and target.get("name") in {"DROP", "REJECT"}:
            return str(target["name"]).lower()
        if any(
            "drop" in _dict(verdict)
            for _, verdict in _pairs(_dict(_dict(expression.get("vmap")).get("data")).get("set"))
        ):
            return "drop"
    return ""


def _destinations(expressions: Iterable[Object]) -> tuple[frozenset[str], frozenset[int], frozenset[str]]:
    """The destination addresses, ports and protocols that a rule's matches name."""
    ips: set[str] = set()
    ports: set[int] = set()
    protocols: set[str] = set()
    for expression in expressions:
        match = _dict(expression.get("match"))
        if match.get("op") not in {"==", "in"}:
            continue
        left = match.get("left")
        fields = {_str(payload, "field") for payload in _payloads(left)}
        protocols |= {_str(payload, "protocol") for payload in _payloads(left)} & {"tcp", "udp"}
        for leaf in _leaves(match.get("right")):
            if isinstance(leaf, int) and "dport" in fields:
                ports.add(leaf)
            elif leaf in {"tcp", "udp"}:
                protocols.add(str(leaf))
            elif isinstance(leaf, str) and "daddr" in fields:
                ips.add(leaf)
    return frozenset(ips), frozenset(ports), frozenset(protocols)


def _named_in_key(key: object) -> tuple[frozenset[str], frozenset[int], frozenset[str]]:
    """The same of a map's key: addresses have dots or colons, protocols are words, ports are numbers."""
    leaves = list(_leaves(key))
    words = {leaf for leaf in leaves if isinstance(leaf, str)}
    return (
        frozenset(word for word in words if "." in word or ":" in word),
        frozenset(leaf for leaf in leaves if isinstance(leaf, int)),
        frozenset(words & {"tcp", "udp"}),
    )


def _payloads(left: object) -> Iterator[Object]:
    for part in _list(_dict(left).get("concat")) or [left]:
        payload = _dict(part).get("payload")
        if payload is not None:
            yield _dict(payload)


def _jumps(verdict: Object) -> Iterator[str]:
    for kind in ("jump", "goto"):
        target = _dict(verdict.get(kind)).get("target")
        if isinstance(target, str):
            yield target


def _pairs(elements: object) -> Iterator[tuple[object, object]]:
    for element in _list(elements)[:ELEMENTS_LIMIT]:
        pair = _list(element)
        if len(pair) == 2:
            key = _dict(pair[0]).get("elem")
            yield (_dict(key).get("val") if key is not None else pair[0]), pair[1]


def _leaves(value: object) -> Iterator[str | int]:
    """Texts and numbers of a value, however it nests; without ranges and prefixes, which name no single one."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | int) and not isinstance(item, bool):
            yield item
        elif isinstance(item, list):
            waiting += reversed(cast("list[object]", item))
        elif isinstance(item, dict):
            waiting += [part for kind, part in _dict(cast("object", item)).items() if kind in NESTING]


def _table(value: Object) -> tuple[str, str]:
    return _str(value, "family"), _str(value, "table")


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _str(value: Object, name: str) -> str:
    text = value.get(name)
    return text[:NAME_LIMIT] if isinstance(text, str) else ""
