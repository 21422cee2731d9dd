"""Packet filter rules of any backend, reduced to what a diagnosis asks: who drops, and where Services lead."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bot.agent.filter_ways import RawRule, chain_key, ways_through
from bot.agent.packet_changes import hooked
from bot.agent.report import Firewall, FirewallChain, FirewallChange, FirewallRule, ServicePort, ServiceRules
from bot.agent.source_nat import NatRule

DROPS_LIMIT = 200
TEXT_LIMIT = 300
NAMES_LIMIT = 300
BACKENDS_LIMIT = 64
CHAINS_FOLLOWED = 500
IPVS = "ipvs"
"""Family, table and chain under which the virtual servers of IPVS stand, which no hook's chain leads to."""
KUBE_PROXY = re.compile(r"^(KUBE-|kube-proxy$)")
"""Its chains of iptables, its table of nftables."""
RULES_LIMIT = 200_000

KNOWN_WRITERS = (
    "cali-",
    "FLANNEL-",
    "KUBE-",
    "CILIUM_",
    "OLD_CILIUM_",
    "ufw",
    "DOCKER",
    "CNI-",
    "WEAVE",
    "ISTIO",
    "PROXY_INIT",
    "ANTREA",
    "OVN-KUBE",
    "IN_",
    "FWD",
    "f2b-",
    "LIBVIRT_",
    "nodelocaldns",
)
"""Starts of chain names. firewalld: IN_public, FWDI_public; linkerd: PROXY_INIT_REDIRECT."""
KNOWN_TABLES = ("kube-proxy", "firewalld", "calico", "cilium", "docker", "antrea", "istio")
MANY_OF_A_KIND = (
    "KUBE-SVC-",
    "KUBE-SEP-",
    "KUBE-EXT-",
    "KUBE-FW-",
    "KUBE-XLB-",
    "KUBE-SVL-",
    "KUBE-POD-FW-",
    "KUBE-NWPLCY-",
    "cali-tw-",
    "cali-fw-",
    "cali-pi-",
    "cali-po-",
    "cali-pri-",
    "cali-pro-",
    "cali-th-",
    "cali-fh-",
    "CNI-DN-",
    "CNI-SN-",
)
"""One chain for each Service, endpoint or pod: named once, with a star."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one rule, or one element of a map, does with Service traffic."""

    ips: frozenset[str] = frozenset()
    """Destination addresses that it names; empty when it takes any."""
    ports: frozenset[int] = frozenset()
    protocols: frozenset[str] = frozenset()
    jumps: tuple[str, ...] = ()
    """Names of chains of the same table."""
    backends: tuple[str, ...] = ()
    """DNAT targets, "ip:port"; ":0" when the port stays."""
    is_reject: bool = False

    def names(self, service: ServicePort) -> bool:
        """Whether it names this Service's address, and nothing else of it differs."""
        return (
            service.ip in self.ips
            and (not self.ports or service.port in self.ports)
            and (not self.protocols or service.protocol in self.protocols)
        )


@dataclass(slots=True)
class RuleSet:
    """The rules of one namespace, gathered from several tools."""

    chains: list[FirewallChain] = field(default_factory=list[FirewallChain])
    drops: list[FirewallRule] = field(default_factory=list[FirewallRule])
    changes: list[FirewallChange] = field(default_factory=list[FirewallChange])
    """Without their hooks."""
    names: set[str] = field(default_factory=set[str])
    """Chains of known writers."""
    nat: dict[chain_key, list[NatRule]] = field(default_factory=lambda: defaultdict[chain_key, list[NatRule]](list))
    """Rules of tables that translate addresses on the way out."""
    steps: dict[chain_key, list[Step]] = field(default_factory=lambda: defaultdict[chain_key, list[Step]](list))
    ways: dict[chain_key, list[RawRule]] = field(default_factory=lambda: defaultdict[chain_key, list[RawRule]](list))

    def add_name(self, chain: str, table: str = "") -> None:
        """Note a chain (a table) when its name tells who wrote it."""
        if chain.startswith(MANY_OF_A_KIND):
            self.names.add(next(start for start in MANY_OF_A_KIND if chain.startswith(start)) + "*")
        elif chain.startswith(KNOWN_WRITERS):
            self.names.add(chain[:64])
        if table.startswith(KNOWN_TABLES):
            self.names.add(f"table {table[:64]}")

    def beside(self, saved: Collection[tuple[str, str, str]]) -> "RuleSet":
        """What another tool, which printed these (family, table, chain), leaves out: other hooks, and their chains."""
        hooks = [one for one in self.chains if (one.family, one.table, one.chain) not in saved]
        reached = {key[1:] for key in _in_force(RuleSet(chains=hooks, steps=self.steps))}
        kept = {key for key in (*self.nat, *self.steps, *self.ways) if key[1:] in reached or key[1:] not in saved}
        return RuleSet(
            chains=hooks,
            drops=[one for one in self.drops if (one.family, one.table, one.chain) not in saved],
            changes=[one for one in self.changes if (one.family, one.table, one.chain) not in saved],
            names=self.names,
            nat={key: here for key, here in self.nat.items() if key in kept},
            steps={key: here for key, here in self.steps.items() if key in kept},
            ways={key: here for key, here in self.ways.items() if key in kept},
        )

    def merge(self, other: "RuleSet") -> None:
        """Take over what another tool found."""
        self.chains += other.chains
        self.drops += other.drops
        self.changes += other.changes
        self.names |= other.names
        self.steps.update(other.steps)
        self.ways.update(other.ways)
        self.nat.update(other.nat)


