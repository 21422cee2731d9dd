"""When connections to one listener start: one after another, so that our own tests fill nobody's accept queue.

A small server has a queue of a handful (busybox httpd: 9). Dialled in the same millisecond by every source of every
node, through each Service and directly, it overflows, and what we see is what we did.
"""

import asyncio
from collections.abc import Hashable, Mapping, Sequence

from bot.agent.report import DnsQuestion, Target, Task

GAP_S = 0.004
"""Between two connections of the whole cluster to one listener: a server that forks for each accepts as fast."""
SPREAD_S = 0.1
"""For each node that tests at the same time, all its connections to one listener start within this time."""
MOST_SPREAD_S = 2.0

Listener = tuple[str, int]
"""Address and port."""


class Pace:
    """Hands out times to start, by listener. Nodes that test together start between each other's connections."""

    def __init__(
        self,
        listeners: Mapping[Listener, Hashable],
        expected: Mapping[Hashable, int],
        task: Task,
        *,
        gap_s: float = 0.0,
    ) -> None:
        self._listeners = listeners
        self._gap_s = gap_s
        peers = max(task.peers, 1)
        most = min(MOST_SPREAD_S, SPREAD_S * peers)
        self._gaps = {queue: min(GAP_S * peers, most / count) for queue, count in expected.items() if count}
        self._place = (task.turn % peers) / peers
        self._turns: dict[Hashable, asyncio.Lock] = {}
        self._started: dict[Hashable, float] = {}
        self._waiting = 0
        self._none_waits = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Whether a connection waits for its turn."""
        return self._waiting > 0

    async def idle(self) -> None:
        """Return when none waits any longer."""
        self._none_waits.clear()
        if self.is_busy:
            await self._none_waits.wait()

    def queue_of(self, ip: str, port: int) -> Hashable:
        """What stands for the accept queue that connections to this address and port wait in."""
        return self._listeners.get((ip, port), (ip, port))

    def gap_s(self, ip: str, port: int) -> float:
        """The time between two connections of this node to an address and port."""
        return self._gaps.get(self.queue_of(ip, port), self._gap_s)

    async def turn(self, ip: str, port: int) -> None:
        """Return when the next connection may start: counted from the last one, also where the loop is late."""
        queue, gap_s, now = self.queue_of(ip, port), self.gap_s(ip, port), asyncio.get_running_loop().time
        self._waiting += 1
        try:
            async with self._turns.setdefault(queue, asyncio.Lock()):
                due = self._started.get(queue, now() - gap_s * (1 - self._place)) + gap_s
                if (left_s := due - now()) > 0:
                    await asyncio.sleep(left_s)
                self._started[queue] = now()
        finally:
            self._waiting -= 1
            if not self.is_busy:
                self._none_waits.set()


def listeners(targets: Sequence[Target], questions: Sequence[DnsQuestion] = ()) -> Mapping[Listener, Hashable]:
    """Address and port -> what stands for the accept queue behind it.

    A Service shares its queues with its endpoints, and with every other Service that has one of these.
    """
    joined: dict[Listener, Listener] = {}

    def root(one: Listener) -> Listener:
        while joined.setdefault(one, one) != one:
            one = joined[one]
        return one

    services = {one.service or one.name: (one.ip, one.port) for one in targets if one.purpose == "cluster-ip"}
    for one in targets:
        if one.protocol == "tcp":
            own = (one.ip, one.port)
            joined[root(own)] = root(services.get(one.service, own))
    for each in questions:
        root((each.server, 53))
    return {one: root(one) for one in joined}
