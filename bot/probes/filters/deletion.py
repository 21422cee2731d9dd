"""The commands that delete a rule of a packet filter: exact, or none.

nft deletes by a rule's handle, which its table gives to another rule once the rules are loaded anew: so the command
before it shows which rule has the handle now. iptables deletes by the rule as it is written, and refuses when there is
none. What a report cut short, and the policy of a chain, is not deleted by a command of ours.

Source: https://wiki.nftables.org/wiki-nftables/index.php/Simple_rule_management#Removing_rules
"""

import re
import shlex
from collections.abc import Iterable, Iterator

from bot.agent.report import FirewallRule, FirewallStep
from bot.probes.filters.held import Held

TEXT_LIMIT = 300
"""Rules of this length may have been cut."""
LISTED = 10
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORD = re.compile(rf"{_QUOTED.pattern}|\S+")
_ESCAPED = re.compile(r"\\(.)")
_TOOLS = {
    ("iptables-nft", "ip"): "iptables-nft",
    ("iptables-nft", "ip6"): "ip6tables-nft",
    ("iptables-nft", "arp"): "arptables-nft",
    ("iptables-nft", "bridge"): "ebtables-nft",
    ("iptables-legacy", "ip"): "iptables-legacy",
    ("iptables-legacy", "ip6"): "ip6tables-legacy",
    ("iptables-legacy", "arp"): "arptables-legacy",
}


def deletions_of(rules: Iterable[FirewallRule | FirewallStep]) -> tuple[str, ...]:
    """For each rule that can be named exactly: a look at it (nft), and its deletion."""
    found = dict.fromkeys(command for rule in rules for command in _deletion(rule))
    return tuple(found)[: 2 * LISTED]


def deletions_of_held(held: Iterable[Held]) -> tuple[str, ...]:
    """The same of rules that took packets."""
    return deletions_of(one.taking.step for one in held if one.taking.step is not None)


def _deletion(rule: FirewallRule | FirewallStep) -> Iterator[str]:
    if rule.backend == "nft":
        if rule.handle:
            chain = shlex.join((rule.family, rule.table, rule.chain))
            yield f"nft -a list chain {chain} | grep -w 'handle {rule.handle}'"
            yield f"nft delete rule {chain} handle {rule.handle}"
        return
    tool = _TOOLS.get((rule.backend, rule.family))
    words = _words(rule.text)
    if tool and words[:2] == ["-A", rule.chain]:
        yield shlex.join((tool, "-t", rule.table, "-D", *words[1:]))


def _words(text: str) -> list[str]:
    """The words of a rule as iptables-save writes it, which is not a shell's way; none where it may have been cut."""
    if len(text) >= TEXT_LIMIT or text.count('"') != sum(each.count('"') for each in _QUOTED.findall(text)):
        return []
    return [_ESCAPED.sub(r"\1", word[1:-1]) if word.startswith('"') else word for word in _WORD.findall(text)]
