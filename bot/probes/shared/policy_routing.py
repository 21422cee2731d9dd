"""What a kernel would do with a packet by all its routing rules and tables, as far as a report tells.

`ip route get` answers for one packet; a report holds the rules and routes themselves, so every packet of interest can
be asked about afterwards. A rule that asks for a mark, a user or a port takes only some packets: what it would do with
them is a second answer, beside the first.

Source: https://man7.org/linux/man-pages/man8/ip-rule.8.html; net/core/fib_rules.c, fib_rules_lookup()
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from bot.agent.report import NetnsState, Route, Rule, Test
from bot.probes.shared.routing import RouteTable, family_of, network_of

LOCAL = 255
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dns-tcp": 6, "dns-udp": 17}
_DNS_PORT = 53
REFUSING = frozenset({"unreachable", "blackhole", "prohibit"})


@dataclass(frozen=True, slots=True)
class Packet:
    """Where a packet comes from and goes to; `iif` "" for one that the machine sends by itself."""

    dst: str
    src: str = ""
    iif: tuple[str, ...] = ()
    """The device by which it comes in, and the bridge that this is a port of."""
    protocol: int = 0
    """0: any packet between these addresses, whose protocol and ports are not known."""
    sport: int = 0
    dport: int = 0
    """0: any, or one that its protocol does not have."""
    mark: int = 0
    """0: nobody marked it, as far as is known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a packet, and by which rule."""

    rule: Rule
    route: Route | None = None
    """None: the rule itself refuses it."""

    @property
    def refusal(self) -> str:
        """unreachable, blackhole or prohibit; "" when the packet goes on."""
        kind = self.route.type if self.route else self.rule.action
        return kind if kind in REFUSING else ""

    @property
    def way(self) -> tuple[str, str, str]:
        """By which two answers are the same: refusal, next hop and device."""
        return (self.refusal, self.route.via, self.route.dev) if self.route else (self.refusal, "", "")


def protocol_and_port(test: Test) -> tuple[int, int] | None:
    """The IP protocol of a test's packets and the port that they go to (0: none); None where a ladder of sizes went."""
    protocol = _PROTOCOLS.get(test.protocol)
    port = test.port or (_DNS_PORT if test.protocol.startswith("dns") else 0)
    return (protocol, port) if protocol else None


class Routing:
    """The rules and tables of one namespace."""

    def __init__(self, state: NetnsState) -> None:
        self._rules = sorted(state.rules, key=lambda rule: rule.priority)
        self._routes = state.routes
        self._tables: dict[tuple[int, Literal[4, 6]], RouteTable] = {}

    def answer(self, packet: Packet) -> Answer | None:
        """What becomes of a packet that nobody marked; None when no table knows a way."""
        return next((one for one in self._answers(packet) if not _may_let_be(one.rule, packet)), None)

    def choosy_answers(self, packet: Packet) -> Iterator[Answer]:
        """What rules before that would do with it, if it had the mark, the user or the port that they ask for."""
        for one in self._answers(packet):
            if not _may_let_be(one.rule, packet):
                return
            yield one

    def table(self, number: int, family: Literal[4, 6] = 4) -> RouteTable:
        """One table of a family."""
        if (number, family) not in self._tables:
            self._tables[number, family] = RouteTable(self._routes, number, family)
        return self._tables[number, family]

    def has_rules_of(self, family: Literal[4, 6]) -> bool:
        """Whether the rules of a family were read: every kernel has some."""
        return any(rule.family == family for rule in self._rules)

    @cached_property
    def written(self) -> tuple[Rule, ...]:
        """The IPv4 rules that the kernel does not make by itself."""
        return tuple(rule for rule in self._rules if rule.family == 4 and not _is_kernels(rule))

    def _answers(self, packet: Packet) -> Iterator[Answer]:
        family = family_of(packet.dst)
        for rule in self._rules:
            if (
                rule.family != family
                or rule.table == LOCAL
                or not takes(rule, packet)
                or _asks_for_others(rule, packet) is False
                or _has_mark(rule, packet) is False
            ):
                continue
            if rule.action in REFUSING:
                yield Answer(rule)
            elif rule.action == "lookup" and (route := self._route(rule, packet.dst)):
                yield Answer(rule, route)

    def _route(self, rule: Rule, dst: str) -> Route | None:
        route = self.table(rule.table, rule.family).lookup(dst)
        net = network_of(route.dst, rule.family) if route else None
        is_suppressed = rule.suppress_prefix is not None and net is not None and net.prefixlen <= rule.suppress_prefix
        return None if is_suppressed else route


