"""NetworkPolicies as a node's nftables table, in the names of the CNI that would write it. A pure function.

The node's own traffic to its pods (probes) is exempt in all three, because it is not forwarded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.lab.cluster.dataplane.admin_match import in_order, name_of, rules
from bot.lab.cluster.dataplane.admin_match import selects as is_subject
from bot.lab.cluster.dataplane.policy_match import Cluster, Direction, PolicyPod, directions, rule_matches, selects
from bot.lab.cluster.names import Cni

_ALLOWED = "0x10000"
_PASSED = "0x20000"
_CLEAR = "0xfffcffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How a CNI calls its table and chains. ``by_device``: packets are told by veth, else by the pod's address."""

    table: str
    base: str
    input: str
    to_pod: str
    from_pod: str
    policy: Mapping[Direction, str]
    by_device: bool
    denies: str = "drop"
    """What becomes of what no policy allows."""


NAMINGS: Mapping[Cni, Naming] = {
    "calico-vxlan": Naming(
        table="calico",
        base="filter-FORWARD",
        input="filter-INPUT",
        to_pod="filter-cali-tw-",
        from_pod="filter-cali-fw-",
        policy={"ingress": "filter-cali-pi-_", "egress": "filter-cali-po-_"},
        by_device=True,
    ),
    # K3s has kube-router's network policy controller inside.
    "flannel-vxlan": Naming(
        table="kube-router",
        base="KUBE-ROUTER-FORWARD",
        input="KUBE-ROUTER-INPUT",
        to_pod="KUBE-POD-FW-IN-",
        from_pod="KUBE-POD-FW-OUT-",
        policy={"ingress": "KUBE-NWPLCY-IN-", "egress": "KUBE-NWPLCY-OUT-"},
        by_device=False,
        denies="reject with icmp port-unreachable",
    ),
    # Cilium does this in eBPF; the lab has the verdicts, not the programs.
    "cilium-tunnel": Naming(
        table="cilium-policy",
        base="CILIUM_FORWARD_policy",
        input="CILIUM_INPUT_policy",
        to_pod="CILIUM_to_",
        from_pod="CILIUM_from_",
        policy={"ingress": "CILIUM_in_", "egress": "CILIUM_eg_"},
        by_device=True,
    ),
}