def firewall(before: RuleSet, after: RuleSet | None) -> Firewall:
    """The report's view: with growth between two readings, the rules that took packets first."""
    drops, chains, changes = list(before.drops), before.chains, before.changes
    if after is not None:
        changes = [_with_growth(rule, later) for rule, later in _paired(before.changes, after.changes)]
        drops = [_with_growth(rule, later) for rule, later in _paired(before.drops, after.drops)]
        chains = _chains_with_growth(before.chains, after.chains)
    steps, marks = ways_through(before.ways, before.chains)
    drops.sort(key=lambda rule: (-(rule.packets_delta or 0), -(rule.packets or 0)))
    return Firewall(
        chains=tuple(chains[:NAMES_LIMIT]),
        drops=tuple(drops[:DROPS_LIMIT]),
        drops_total=len(drops),
        foreign_chains=tuple(sorted(before.names)[:NAMES_LIMIT]),
        steps=steps,
        changes=hooked(changes, before.ways, before.chains),
        marks_elsewhere=marks,
    )


def service_rules(services: Sequence[ServicePort], rules: RuleSet) -> tuple[ServiceRules, ...]:
    """How often each Service port is named, and where its rules lead."""
    naming: dict[str, list[tuple[chain_key, Step]]] = defaultdict(list)
    wanted = {service.ip for service in services}
    in_force = _in_force(rules)
    # Beside kube-proxy's own a stranger's rule may name a Service, too: where that leads is no backend of it.
    own = {key for key in in_force if key[1] == IPVS or KUBE_PROXY.search(key[2]) or KUBE_PROXY.search(key[3])}
    for key in own or in_force:
        for step in rules.steps.get(key, ()):
            for ip in step.ips & wanted:
                naming[ip].append((key, step))
    return tuple(_service(service, naming[service.ip], rules) for service in services)


def _in_force(rules: RuleSet) -> set[chain_key]:
    """The chains that a packet can meet: those of the kernel's hooks, IPVS, and all that they lead to.

    A chain to which nothing leads any more may still name a Service, and translates nothing.
    """
    waiting = [(one.backend, one.family, one.table, one.chain) for one in rules.chains if one.hook]
    waiting += [key for key in rules.steps if key[1] == IPVS]
    found: set[chain_key] = set()
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += [(*key[:3], jump) for step in rules.steps.get(key, ()) for jump in step.jumps]
    return found


def _service(service: ServicePort, naming: Sequence[tuple[chain_key, Step]], rules: RuleSet) -> ServiceRules:
    mentions = [(key, step) for key, step in naming if step.names(service)]
    reached = list(_reached(mentions, rules))
    backends = {backend.removesuffix(":0") for step in reached for backend in step.backends}
    return ServiceRules(
        name=service.name,
        ip=service.ip,
        port=service.port,
        protocol=service.protocol,
        mentions=len(mentions),
        has_reject=any(step.is_reject for step in reached),
        backends=tuple(sorted(backends)[:BACKENDS_LIMIT]),
    )


def _reached(mentions: Iterable[tuple[chain_key, Step]], rules: RuleSet) -> Iterator[Step]:
    """The steps that name the Service, and those of all chains that they lead to. A chain is followed once."""
    followed: set[chain_key] = set()
    waiting = list(mentions)
    while waiting:
        (backend, family, table, _), step = waiting.pop()
        yield step
        for jump in step.jumps:
            key = (backend, family, table, jump)
            if key not in followed and len(followed) < CHAINS_FOLLOWED:
                followed.add(key)
                waiting += [(key, inner) for inner in rules.steps.get(key, ())]


_Counted = TypeVar("_Counted", FirewallRule, FirewallChange)


def _paired(before: Iterable[_Counted], after: Iterable[_Counted]) -> Iterator[tuple[_Counted, _Counted | None]]:
    """Each rule with itself in the later reading; equal rules in the same order."""
    later: dict[tuple[str, ...], list[_Counted]] = defaultdict(list)
    for rule in after:
        later[_identity(rule)].append(rule)
    for rule in before:
        same = later[_identity(rule)]
        yield rule, same.pop(0) if same else None


def _chains_with_growth(before: Iterable[FirewallChain], after: Iterable[FirewallChain]) -> list[FirewallChain]:
    """The base chains with what their policies took between two readings."""
    later = {(one.backend, one.family, one.table, one.chain): one.packets for one in after}
    found: list[FirewallChain] = []
    for chain in before:
        packets = later.get((chain.backend, chain.family, chain.table, chain.chain))
        is_counted = chain.packets is not None and packets is not None
        growth = max(0, (packets or 0) - (chain.packets or 0)) if is_counted else None
        found.append(replace(chain, packets=packets, packets_delta=growth) if is_counted else chain)
    return found


def _identity(rule: FirewallRule | FirewallChange) -> tuple[str, ...]:
    does = rule.verdict if isinstance(rule, FirewallRule) else rule.kind
    return rule.backend, rule.family, rule.table, rule.chain, does, rule.text


def _with_growth(rule: _Counted, later: _Counted | None) -> _Counted:
    if later is None or rule.packets is None or later.packets is None:
        return rule
    return replace(rule, packets=later.packets, packets_delta=max(0, later.packets - rule.packets))
