"""The names of a running lab: what `$SRC_IP` and its like stand for in a scenario's commands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from bot.gym.generated.scenario import Change, Edge, Scenario, Target
from bot.lab.cluster.control import LabClient
from bot.lab.errors import LabError

_TUNNELS = {
    "calico-vxlan": ("vxlan.calico", "4789"),
    "flannel-vxlan": ("flannel.1", "8472"),
    "cilium-tunnel": ("cilium_vxlan", "8472"),
}
_BRIDGE = "cni0"
_OF_A_POD = ("POD", "IP", "VETH", "DEV", "MAC", "GATEWAY", "NEIGHBOUR_VETH")
_OF_A_NODE = ("NODE", "NODE_IP", "BLOCK", "VTEP", "VTEP_MAC")
NAMES = (
    *(f"{role}_{what}" for role in ("SRC", "DST", "OTHER") for what in (*_OF_A_POD, *_OF_A_NODE)),
    *("NAMESPACE", "SERVICE", "SVC_IP", "PORT", "TUN", "VXLAN_PORT", "GATEWAY"),
)
"""Every name that a command may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNames:
    """The lab as a scenario sees it."""

    values: Mapping[str, str]

    def target(self, on: Target) -> str:
        """As `cnibot lab exec` takes it."""
        role, _, kind = on.upper().partition("-")
        if kind == "NODE":
            return self.values[f"{role}_NODE"]
        if kind == "POD":
            return f"{self.values['NAMESPACE']}/{self.values[f'{role}_POD']}"
        return on

    def filled(self, text: str) -> str:
        """The text with the lab's own names."""
        return Template(text).substitute(self.values)

    def changed(self, change: Change) -> dict[str, Any]:
        """The change as the lab takes it."""
        body = self._filled_body(dict(change.body))
        return {
            "verb": change.verb,
            "resource": change.resource,
            "namespace": change.namespace,
            "name": change.name,
            "body": body,
        }

    def _filled_body(self, body: dict[str, Any]) -> dict[str, Any]:
        return json.loads(self.filled(json.dumps(body)))


async def read_names(client: LabClient, scenario: Scenario) -> LabNames:
    """The names as they are now. Raises LabError when one end is not there."""
    status = await client.status()
    edge, (tunnel, port) = scenario.edge, _TUNNELS[scenario.cni]
    pods = {
        "SRC": _pod(status, edge, edge.source),
        "DST": _pod(status, edge, edge.service),
        "OTHER": _pod(status, edge, edge.bystander),
    }
    addresses = {node["name"]: node["ip"] for node in status["nodes"]}
    devices = await _tunnels(client, tunnel, list(addresses))
    values = {
        "NAMESPACE": edge.namespace,
        "SERVICE": edge.service,
        "SVC_IP": next(one["ip"] for one in status["services"] if _is(one, edge.namespace, edge.service)),
        "PORT": str(edge.port),
        "TUN": tunnel,
        "VXLAN_PORT": port,
    }
    for role, pod in pods.items():
        node, neighbour = pod["node"], _neighbour(status, pod)
        ends = await _ends(client, pod)
        values |= {
            f"{role}_POD": pod["name"],
            f"{role}_IP": pod["ip"],
            f"{role}_VETH": pod["veth"],
            f"{role}_DEV": _BRIDGE if scenario.cni == "flannel-vxlan" else pod["veth"],
            f"{role}_NODE": node,
            f"{role}_NODE_IP": addresses[node],
            f"{role}_NEIGHBOUR_VETH": neighbour["veth"],
            f"{role}_MAC": ends["mac"],
            f"{role}_GATEWAY": ends["gateway"],
            f"{role}_VTEP_MAC": devices[node]["mac"],
            **_block(role, node, devices),
        }
    return LabNames(values={**values, "GATEWAY": values["SRC_GATEWAY"]})


def _is(one: Mapping[str, Any], namespace: str, name: str) -> bool:
    return one["namespace"] == namespace and one["name"] == name


def _pod(status: Mapping[str, Any], edge: Edge, workload: str) -> Mapping[str, Any]:
    found = [
        one
        for one in status["networks"]
        if one["namespace"] == edge.namespace and one["name"].startswith(f"{workload}-")
    ]
    if not found:
        raise LabError(f"the lab runs no pod of {edge.namespace}/{workload}")
    return min(found, key=lambda one: one["name"])


def _neighbour(status: Mapping[str, Any], pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Another pod of the same node, of another namespace if possible."""
    others = [one for one in status["networks"] if one["node"] == pod["node"] and one["name"] != pod["name"]]
    return min(others, key=lambda one: (one["namespace"] == pod["namespace"], one["name"]))


async def _tunnels(client: LabClient, tunnel: str, nodes: list[str]) -> dict[str, dict[str, Any]]:
    """Each node's tunnel device: its MAC, and its routes to the others as (block, via)."""

    async def one(node: str) -> tuple[str, dict[str, Any]]:
        script = f"cat /sys/class/net/{tunnel}/address; ip -o route show dev {tunnel}"
        mac, *routes = (await client.exec(node, ["sh", "-c", script])).out.splitlines()
        vias = {words[2]: words[0] for line in routes if "via" in (words := line.split())}
        neighbours = (await client.exec(node, ["ip", "neigh", "show", "dev", tunnel])).out.splitlines()
        macs = {words[2]: words[0] for line in neighbours if "lladdr" in (words := line.split())}
        return node, {"mac": mac, "blocks": vias, "neighbours": macs}

    return dict([await one(node) for node in nodes])


def _block(role: str, node: str, devices: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The block of the node's pods and its tunnel address, as another node routes it."""
    for other, seen in devices.items():
        vtep = seen["neighbours"].get(devices[node]["mac"], "")
        if other != node and vtep in seen["blocks"]:
            return {f"{role}_VTEP": vtep, f"{role}_BLOCK": seen["blocks"][vtep]}
    raise LabError(f"no node routes to the pods of {node}")


async def _ends(client: LabClient, pod: Mapping[str, Any]) -> dict[str, str]:
    target = f"{pod['namespace']}/{pod['name']}"
    found = (
        await client.exec(target, ["sh", "-c", "cat /sys/class/net/eth0/address; ip route show default"])
    ).out.split()
    if len(found) < 4:
        raise LabError(f"{target} has no default route")
    return {"mac": found[0], "gateway": found[3]}