def render(
    naming: Naming,
    policies: Sequence[Mapping[str, Any]],
    cluster: Cluster,
    local: Mapping[str, PolicyPod],
    admin: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The script that replaces the table. ``local``: the node's own pods by the name of their veth.

    ``admin``: the policies of cluster admins, which stand before NetworkPolicies and behind them.
    """
    writer = _Writer(naming, policies, cluster, admin)
    return writer.script(local)


def policy_chain(naming: Naming, policy: str, direction: Direction) -> str:
    """The chain of a policy (``NAMESPACE/NAME``)."""
    return naming.policy[direction] + _hash(policy)


class _Writer:
    def __init__(
        self,
        naming: Naming,
        policies: Sequence[Mapping[str, Any]],
        cluster: Cluster,
        admin: Sequence[Mapping[str, Any]],
    ) -> None:
        self._first = in_order(admin, baseline=False)
        self._last = in_order(admin, baseline=True)
        self._naming = naming
        self._policies = policies
        self._cluster = cluster
        self._chains: dict[str, list[str]] = {}

    def script(self, local: Mapping[str, PolicyPod]) -> str:
        dispatch = {
            "ingress": [self._dispatch("ingress", veth, pod) for veth, pod in sorted(local.items())],
            "egress": [self._dispatch("egress", veth, pod) for veth, pod in sorted(local.items())],
        }
        table = self._naming.table
        base = ["type filter hook forward priority filter; policy accept;"]
        base += [line for line in (*dispatch["egress"], *dispatch["ingress"]) if line]
        chains = [_chain(name, lines) for name, lines in self._chains.items()]
        # A pod's packets to its own node are not forwarded; the node's packets to the pod are exempt.
        own = ["type filter hook input priority filter; policy accept;", *(line for line in dispatch["egress"] if line)]
        body = "\n".join([*chains, _chain(self._naming.base, base), _chain(self._naming.input, own)])
        return f"table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n{body}\n}}\n"

    def _dispatch(self, direction: Direction, veth: str, pod: PolicyPod) -> str:
        """The base chain's line for a pod; empty when no policy isolates it in this direction."""
        chosen = [one for one in self._policies if direction in directions(one) and selects(one, pod)]
        first, last = (
            [one for one in tier if self._concerns(one, direction, pod)] for tier in (self._first, self._last)
        )
        if not chosen and not first and not last:
            return ""
        prefix = self._naming.to_pod if direction == "ingress" else self._naming.from_pod
        name = prefix + (veth if self._naming.by_device else _hash(f"{pod.namespace}/{pod.name}"))
        lines = ["ct state established,related return", "ct state invalid counter drop"]
        lines.append(f"meta mark set meta mark & {_CLEAR}")
        for at, policy in enumerate(first):
            # Pass leaves the tier: the policies behind it see no packet that is marked so.
            unless = f"meta mark & {_PASSED} == 0x0 " if at else ""
            lines += [f"{unless}jump {self._admin(policy, direction)}", f"meta mark & {_ALLOWED} == {_ALLOWED} return"]
        for policy in chosen:
            lines += [f"jump {self._policy(policy, direction)}", f"meta mark & {_ALLOWED} == {_ALLOWED} return"]
        about = f"{pod.namespace}/{pod.name} {direction}"[:100]
        if chosen:
            lines.append(f'counter {self._naming.denies} comment "{self._comment(about)}"')
        else:
            decided = f"meta mark & {_ALLOWED} == {_ALLOWED} return"
            # What the first tier passed on comes here as well; what this one passes on is let go.
            lines.append(f"meta mark set meta mark & {_CLEAR}")
            for policy in last:
                lines += [f"jump {self._admin(policy, direction)}", decided, decided.replace(_ALLOWED, _PASSED)]
        self._chains[name] = lines
        if self._naming.by_device:
            return f'{"oifname" if direction == "ingress" else "iifname"} "{veth}" jump {name}'
        return f"ip {'daddr' if direction == 'ingress' else 'saddr'} {pod.ip} jump {name}"

    def _concerns(self, policy: Mapping[str, Any], direction: Direction, pod: PolicyPod) -> bool:
        return bool(policy["spec"].get(direction)) and is_subject(policy, pod, self._cluster)

    def _admin(self, policy: Mapping[str, Any], direction: Direction) -> str:
        """The chain of a cluster admins' policy: it marks what it allows or passes on, and denies itself."""
        name = policy_chain(self._naming, name_of(policy), direction)
        if name not in self._chains:
            self._chains[name] = [
                f"{one.match} {self._verdict(one.verdict)}".strip() for one in rules(policy, direction, self._cluster)
            ]
        return name

    def _verdict(self, verdict: str) -> str:
        if verdict == "deny":
            return f"counter {self._naming.denies}"
        return f"meta mark set meta mark | {_ALLOWED if verdict == 'allow' else _PASSED} return"

    def _comment(self, about: str) -> str:
        if self._naming.denies == "drop":
            return f"Drop if no policies passed packet: {about}"
        return f"rule to REJECT traffic destined for POD name: {about}"[:127]

    def _policy(self, policy: Mapping[str, Any], direction: Direction) -> str:
        full = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
        name = policy_chain(self._naming, full, direction)
        if name not in self._chains:
            found = rule_matches(policy, direction, self._cluster)
            self._chains[name] = [
                f'{match} meta mark set meta mark | {_ALLOWED} comment "{full[:100]}"'.strip() for match in found
            ]
        return name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16].upper()


def _chain(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"  chain {name} {{", *(f"    {line}" for line in lines), "  }"])
