"""Follows series of probe packets through one node: listens in each namespace, sends those that start here, tells.

It changes nothing: sockets, a tap and counters, all of which end with the process.
"""

import asyncio
import os
import platform
import random
import socket
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from bot.agent.attempts import make_socket
from bot.agent.firewall_watch import FirewallWatch
from bot.agent.firewalls import find_tables
from bot.agent.links import read_links
from bot.agent.machine import read_machine
from bot.agent.namespace import Reading
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home
from bot.agent.pods import PodWork, match_pods
from bot.agent.report import Firewall, Missing, NetnsState, NodeReport, Task
from bot.agent.rtnetlink import read_addresses, read_neighbours
from bot.agent.trace.counting import change_moves, moves, read_drop_counters, refusals, rule_moves
from bot.agent.trace.gate import Gate
from bot.agent.trace.instrument import Instrument, open_instrument
from bot.agent.trace.packets import Fingerprints
from bot.agent.trace.series import Series
from bot.agent.trace.sightings import Sniffer
from bot.agent.traced import CounterMove, NodeTrace, PacketDrop, Refusals, Sighting, TraceFlow, Unresolved
from bot.aio.groups import TaskGroup

WINDOW_S = 0.9
"""From the first packet: TCP sends again after a second."""
ON_THE_WAY_S = 0.2
"""From the last packet until all have met the rules, answers included."""
DRAIN_S = 0.05
RULES_S = 0.6
"""Whoever's rules take longer to print has their counters left out."""
THREADS = 8
NODE = "node"
WITHOUT_ANSWER = frozenset({"INCOMPLETE", "FAILED"})


@dataclass(slots=True, kw_only=True)
class _Place:
    """One namespace that is listened in."""

    label: str
    netns_fd: int
    inode: int
    netlink: NetlinkSocket
    sniffer: Sniffer
    before: dict[str, int] = field(default_factory=dict[str, int])
    after: dict[str, int] = field(default_factory=dict[str, int])


