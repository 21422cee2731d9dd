"""Rules that change packets and let them go on: new addresses, another mark, fewer hops, another zone of connection
tracking or none.

Nothing is lost by them where they stand; a packet may die of it further on. What harms no packet by itself (its class
of service, its segment size, the mark of its connection) is left out, and so are the many rules of Services.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from bot.agent import iptables_matches, nft_matches
from bot.agent.filter_ways import RawRule, chain_key
from bot.agent.report import FirewallChain, FirewallChange

CHANGES_LIMIT = 200
_Change = tuple[str, str]
"""Kind and value, as `FirewallChange` has them."""
_HOPS = {("ip", "ttl"), ("ip6", "hoplimit")}
SERVICE_MARK = 0x4000
"""By which kube-proxy remembers whose source it is to change (masqueradeBit 14, as it is everywhere)."""
_ZONE_OPTIONS = {"--zone": "", "--zone-orig": "original", "--zone-reply": "reply"}


def nft_change(statement: Mapping[str, Any]) -> _Change | None:
    """What a statement of nft's JSON changes; None when it changes nothing of interest."""
    for kind, word in (("dnat", "destination"), ("snat", "source")):
        if kind in statement:
            nat = _dict(statement[kind])
            return word, f"{_nft_range(nat.get('addr'))}:{_nft_range(nat.get('port'))}"
    if "redirect" in statement:
        return "redirect", f":{_nft_range(_dict(statement['redirect']).get('port'))}"
    if "notrack" in statement:
        return "untracked", ""
    return _nft_mangle(statement)


def _nft_mangle(statement: Mapping[str, Any]) -> _Change | None:
    mangle = _dict(statement.get("mangle"))
    if nft_matches.sets_mark(statement):
        known = nft_matches.mark_set(statement)
        return "mark", f"{known[0]:#x}/{known[1]:#x}" if known else ""
    payload, value = _dict(_dict(mangle.get("key")).get("payload")), mangle.get("value")
    tracking = _dict(_dict(mangle.get("key")).get("ct"))
    if tracking.get("key") == "zone":
        return "zone", _zone(value, str(tracking.get("dir", "")))
    place = (payload.get("protocol"), payload.get("field"))
    if place in _HOPS:
        return "hops", str(value) if isinstance(value, int) else ""
    if place[1] in {"daddr", "saddr"} and place[0] in {"ip", "ip6"}:
        return "destination" if place[1] == "daddr" else "source", f"{_nft_range(value)}:"
    return ("destination", f":{_nft_range(value)}") if place[1] == "dport" else None


def _nft_range(value: object) -> str:
    """An address or a port, or two with a dash; "" for none and for what is looked up."""
    if isinstance(value, str | int):
        return str(value)
    ends = _dict(value).get("range")
    return "-".join(map(str, cast("list[object]", ends))) if isinstance(ends, list) else ""


def iptables_change(options: dict[str, str], target: str, words: Collection[str]) -> _Change | None:
    """What a rule of iptables-save changes; None when it changes nothing of interest."""
    if target in {"DNAT", "SNAT"}:
        ip, port = _endpoint(options.get("--to-destination" if target == "DNAT" else "--to-source", ""))
        return "destination" if target == "DNAT" else "source", f"{ip}:{port}"
    if target == "REDIRECT":
        return "redirect", f":{options.get('--to-ports', '')}"
    if target == "NOTRACK" or (target == "CT" and "--notrack" in words):
        return "untracked", ""
    if target == "CT" and (zones := _ZONE_OPTIONS.keys() & options.keys()):
        option = min(zones)
        return "zone", _zone(options[option], _ZONE_OPTIONS[option])
    if target in {"TTL", "HL"}:
        how = {f"--{target.lower()}-{word}": sign for word, sign in (("set", ""), ("dec", "-"), ("inc", "+"))}
        return "hops", next((sign + options[option] for option, sign in how.items() if option in options), "")
    known = iptables_matches.mark_set(options, target)
    is_mark = target == "MARK" or (target == "CONNMARK" and "--restore-mark" in words)
    return ("mark", f"{known[0]:#x}/{known[1]:#x}" if known else "") if is_mark else None


def _zone(value: object, direction: str) -> str:
    """Its number, and the direction whose packets it is for; "" for one that is taken from the packet."""
    if not str(value).isdecimal():
        return ""
    return f"{value}/{direction}" if direction else str(value)


def unmarks_services(change: _Change | None) -> bool:
    """Whether a packet that has kube-proxy's mark has it no more behind this, or may not have it."""
    kind, to = change or ("", "")
    keep, slash, flip = to.partition("/")
    return kind == "mark" and (not slash or not (SERVICE_MARK & int(keep, 16)) ^ (SERVICE_MARK & int(flip, 16)))


def verdict_of(change: _Change | None) -> str:
    """How a change of where packets go stands in a step: "dnat 10.0.0.1:80", notrack; "" for any other change."""
    kind, to = change or ("", "")
    address, _, port = to.rpartition(":")
    fixed = "" if "-" in address else address
    match kind:
        case "destination":
            shown = f"[{fixed}]" if ":" in fixed else fixed
            return f"dnat {shown}:{port}" if fixed and port else f"dnat {fixed}".strip()
        case "source":
            return f"snat {fixed}".strip()
        case "redirect":
            return f"redirect :{port}" if port.isdecimal() else "redirect"
        case "untracked":
            return "notrack"
        case "hops":
            return f"ttl {to}" if to.isdecimal() else ""
        case _:
            return ""


def _endpoint(text: str) -> tuple[str, str]:
    """("10.0.0.1", "80") of "10.0.0.1:80", ("fd00::1", "80") of "[fd00::1]:80"."""
    if text.startswith("["):
        ip, _, port = text[1:].partition("]")
        return ip, port.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    ip, _, port = text.partition(":")
    return ip, port


def hooked(
    changes: Sequence[FirewallChange],
    rules: Mapping[chain_key, Sequence[RawRule]],
    chains: Iterable[FirewallChain],
) -> tuple[FirewallChange, ...]:
    """Each with the hook from which packets come to it, once for each of them; not those that none comes to."""
    if not changes:
        return ()
    callers: dict[chain_key, set[chain_key]] = defaultdict(set)
    for key, here in rules.items():
        for rule in here:
            for target in rule.targets:
                callers[(*key[:3], target)].add(key)
    base = {(one.backend, one.family, one.table, one.chain): one for one in chains if one.hook}
    found = [
        replace(change, hook=hook.hook.lower(), priority=hook.priority, devices=hook.devices)
        for change in changes
        for key in _above((change.backend, change.family, change.table, change.chain), callers)
        if (hook := base.get(key))
    ]
    return tuple(found[:CHANGES_LIMIT])


def _above(chain: chain_key, callers: Mapping[chain_key, Iterable[chain_key]]) -> Iterator[chain_key]:
    """The chain and all that lead to it."""
    seen: set[chain_key] = set()
    waiting = [chain]
    while waiting:
        key = waiting.pop(0)
        if key not in seen:
            seen.add(key)
            yield key
            waiting += sorted(callers.get(key, ()))


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
