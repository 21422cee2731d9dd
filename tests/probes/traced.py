"""A series of probe packets between two pods, and what the nodes saw of it."""

from typing import Any

from bot.agent.report import (
    Link,
)
from bot.agent.traced import NodeTrace, PacketDrop, Sent, Sighting, TraceFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.packet_trace.fate import Fate, fates
from tests.probes.build import two_nodes

N = 17
A, C = "10.42.1.10", "10.42.2.10"
LISTENING: dict[str, Any] = {"instrument": "bpf", "namespaces": ("node",)}
TUNNEL = Link(ifindex=9, name="vxlan.calico", kind="vxlan", is_up=True, vxlan_port=4789)


class Traced:
    """shop/a on node-1 asks shop/c on node-2 through a tunnel."""

    def __init__(self, protocol: Any = "tcp") -> None:
        self.cluster, self.a, _, self.c = two_nodes()
        for node in ("node-1", "node-2"):
            self.cluster.root(node, links=(*self.cluster.roots[node].links, TUNNEL))
        self.flow = TraceFlow(
            number=1,
            node="node-1",
            source="uid-a",
            ip=C,
            port=80,
            protocol=protocol,
            addresses=(A, C),
            count=N,
            first_port=61440,
        )
        self.outcomes: dict[str, int] = {"timeout": N}
        self.icmp = ""
        self.sightings: dict[str, list[Sighting]] = {"node-1": [], "node-2": []}
        self.drops: dict[str, list[PacketDrop]] = {"node-1": [], "node-2": []}
        self.fields: dict[str, dict[str, Any]] = {"node-1": {}, "node-2": {}}

    def saw(self, node: str, *places: str, leg: Any = "request", count: int = N) -> "Traced":
        """ "cali1<" came in by it, "cali1>" left by it; "c:eth0<" in the pod; "~" before it for the tunnel."""
        for place in places:
            pod, _, device = place.rpartition(":")
            self.sightings[node].append(
                Sighting(
                    flow=1,
                    netns=f"uid-{pod}" if pod else "node",
                    dev=device.strip("~<>"),
                    is_out=place.endswith(">"),
                    leg=leg,
                    tunnel="vxlan" if "~" in device else "",
                    count=count,
                    first_ms=float(len(self.sightings[node])),
                    src=A,
                    dst=f"172.30.0.{11 if leg == 'reply' else 12}:4789" if "~" in device else f"{C}:80",
                )
            )
        return self

    def died(self, node: str, reason: str, symbol: str, dev: str, **fields: Any) -> "Traced":
        values: dict[str, Any] = {"flow": 1, "netns": "node", "count": N, "src": A, "dst": f"{C}:80"}
        self.drops[node].append(PacketDrop(reason=reason, symbol=symbol, dev=dev, **(values | fields)))
        return self

    def evidence(self) -> Evidence:
        traces = {
            node: NodeTrace(
                sent=(Sent(flow=1, sent=N, outcomes=self.outcomes, icmp=self.icmp),) if node == "node-1" else (),
                sightings=tuple(self.sightings[node]),
                drops=tuple(self.drops[node]),
                **(LISTENING | self.fields[node]),
            )
            for node in ("node-1", "node-2")
        }
        return self.cluster.evidence(traced=(self.flow,), traces=traces)

    def fate(self) -> Fate:
        (found,) = fates(self.evidence())
        return found


def sent_off(traced: Traced) -> Traced:
    return traced.saw("node-1", "a:eth0>", "cali1<", "vxlan.calico>", "~eth0>")


def arrived(traced: Traced) -> Traced:
    return sent_off(traced).saw("node-2", "~eth0<", "vxlan.calico<", "cali1>", "c:eth0<")
