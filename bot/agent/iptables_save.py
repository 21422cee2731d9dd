"""What `iptables-save -c` and its sisters print.

Source: https://ipset.netfilter.org/iptables-save.man.html (there is no grammar; the lines are command lines)
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from bot.agent.filter_ways import RawRule
from bot.agent.iptables_matches import mark_set, matches_of
from bot.agent.packet_changes import iptables_change, unmarks_services, verdict_of
from bot.agent.report import FirewallChain, FirewallChange, FirewallRule, FirewallStep
from bot.agent.rules import MANY_OF_A_KIND, RULES_LIMIT, TEXT_LIMIT, RuleSet, Step
from bot.agent.source_nat import iptables_nat_rule

Backend = Literal["iptables-legacy", "iptables-nft"]
CHAIN = re.compile(r":(\S+) (\S+)(?: \[(\d+):)?")
RULE = re.compile(r"(?:\[(\d+):\d+\] )?-A (\S+) ?(.*)")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
SOURCE_NAT, SOURCE_NAT_PRIORITY = {("nat", "POSTROUTING"), ("nat", "INPUT")}, 100
PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}


def parse_iptables_save(text: str, backend: Backend, family: str, *, with_steps: bool) -> RuleSet:
    """Chains, drops and (asked for) the steps of Service traffic. Lines that make no sense are left out."""
    found = RuleSet()
    table = ""
    counts: dict[tuple[str, str], int] = {}
    policies: dict[tuple[str, str], tuple[str, int | None]] = {}
    for line in text.splitlines()[:RULES_LIMIT]:
        if line.startswith("*"):
            table = line[1:65]
        elif line.startswith(":") and (chain := CHAIN.match(line)):
            found.add_name(chain[1])
            if chain[2] != "-":
                policies[table, chain[1]] = chain[2].lower()[:16], int(chain[3][:18]) if chain[3] else None
        elif rule := RULE.match(line):
            counts[table, rule[2]] = counts.get((table, rule[2]), 0) + 1
            _take(found, rule, backend, family, table, with_steps=with_steps)
    found.chains = [
        FirewallChain(
            backend=backend,
            family=family,
            table=name,
            chain=chain[:64],
            hook=chain.lower()[:64],
            priority=SOURCE_NAT_PRIORITY if (name, chain) in SOURCE_NAT else PRIORITIES.get(name, 0),
            policy=policy,
            rules=counts.get((name, chain), 0),
            packets=packets,
        )
        for (name, chain), (policy, packets) in policies.items()
    ]
    return found


def saved_chains(output: bytes) -> Iterator[tuple[str, str]]:
    """(table, chain) of each chain that it prints, by hooks or not."""
    table = ""
    for line in output.decode("utf-8", "replace").splitlines()[:RULES_LIMIT]:
        if line.startswith("*"):
            table = line[1:65]
        elif line.startswith(":") and (chain := CHAIN.match(line)):
            yield table, chain[1][:64]


def _take(found: RuleSet, rule: re.Match[str], backend: Backend, family: str, table: str, *, with_steps: bool) -> None:
    packets, chain, text = rule[1], rule[2][:64], rule[3]
    options = _options(text)
    target = options.get("-j") or options.get("-g") or ""
    if target in {"DROP", "REJECT"}:
        how = options.get("--reject-with", "icmp-port-unreachable")
        found.drops.append(
            FirewallRule(
                backend=backend,
                family=family,
                table=table,
                chain=chain,
                verdict="drop" if target == "DROP" else f"reject with {how[:64]}",
                text=f"-A {chain} {text}"[:TEXT_LIMIT],
                packets=int(packets[:18]) if packets else None,
            )
        )
    changed = iptables_change(options, target, text.split()) if target in _WORDS else None
    if changed and not chain.startswith(MANY_OF_A_KIND):
        found.changes.append(
            FirewallChange(
                backend=backend,
                family=family,
                table=table,
                chain=chain,
                kind=changed[0],
                to=changed[1],
                matches=matches_of(text),
                text=f"-A {chain} {text}"[:TEXT_LIMIT],
                packets=int(packets[:18]) if packets else None,
            )
        )
    if table == "nat":
        found.nat[backend, family, table, chain].append(iptables_nat_rule(text, target))
    if with_steps:
        key = (backend, family, table, chain)
        found.steps[key].append(_step(options, target))
        way = partial(_way, backend, family, table, chain, text)
        found.ways[key].append(
            RawRule(
                targets=(target,) if target and target not in _WORDS else (),
                drops=target in _TAKING,
                rewrites=bool(verdict_of(changed)) or unmarks_services(changed),
                sets_mark=0xFFFFFFFF if target in {"MARK", "CONNMARK"} else 0,
                read=way,
            )
        )


_TAKING = {"DROP": "drop", "REJECT": "reject", "NFQUEUE": "queue", "QUEUE": "queue"}
_WORDS = {
    **_TAKING,
    "ACCEPT": "accept",
    "RETURN": "return",
    "DNAT": "accept",
    "SNAT": "accept",
    "MASQUERADE": "accept",
    "REDIRECT": "accept",
    "NETMAP": "accept",
    "CT": "",
    "LOG": "",
    "NFLOG": "",
    "CONNMARK": "mark",
    "TCPMSS": "",
    "TEE": "",
    "CLASSIFY": "",
    "MARK": "mark",
    "TRACE": "",
    "CHECKSUM": "",
    "TPROXY": "accept",
    "SET": "",
    "NOTRACK": "",
    "SECMARK": "",
    "CONNSECMARK": "",
    "DSCP": "",
    "TOS": "",
    "TTL": "",
    "HL": "",
}
"""What becomes of a packet at each target that is no chain; "" goes on to the next rule."""


def _way(backend: Backend, family: str, table: str, chain: str, text: str) -> Sequence[FirewallStep]:
    """The rule as the steps of ways to drops have it; none when it decides nothing."""
    options = _options(text)
    target = options.get("-j") or options.get("-g") or ""
    verdict = _WORDS.get(target, f"{'goto' if '-g' in options else 'jump'} {target}" if target else "")
    if target == "REJECT":
        verdict = f"reject with {options.get('--reject-with', 'icmp-port-unreachable')[:64]}"
    elif target == "MARK" and (known := mark_set(options, target)):
        verdict = f"mark {known[0]:#x}/{known[1]:#x}"
    change = iptables_change(options, target, text.split())
    rewriting = verdict_of(change)
    verdict = rewriting or verdict
    if not verdict:
        return ()
    takes = target in _TAKING or bool(rewriting) or unmarks_services(change)
    return (
        FirewallStep(
            backend=backend,
            family=family,
            table=table,
            chain=chain,
            matches=matches_of(text),
            verdict=verdict,
            text=f"-A {chain} {text}"[:TEXT_LIMIT] if takes else "",
        ),
    )


def _step(options: dict[str, str], target: str) -> Step:
    ip, _, length = options.get("-d", "").partition("/")
    port = options.get("--dport") or options.get("--dports") or ""
    protocol = options.get("-p", "")
    backend = options.get("--to-destination", "") if target == "DNAT" else ""
    return Step(
        ips=frozenset({ip} if ip and length in {"", "32", "128"} else ()),
        ports=frozenset(int(one) for one in port.split(",") if one.isascii() and one.isdecimal() and len(one) < 6),
        protocols=frozenset({protocol} if protocol else ()),
        jumps=(target,) if target and target not in {"DROP", "REJECT", "DNAT", "ACCEPT", "RETURN"} else (),
        backends=(backend if ":" in backend else f"{backend}:0",) if backend else (),
        is_reject=target == "REJECT",
    )


def _options(text: str) -> dict[str, str]:
    """Option -> its word, without those that are negated. Comments are no options, whatever they say."""
    found: dict[str, str] = {}
    words = QUOTED.sub('""', text).split()
    for at, word in enumerate(words[:-1]):
        if word.startswith("-") and (at == 0 or words[at - 1] != "!"):
            found.setdefault(word, words[at + 1][:128])
    return found
