"""Whose packet filter rules these are: the CNI's, its policy controller's, kube-proxy's, or a stranger's.

Source: https://docs.tigera.io/calico/latest/reference/host-endpoints/overview (cali-… chains)
Source: https://www.kube-router.io/docs/introduction/ (KUBE-POD-FW-…, KUBE-NWPLCY-…; K3s runs its controller)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from bot.agent.report import FirewallRule

_CALICO = r"((filter|nat|mangle|raw)-)?cali-"
_POLICY_WRITERS: Mapping[str, tuple[str, str]] = {
    "calico": (r"^((filter-)?cali-(tw|fw|pi|po|pri|pro|th|fh|tap|fap)-)", rf"^{_CALICO}"),
    "kube-router": (r"^KUBE-(NWPLCY|POD-FW)", r"^KUBE-(NWPLCY|POD-FW|ROUTER|NETPOL)"),
    "cilium": (r"^(OLD_)?CILIUM", r"^(OLD_)?CILIUM"),
    "antrea": (r"^ANTREA-POL", r"^ANTREA"),
    "weave": (r"^WEAVE-NPC", r"^WEAVE"),
}
"""For each program that enforces policies by packet filters: its chains in which policies drop, and all its chains."""
_ENFORCED_BY = {"canal": "calico", "flannel": "kube-router", "gke-dataplane-v2": "cilium"}
"""CNIs whose policies another program enforces (K3s runs kube-router's controller beside Flannel)."""
OWNED = re.compile(r"^(KUBE-(?!NWPLCY|POD-FW|ROUTER)|FLANNEL-|CNI-|OVN)", re.IGNORECASE)
"""Chains that kube-proxy and CNI plugins write, whichever CNI it is."""
_PORT_MAPPING = re.compile(r"^CNI-(HOSTPORT|DN-)")
OWNED_TABLES = re.compile(
    r"^(kube-proxy|flannel-ipv[46]|ovn-kube.*|cni_hostport|cni_plugins_masquerade)$", re.IGNORECASE
)
"""Their tables of nftables, by the names that they give them: a stranger's may begin alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Whose chains belong to this cluster's network. Those of another CNI are leftovers: strangers."""

    policies: tuple[re.Pattern[str], ...]
    chains: tuple[re.Pattern[str], ...]
    names: tuple[str, ...]

    def enforce(self, chain: str) -> bool:
        """Whether a drop in this chain is that of a NetworkPolicy."""
        return any(pattern.search(chain) for pattern in self.policies)

    def own(self, table: str, chain: str) -> bool:
        """Whether a rule there was written by the CNI, by its policy controller or by kube-proxy."""
        if OWNED.search(chain) or OWNED_TABLES.search(table) or table.startswith(self.names):
            return True
        return any(pattern.search(chain) for pattern in self.chains)


def maps_ports(table: str, chain: str) -> bool:
    """Whether the CNI plugin portmap wrote it, for hostPorts: what these take of other traffic nobody meant."""
    return bool(_PORT_MAPPING.search(chain)) or table == "cni_hostport"


def is_common(rule: FirewallRule) -> bool:
    """Whether kube-proxy or a CNI plugin wrote this rule, whichever CNI it is."""
    return bool(OWNED.search(rule.chain) or OWNED_TABLES.search(rule.table))


@lru_cache
def owners_of(cni: str) -> Owners:
    """The owners under this CNI; under one that is not known any writer of policies may be at home."""
    writer = _ENFORCED_BY.get(cni, cni)
    writers = (writer,) if writer in _POLICY_WRITERS else tuple(_POLICY_WRITERS)
    return Owners(
        policies=tuple(re.compile(_POLICY_WRITERS[each][0]) for each in writers),
        chains=tuple(re.compile(_POLICY_WRITERS[each][1]) for each in writers),
        names=writers,
    )


_AUTHORS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kube-proxy", re.compile(r"^(kube-proxy|KUBE-(?!NWPLCY|POD-FW|ROUTER|NETPOL))", re.IGNORECASE)),
    ("kube-router", re.compile(r"^(kube-router|KUBE-(NWPLCY|POD-FW|ROUTER|NETPOL))", re.IGNORECASE)),
    ("Calico", re.compile(r"^(calico|((filter|nat|mangle|raw)-)?cali-)", re.IGNORECASE)),
    ("Cilium", re.compile(r"^(OLD_)?cilium", re.IGNORECASE)),
    ("Flannel", re.compile(r"^flannel", re.IGNORECASE)),
    ("Antrea", re.compile(r"^antrea", re.IGNORECASE)),
    ("Weave", re.compile(r"^weave", re.IGNORECASE)),
    ("the portmap plugin, for a hostPort", re.compile(r"^(CNI-(HOSTPORT|DN-)|cni_hostport)")),
    ("firewalld", re.compile(r"^(firewalld|(IN|FWD[IO]?|filter)_(public|trusted|FORWARD|INPUT|OUTPUT|FWD|IN)\b)")),
    ("ufw", re.compile(r"^ufw6?-", re.IGNORECASE)),
    ("Docker", re.compile(r"^docker", re.IGNORECASE)),
    ("fail2ban", re.compile(r"^(f2b-|fail2ban)", re.IGNORECASE)),
    ("libvirt", re.compile(r"^libvirt", re.IGNORECASE)),
    ("a service mesh", re.compile(r"^(istio|proxy_init|linkerd)", re.IGNORECASE)),
    ("a chaos tool", re.compile(r"^(chaos|litmus|pumba|blockade)", re.IGNORECASE)),
)
"""Who writes tables and chains of such names."""


def author_of(table: str, chain: str) -> str:
    """Who wrote the rules there, by the names of table and chain; "" when these do not tell."""
    return next((who for who, names in _AUTHORS if names.search(chain) or names.search(table)), "")
