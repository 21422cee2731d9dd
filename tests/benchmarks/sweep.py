"""What does a healthy sweep cost?  `python -m tests.benchmarks.sweep [NODES…]`, or `… snapshot [NODES…]`

Without numbers: the lab with three nodes, whose agents really look. With numbers: as many nodes as given behind the
lab's API server, each with twenty pods in its objects. Every agent answers with the report of this machine, so that
lists, pods and execs are as many as in such a cluster, and only the reports are smaller. Prints the calls to the API
by method, what was executed, the bytes of both, and the seconds.

`snapshot` reads the API as a sweep of at most a hundred nodes does, and looks at no node: for clusters with more nodes
than a machine can play agents of. What agents add is the same for each node.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.cluster.client import transport
from bot.cluster.client.api import Api
from bot.cluster.client.wire import Frame, Response, WebSocket
from bot.cluster.snapshot.reader import take_snapshot
from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.request import Request
from bot.lab.cluster import launch
from tests.cluster.small_cluster import SmallCluster, small_cluster

PODS_PER_NODE = 20
ANSWER = 'if [ -s "$1/report" ]; then cat >"$1/task"; cat "$1/report"; else "$2" -m bot.agent | tee "$1/report"; fi'
"""Five hundred agents on one machine would be what is measured: the first one looks, the others say the same."""


@dataclass
class Cost:
    """What went over the wire."""

    calls: Counter[str] = field(default_factory=Counter[str])
    execs: int = 0
    answered: int = 0
    """Bytes of answers."""
    executed: int = 0
    """Bytes to and from commands in pods."""


@asynccontextmanager
async def counted(cost: Cost) -> AsyncGenerator[None]:
    """While it lasts, every request and every exec counts."""
    request, websocket = transport.Transport.request, transport.Transport.websocket

    async def counting(self: transport.Transport, method: str, path: str, *rest: Any, **more: Any) -> Response:
        answer = await request(self, method, path, *rest, **more)
        cost.calls[method] += 1
        cost.answered += len(answer.body)
        return answer

    @asynccontextmanager
    async def executing(self: transport.Transport, path: str, **more: Any) -> AsyncGenerator[WebSocket]:
        async with websocket(self, path, **more) as socket:
            cost.execs += 1
            yield _Counting(socket, cost)

    transport.Transport.request, transport.Transport.websocket = counting, executing
    try:
        yield
    finally:
        transport.Transport.request, transport.Transport.websocket = request, websocket


class _Counting(WebSocket):
    def __init__(self, socket: WebSocket, cost: Cost) -> None:
        self._socket, self._cost = socket, cost

    @property
    def protocol(self) -> str:
        return self._socket.protocol

    async def send(self, data: bytes) -> None:
        self._cost.executed += len(data)
        await self._socket.send(data)

    async def frames(self) -> AsyncIterator[Frame]:
        async for frame in self._socket.frames():
            self._cost.executed += len(frame)
            yield frame


async def sweep(kubeconfig: Path, nodes: int, name: str) -> None:
    cost, knowledge = Cost(), load_knowledge(())
    request = Request(namespace="kube-system", all_nodes=True, max_nodes=max(nodes, 1), timeout_s=600.0)
    began = time.perf_counter()
    async with counted(cost):
        done = await diagnose_cluster(kubeconfig, None, request, knowledge)
    seen = done.report.coverage
    calls = ", ".join(f"{count} {method}" for method, count in sorted(cost.calls.items()))
    print(
        f"{name}: {calls}; {cost.answered / 1e3:.0f} kB answered; {cost.execs} execs, {cost.executed / 1e3:.0f} kB; "
        f"{time.perf_counter() - began:.1f} s; {seen.nodes_observed} of {seen.nodes_total} nodes seen, "
        f"{done.report.verdict.status}"
    )


async def synthetic(nodes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with small_cluster(Path(directory) / "cluster") as cluster:
            cluster.kubelet.instead["cnibot-agent"] = ("sh", "-c", ANSWER, "agent", directory, sys.executable)
            cluster.namespace("cnibot", "shop")
            cluster.node("node-0")
            await sweep(Path(cluster.kubeconfig()), 1, "1 node, no pods, for its report")
            fill(cluster, nodes)
            await sweep(Path(cluster.kubeconfig()), nodes, f"{nodes} nodes, {nodes * PODS_PER_NODE} pods")


async def read_alone(nodes: int) -> None:
    """A sweep's snapshot."""
    with tempfile.TemporaryDirectory() as directory:
        async with small_cluster(Path(directory) / "cluster") as cluster:
            cluster.namespace("cnibot", "shop")
            cluster.node("node-0")
            fill(cluster, nodes)
            cost, began = Cost(), time.perf_counter()
            async with counted(cost), Api.connect(Path(cluster.kubeconfig())) as api:
                found = await take_snapshot(api, "kube-system", deadline_s=600.0, all_nodes=True)
    assert not found.unobserved
    print(
        f"{nodes} nodes, {nodes * PODS_PER_NODE} pods, the snapshot alone: {cost.calls['GET']} GET, "
        f"{cost.answered / 1e6:.2f} MB answered, {time.perf_counter() - began:.1f} s"
    )


def fill(cluster: SmallCluster, nodes: int) -> None:
    for number in range(nodes):
        if number:
            cluster.node(f"node-{number}")
        for pod in range(PODS_PER_NODE):
            cluster.pod("shop" if pod else "kube-system", f"web-{number}-{pod}", f"node-{number}")


def main() -> None:
    is_snapshot = sys.argv[1:2] == ["snapshot"]
    if wanted := [int(given) for given in sys.argv[1 + is_snapshot :]]:
        for nodes in wanted:
            asyncio.run((read_alone if is_snapshot else synthetic)(nodes))
        return
    with tempfile.TemporaryDirectory() as directory:
        lab = launch.start(Path(directory) / "lab", launch.LabOptions(), attached=True)
        try:
            asyncio.run(sweep(Path(directory) / "lab" / "kubeconfig", 3, "the lab, 3 nodes"))
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
