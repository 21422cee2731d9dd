"""The conditions of one line of iptables-save (ebtables, arptables) as the report's `FirewallMatch`.

An option that has no field of the report is "unknown": it may hold or not. One of chance is "chance", one of a rate or
of a number of connections is "limit".
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.agent.nft_matches import per_second
from bot.agent.report import FirewallMatch

UNKNOWN = FirewallMatch(fields=("unknown",))
CHANCE = FirewallMatch(fields=("chance",))

_FIELDS = {
    "-s": "saddr",
    "--source": "saddr",
    "-d": "daddr",
    "--destination": "daddr",
    "--src-range": "saddr",
    "--dst-range": "daddr",
    "--sport": "sport",
    "--sports": "sport",
    "--source-port": "sport",
    "--dport": "dport",
    "--dports": "dport",
    "--destination-port": "dport",
    "-p": "proto",
    "-i": "iif",
    "-o": "oif",
    "--physdev-in": "physin",
    "--physdev-out": "physout",
    "--ctstate": "ctstate",
    "--state": "ctstate",
    "--ctstatus": "ctstatus",
    "--ctdir": "ctdirection",
    "--mark": "mark",
    "--length": "length",
    "--icmp-type": "icmptype",
    "--dst-type": "daddrtype",
    "--src-type": "saddrtype",
    "--opcode": "arpop",
    "--uid-owner": "skuid",
    "--gid-owner": "skgid",
}
_CHANCE = frozenset({"--probability", "--every"})
_LIMITS = {
    "--limit": True,
    "--hashlimit-upto": True,
    "--hashlimit-above": False,
    "--connlimit-upto": True,
    "--connlimit-above": False,
}
"""Whether it is for what keeps within the limit."""
_NOTHING = frozenset(
    {
        "-j",
        "-g",
        "-m",
        "--comment",
        "--limit-burst",
        "--packet",
        "--mode",
        "--reject-with",
        "--connlimit-mask",
        "--hashlimit-name",
        "--hashlimit-mode",
        "--hashlimit-burst",
        "--hashlimit-htable-expire",
        "--set-xmark",
        "--set-mark",
        "--queue-num",
        "--queue-balance",
        "--log-prefix",
        "--log-level",
        "--nflog-prefix",
        "--nflog-group",
        "--to-destination",
        "--to-source",
        "--to-ports",
        "--ttl-set",
        "--ttl-dec",
        "--ttl-inc",
        "--hl-set",
        "--hl-dec",
        "--hl-inc",
        "--nfmask",
        "--ctmask",
        "--set-mss",
        "--set-dscp",
        "--set-dscp-class",
        "--set-tos",
        "--zone",
        "--zone-orig",
        "--zone-reply",
    }
)
"""Options with a word that are no conditions, or belong to a target."""
_FLAGS = frozenset(
    {
        "-f",
        "--connlimit-daddr",
        "--connlimit-saddr",
        "--queue-bypass",
        "--random",
        "--random-fully",
        "--persistent",
        "--notrack",
        "--restore-mark",
        "--save-mark",
        "--clamp-mss-to-pmtu",
    }
)
"""Options without a word."""
_TWO_WORDS = frozenset({"--tcp-flags", "--match-set"})
_RPFILTER = frozenset({"--rpfilter", "--invert", "--loose", "--validmark", "--accept-local"})
_WHOLE = {
    **dict.fromkeys(_RPFILTER, FirewallMatch(fields=("rpf",))),
    "--physdev-is-bridged": FirewallMatch(fields=("switched",), values=("yes",)),
}
"""Options that are a condition by themselves."""
_ICMP = {"8": "echo-request", "0": "echo-reply"}


def matches_of(text: str) -> tuple[FirewallMatch, ...]:
    """All conditions of a rule's options."""
    try:
        words = shlex.split(text)
    except ValueError:
        return (UNKNOWN,)
    return tuple(_matches(words))


def mark_set(options: dict[str, str], target: str) -> tuple[int, int] | None:
    """(mask to keep, bits to flip) of `-j MARK …`; None for any other target, or a way that is not known."""
    if target != "MARK":
        return None
    for option, is_xor in (("--set-xmark", True), ("--set-mark", False)):
        if word := options.get(option):
            value, _, mask = word.partition("/")
            try:
                bits, cleared = int(value, 0), int(mask or "0xffffffff", 0)
            except ValueError:
                return None
            return ~(cleared if is_xor else cleared | bits) & 0xFFFFFFFF, bits
    return None


def _matches(words: Sequence[str]) -> Iterator[FirewallMatch]:
    at, is_inverted = 0, False
    while at < len(words):
        option = words[at]
        width = _width(option)
        if match := _condition(option, words[at + 1 : at + 1 + width], is_inverted=is_inverted):
            yield match
        is_inverted = option == "!"
        at += 1 + width


def _width(option: str) -> int:
    """How many words follow an option as its own."""
    if option in _TWO_WORDS:
        return 2
    return int(option in _FIELDS or option in _CHANCE or option in _LIMITS or option in _NOTHING)


def _condition(option: str, operands: Sequence[str], *, is_inverted: bool) -> FirewallMatch | None:
    if option in _FIELDS:
        return _match(_FIELDS[option], "".join(operands), is_inverted=is_inverted)
    if option in _LIMITS:
        return _limit("".join(operands), is_within=_LIMITS[option] is not is_inverted)
    if option in _CHANCE or option in _WHOLE:
        return (
            CHANCE
            if option in _CHANCE
            else replace(_WHOLE[option], is_inverted=is_inverted and option not in _RPFILTER)
        )
    if option == "--syn":
        return _flags("fin,syn,rst,ack", "syn", is_inverted=is_inverted)
    if option == "--tcp-flags" and len(operands) == 2:
        return _flags(operands[0], operands[1], is_inverted=is_inverted)
    is_known = not option.startswith("-") or option in _NOTHING or option in _FLAGS
    return None if is_known else UNKNOWN


def _limit(word: str, *, is_within: bool) -> FirewallMatch:
    number, slash, unit = word.partition("/")
    known = per_second(number, unit) if slash else number if number.isdecimal() else ""
    return FirewallMatch(fields=("limit",), values=(known,) if known else (), is_inverted=is_within)


def _flags(mask: str, value: str, *, is_inverted: bool) -> FirewallMatch:
    everything = "fin,syn,rst,psh,ack,urg"
    names = [one.lower().replace("all", everything).replace("none", "") for one in (value, mask)]
    return FirewallMatch(fields=("tcpflags",), values=(f"{names[0]}/{names[1]}",), is_inverted=is_inverted)


def _match(field: str, word: str, *, is_inverted: bool) -> FirewallMatch:
    if field == "proto" and word == "all":
        return FirewallMatch(fields=("proto",), is_inverted=True)
    parts = [word] if field in {"proto", "iif", "oif"} else word.split(",")
    return FirewallMatch(fields=(field,), values=tuple(_value(field, one) for one in parts), is_inverted=is_inverted)


def _value(field: str, word: str) -> str:
    if field in {"iif", "oif", "physin", "physout"}:
        return word.removesuffix("+") + "*" if word.endswith("+") else word
    if field in {"saddr", "daddr"}:
        return word.removesuffix("/255.255.255.255")
    if field in {"sport", "dport", "length"}:
        return word.replace(":", "-")
    if field == "icmptype":
        return _ICMP.get(word, word)
    if field == "arpop":
        return {"1": "request", "2": "reply"}.get(word, word.lower())
    return word.lower()