def takes(rule: Rule, packet: Packet) -> bool:
    """Whether the rule takes the packet, its mark, user and ports aside.

    One that takes all but a mark (wg-quick's "not fwmark 51820") takes what nobody marked.
    """
    is_from = is_within(packet.src, rule.src) if packet.src else rule.src in {"", "all", "default"}
    is_in = not rule.iif or rule.iif in packet.iif or (rule.iif == "lo" and not packet.iif)
    matches = is_from and is_in and not rule.oif and is_within(packet.dst, rule.dst)
    if rule.is_inverted and rule.fwmark:
        matches = matches and _bears(packet, rule.fwmark)
    return matches is not rule.is_inverted


def _may_let_be(rule: Rule, packet: Packet) -> bool:
    """Whether it is not known if the rule takes the packet, addresses and devices aside."""
    return _has_mark(rule, packet) is None or _asks_for_others(rule, packet) is None


def _has_mark(rule: Rule, packet: Packet) -> bool | None:
    """Whether the packet has the mark that a rule asks for; None where it may have got one."""
    if not rule.fwmark or rule.is_inverted:
        return True
    return _bears(packet, rule.fwmark) if packet.mark else None


def _bears(packet: Packet, fwmark: str) -> bool:
    value, _, mask = fwmark.partition("/")
    return packet.mark & (int(mask, 0) if mask else 0xFFFFFFFF) == int(value, 0)


def _asks_for_others(rule: Rule, packet: Packet) -> bool | None:
    """Whether the packet has the protocol and the ports that a rule asks for; None where that is not known."""
    if not rule.others:
        return True
    if rule.is_inverted or rule.is_of_users or not packet.protocol:
        return None
    asked = ((rule.sport, packet.sport), (rule.dport, packet.dport))
    outcomes = [ports[0] <= port <= ports[-1] if port else None for ports, port in asked if ports]
    outcomes.append(rule.protocol in {0, packet.protocol})
    return False if False in outcomes else None if None in outcomes else True


def is_choosy(rule: Rule) -> bool:
    """Whether it takes only packets with a mark, of a user, or of a protocol or port."""
    return bool(rule.fwmark or rule.others)


def is_within(ip: str, cidr: str) -> bool:
    """Whether an address lies in the network of a rule; "" and "all" are every one."""
    if cidr in {"", "all", "default"}:
        return True
    net, host = network_of(cidr, family_of(ip)), network_of(ip, family_of(ip))
    if net is None or host is None:
        return False
    return int(host.network_address) & int(net.netmask) == int(net.network_address)


def in_words(answer: Answer) -> str:
    """The rule as `ip rule` prints it, and what its table says."""
    rule, route = answer.rule, answer.route
    words = [
        f"{rule.priority}:",
        "not" if rule.is_inverted else "",
        f"from {rule.src or 'all'}",
        f"to {rule.dst}" if rule.dst not in {"", "all"} else "",
        f"iif {rule.iif}" if rule.iif else "",
        f"fwmark {rule.fwmark}" if rule.fwmark else "",
        rule.others,
        f"lookup {rule.table}" if route else rule.action,
        f"({route_words(route)})" if route and answer.refusal else "",
    ]
    return " ".join(filter(None, words))[:140]


def route_words(route: Route) -> str:
    """The route as `ip route` prints it."""
    kind = route.type if route.type != "unicast" else ""
    words = (kind, route.dst, f"via {route.via}" if route.via else "", f"dev {route.dev}" if route.dev else "")
    return " ".join(filter(None, words))[:120]


def _is_kernels(rule: Rule) -> bool:
    return rule.priority in {0, 32766, 32767} and not (rule.src or rule.dst or rule.iif or rule.fwmark or rule.others)