class Following:
    """One trace in the making."""

    def __init__(self, task: Task, missing: tuple[Missing, ...], host_root: str, gate: Gate) -> None:
        self._task = task
        self._flows = task.follow
        self._missing = list(missing)
        self._host_root = host_root
        self._gate = gate
        self._began = time.monotonic()
        self._began_at = time.time()
        self._open = ExitStack()
        self._home = Home()
        self._open.callback(self._home.close)
        self._places: list[_Place] = []

    async def run(self) -> NodeReport:
        """The report, with nothing but the trace in it. Everything opened is closed."""
        with self._open:
            threads = self._open.enter_context(ThreadPoolExecutor(THREADS))
            self._settle()
            namespaces = {place.inode: place.label for place in self._places}
            fingerprints = Fingerprints(self._flows)
            instrument, name, why = open_instrument(self._flows, fingerprints, namespaces, (self._host_root, "/"))
            self._open.callback(instrument.close)
            watch = await self._look_at_rules(threads)
            series = [Series(flow, self._maker(place)) for flow, place in self._mine()]
            for one in series:
                self._open.callback(one.close)
            all_sent = asyncio.Event()
            async with TaskGroup() as group:
                group.create_task(_prepare(instrument, threads))
                counting = group.create_task(self._growth_of(watch, all_sent))
                is_together = await self._gate()
                for place in self._places:
                    place.before = self._counters(place)
                await self._window(series, instrument, all_sent)
                sent = tuple(one.result() for one in series)
                for one in series:
                    one.close()  # before TCP sends again: counters are read now
                for place in self._places:
                    place.after = self._counters(place)
            firewall = counting.result()
            sightings = tuple(chain.from_iterable(self._sightings(place, fingerprints) for place in self._places))
            trace = NodeTrace(
                instrument=name,
                why_not_better=why,
                is_together=is_together,
                namespaces=tuple(place.label for place in self._places),
                sent=sent,
                sightings=sightings,
                drops=self._drops(instrument),
                counters=tuple(self._moves()),
                refusals=tuple(self._refusals()),
                rules=rule_moves(firewall),
                changes=change_moves(firewall),
                unresolved=tuple(self._unresolved()),
            )
        return self._report(trace)

    def _settle(self) -> None:
        """Listen in the node's namespace and in each of the pods'."""
        netlink = self._open.enter_context(NetlinkSocket())
        self._listen(NODE, self._home.fd, netlink)
        root = Reading(state=NetnsState(addresses=tuple(read_addresses(netlink, {}))), records=())
        for work in match_pods(self._task, self._home, root, netlink, self._host_root):
            self._open.callback(work.close)
            self._settle_in(work)

    def _settle_in(self, work: PodWork) -> None:
        if work.is_host_network:
            return
        if work.netns_fd < 0:
            self._miss(f"trace.pods.{work.pod.uid}", work.why_not)
            return
        try:
            with self._home.visiting(work.netns_fd):
                netlink = self._open.enter_context(NetlinkSocket())
            self._listen(work.pod.uid, work.netns_fd, netlink)
        except OSError as error:
            self._miss(f"trace.pods.{work.pod.uid}", str(error))

    def _listen(self, label: str, netns_fd: int, netlink: NetlinkSocket) -> None:
        try:
            sniffer = Sniffer(self._home, netns_fd, label, self._flows)
        except OSError as error:
            self._miss(f"trace.{label}", f"no packet socket: {error}")
            return
        self._open.callback(sniffer.close)
        inode = os.fstat(netns_fd).st_ino
        self._places.append(_Place(label=label, netns_fd=netns_fd, inode=inode, netlink=netlink, sniffer=sniffer))

    def _mine(self) -> Iterator[tuple[TraceFlow, _Place]]:
        """The series that start on this node, and where."""
        places = {place.label: place for place in self._places}
        for flow in self._flows:
            if flow.node == self._task.node:
                if place := places.get(flow.source):
                    yield flow, place
                else:
                    self._miss(f"trace.flow.{flow.number}", "the namespace that it starts in was not found")

    def _maker(self, place: _Place) -> make_socket:
        def make(family: int, kind: int, protocol: int) -> socket.socket:
            with self._home.visiting(place.netns_fd):
                return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)

        return make

    async def _window(self, series: list[Series], instrument: Instrument, all_sent: asyncio.Event) -> None:
        """Send, and see what becomes of it."""
        until = time.monotonic() + WINDOW_S
        async with TaskGroup() as group:
            group.create_task(_send(series, all_sent))
            while time.monotonic() < until:
                instrument.drain()
                await asyncio.sleep(DRAIN_S)

    async def _look_at_rules(self, threads: ThreadPoolExecutor) -> FirewallWatch | None:
        """Counters of the node's rules, where they are quickly read."""
        present = find_tables(NODE)
        watch = FirewallWatch(home=self._home, netns_fd=self._home.fd, label=NODE, present=present, threads=threads)
        return watch if await self._in_time(watch.look()) else None

    async def _growth_of(self, watch: FirewallWatch | None, all_sent: asyncio.Event) -> Firewall | None:
        """Read while the window is still open: rules act at once, and to print them takes its time."""
        await all_sent.wait()
        await asyncio.sleep(ON_THE_WAY_S)
        if watch is None or not await self._in_time(watch.look_again()):
            return None
        return watch.result()

    async def _in_time(self, looking: Awaitable[None]) -> bool:
        deadline = asyncio.timeout(RULES_S)
        try:
            async with deadline:
                await looking
        except TimeoutError:
            if not deadline.expired():
                raise
            self._miss("trace.rules", f"printing the rules took longer than {RULES_S:g} s")
            return False
        return True

    def _counters(self, place: _Place) -> dict[str, int]:
        with self._home.visiting(place.netns_fd):
            return read_drop_counters(place.netlink)

    def _moves(self) -> Iterator[CounterMove]:
        for place in self._places:
            yield from moves(self._flows, place.label, place.before, place.after)

    def _refusals(self) -> Iterator[Refusals]:
        for place in self._places:
            yield from refusals(place.label, place.before, place.after)

    def _sightings(self, place: _Place, fingerprints: Fingerprints) -> tuple[Sighting, ...]:
        return place.sniffer.sightings(fingerprints, self._began_at)

    def _drops(self, instrument: Instrument) -> tuple[PacketDrop, ...]:
        try:
            return instrument.drops()
        except OSError as error:
            self._miss("trace.drops", str(error))
            return ()

    def _unresolved(self) -> Iterator[Unresolved]:
        for place in self._places:
            with suppress(OSError):
                names = {one.link.ifindex: one.link.name for one in read_links(place.netlink)}
                for entry in read_neighbours(place.netlink, names):
                    if entry.state in WITHOUT_ANSWER:
                        yield Unresolved(netns=place.label, ip=entry.ip, dev=entry.dev)

    def _miss(self, what: str, why: str) -> None:
        self._missing.append(Missing(what=what, why=why))

    def _report(self, trace: NodeTrace) -> NodeReport:
        return NodeReport(
            node=self._task.node,
            machine=read_machine(self._host_root),
            started_at=datetime.fromtimestamp(self._began_at, UTC).isoformat(timespec="milliseconds"),
            took_s=round(time.monotonic() - self._began, 3),
            kernel=platform.release(),
            root=NetnsState(),
            trace=trace,
            missing=tuple(self._missing),
        )


async def _send(series: list[Series], all_sent: asyncio.Event) -> None:
    """All series side by side."""
    rng = random.Random()
    async with TaskGroup() as group:
        for one in series:
            group.create_task(one.send(rng))
    all_sent.set()


async def _prepare(instrument: Instrument, threads: ThreadPoolExecutor) -> None:
    """While the other nodes' agents begin to listen, and while packets are waited for."""
    await asyncio.get_running_loop().run_in_executor(threads, instrument.prepare)
