"""The whole report of one node: look at everything, test everything at once, look again, all within the deadline."""

import asyncio
import os
import platform
import random
import resource
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TypeVar

from bot.agent.again import burst_is_over, settled, silent_so_far, to_repeat, try_again
from bot.agent.arp import close_all
from bot.agent.attached import read_netfilter_programs
from bot.agent.cgroups import read_cgroup_programs
from bot.agent.cilium import CiliumWatch
from bot.agent.counters import conntrack, growth, read_conntrack_stats
from bot.agent.dials import ask_all
from bot.agent.files import read_text
from bot.agent.firewall_watch import FirewallWatch
from bot.agent.firewalls import find_tables
from bot.agent.hostfiles import read_cni_binaries, read_cni_files, read_sysctl_files
from bot.agent.ipvs import parse_ipvs
from bot.agent.machine import read_machine
from bot.agent.matrix import Job, pace_of, plan, run_all, with_doubts
from bot.agent.namespace import Reading, read_again, read_namespace
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home
from bot.agent.pods import (
    PodWork,
    as_resolver,
    as_source,
    ask_gateway,
    ask_oracles,
    holds_other_mac,
    look_again,
    match_pods,
    pod_report,
    queues,
    visit,
)
from bot.agent.report import (
    CgroupProgram,
    CniFile,
    DialAnswer,
    EgressNat,
    Missing,
    NetnsState,
    NodeReport,
    ServiceRules,
    Target,
    Task,
    Test,
    TrackedFlow,
)
from bot.agent.resolv import read_node_resolver, read_resolvers
from bot.agent.rtnetlink import NeighbourTable, read_neighbour_table
from bot.agent.rules import service_rules
from bot.agent.self_tests import try_itself
from bot.agent.source_nat import Leaving, egress_nat
from bot.agent.sources import Source, is_ipv4
from bot.agent.tracked_flows import FlowReading, flows_in_use, read_flows
from bot.aio.groups import TaskGroup

RESERVE_RATIO = 0.1
RESERVE_S = 0.6
"""Of the deadline: kept for the second look and for writing the report."""
THREADS = 64
"""They close packet sockets and wait for tools; none computes."""
OPEN_FILES = 8192
RULES_FIRST_S = 0.5
OTHER_PODS_FILTERS = 16
"""Of the pods that are no sources, so many packet filters are read: each costs a process or two."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class HostFiles:
    """What the node's file system says; None: not read."""

    cni_files: tuple[CniFile, ...] | None = None
    cni_binaries: tuple[str, ...] | None = None
    sysctl_files: tuple[str, ...] | None = None
    resolvers: tuple[str, ...] | None = None
    own_resolver: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    """Nameservers and search domains of the node's own processes."""


@dataclass(slots=True, kw_only=True)
class ConntrackReadings:
    """Statistics of connection tracking at both ends of the tests; empty where there is none."""

    before: dict[str, int] = field(default_factory=dict[str, int])
    after: dict[str, int] = field(default_factory=dict[str, int])
    flows_before: FlowReading | None = None
    flows: tuple[TrackedFlow, ...] | None = None


@dataclass(slots=True, kw_only=True)
class QueueReadings:
    """The counters of pods' accept queues, by uid: before our tests, and around those that ran one at a time."""

    began: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    before: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    after: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])


class Survey:
    """One report in the making. What it holds at any moment can be made into a report."""

    def __init__(self, task: Task, missing: tuple[Missing, ...] = (), host_root: str = "/proc/1/root") -> None:
        self._task = task
        self._host_root = host_root
        self._began = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._missing = list(missing)
        self._is_partial = False
        self._home = Home()
        self._netlink = NetlinkSocket()
        self._threads = ThreadPoolExecutor(THREADS)
        self._root: Reading | None = None
        self._root_after: NetnsState | None = None
        self._works: list[PodWork] = []
        self._jobs: list[Job] = []
        self._tests: dict[int, Test] = {}
        self._dials: list[DialAnswer] = []
        self._conntrack = ConntrackReadings()
        self._queues = QueueReadings()
        self._neighbours_before = self._neighbours = NeighbourTable()
        self._files = HostFiles()
        self._watches: dict[str, FirewallWatch] = {}
        self._cilium = CiliumWatch(root=host_root)
        self._timeout: asyncio.Timeout | None = None
        self._stop_reason = "the deadline came first"

    def stop(self, why: str) -> None:
        """End early with what is there. May be called at any time, from a signal handler."""
        self._stop_reason = why
        if self._timeout and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> NodeReport:
        """The report, partial when the deadline came first. Everything opened is closed."""
        _raise_file_limit()
        left_s = self._task.deadline_s - (time.monotonic() - self._began)
        self._timeout = asyncio.timeout(left_s - min(RESERVE_S, self._task.deadline_s * RESERVE_RATIO))
        try:
            try:
                async with self._timeout, TaskGroup() as background:
                    await self._look(background)
                    await self._test()
            except TimeoutError:
                if not self._timeout.expired():
                    raise
                self._is_partial = True
                where = "tests.deadline" if self._jobs else "pods.deadline"
                self._missing.append(Missing(what=where, why=self._stop_reason))
            self._look_again()
            return self._report()
        finally:
            await self._close()

    async def _look(self, background: TaskGroup) -> None:
        self._root = read_namespace(self._netlink, "root", is_root=True)
        self._missing += self._root.missing
        self._neighbours_before = self._neighbour_table()
        with suppress(OSError):
            self._conntrack.before = read_conntrack_stats()
            self._conntrack.flows_before = read_flows(time.monotonic())
        self._watches["root"] = self._watch(self._home.fd, "root")
        rules = background.create_task(self._watches["root"].look())
        await self._look_at_pods(self._root)
        self._read_files()
        self._cilium.is_expected = any(link.name.startswith("cilium_") for link in self._root.state.links)
        self._cilium.begin()
        # Counters from before the tests are worth a moment; a huge ruleset is read on beside the tests.
        await asyncio.wait({rules}, timeout=RULES_FIRST_S)

    async def _look_at_pods(self, root: Reading) -> None:
        self._works = match_pods(self._task, self._home, root, self._netlink, self._host_root)
        for work in sorted(self._works, key=lambda one: not one.pod.is_source):
            visit(work, self._task, self._home, root)
            ask_oracles(work, root, self._netlink)
            await asyncio.sleep(0)
        unread, readable = 0, OTHER_PODS_FILTERS
        for work in self._works:
            if not work.reading:
                continue
            if not (is_free := work.pod.is_source or work.present.is_empty):
                readable -= 1
            if is_free or readable >= 0:
                label = f"pods.{work.pod.uid}"
                self._watches[label] = self._watch(work.netns_fd, label, work)
            else:
                unread += 1
        if unread:
            why = f"{unread} more pods that are no sources have packet filters of their own"
            self._missing.append(Missing(what="pods.firewall", why=why))
        async with TaskGroup() as group:
            for label, watch in self._watches.items():
                if label != "root" and not watch.present.is_empty:
                    group.create_task(watch.look())

    def _watch(self, netns_fd: int, label: str, work: PodWork | None = None) -> FirewallWatch:
        present = work.present if work else find_tables(label)
        return FirewallWatch(home=self._home, netns_fd=netns_fd, label=label, present=present, threads=self._threads)

    async def _test(self) -> None:
        sources = [
            source for work in self._works if work.pod.is_source and (source := as_source(work, self._home)) is not None
        ]
        self._queues.began = self._read_queues()
        resolvers = [one for work in self._works if (one := as_resolver(work, self._home, self._netlink)) is not None]
        task = replace(self._task, targets=tuple(self._targets()))
        pace, started = pace_of(task, len(sources) + 1), asyncio.Event()
        self._jobs = plan(task, sources, self._node(), resolvers, pace=pace)
        rng = random.Random()
        # An answer corrects the pod's own wrong entry for its gateway: what that breaks is tested first.
        late = [work for work in self._works if holds_other_mac(work)]
        async with TaskGroup() as group:
            for work in self._works:
                if work not in late:
                    group.create_task(self._ask_gateway(work, rng))
            group.create_task(run_all(self._jobs, self._tests.__setitem__, started))
            for work in self._works if self._task.with_self_tests else ():
                group.create_task(self._try_itself(work))
            await burst_is_over(pace, started)
            group.create_task(ask_all(self._task.dials, sources, self._dials.append))
            again = await self._try_again(silent_so_far(self._jobs, self._tests))
        async with TaskGroup() as group:
            for work in late:
                group.create_task(self._ask_gateway(work, rng))
        again = {**again, **await self._try_again(self._tests, except_for=again)}
        self._tests.update(settled(self._jobs, self._tests, again))
        async with TaskGroup() as group:
            for watch in self._watches.values():
                group.create_task(watch.look_again())

    def _read_queues(self) -> dict[str, dict[str, int]]:
        """By the uid of each pod that is seen, the counters of its accept queues."""
        found: dict[str, dict[str, int]] = {}
        for work in self._works:
            with suppress(OSError):
                if (counters := queues(work, self._home)) is not None:
                    found[work.pod.uid] = counters
        return found

    async def _try_again(self, tests: Mapping[int, Test], except_for: Collection[int] = ()) -> Mapping[int, Test]:
        """What came of connections without an answer when they were tried again one at a time."""
        before = self._read_queues()
        grown = {uid for uid, now in before.items() if growth(self._queues.began.get(uid, {}), now)}
        overflowing = {work.ip for work in self._works if work.pod.uid in grown}
        silent = {work.pod.uid: work.ip for work in self._works if work.arp_tally.is_silent}
        which = to_repeat(self._task, self._jobs, tests, overflowing, without_gateway=silent)
        if not (which := [at for at in which if at not in except_for]):
            return {}
        found = await try_again(self._task, self._jobs, which)
        self._queues.before, self._queues.after = before, self._read_queues()
        return found

    def _with_queues(self, work: PodWork, state: NetnsState | None) -> NetnsState | None:
        """The state with what its accept queues did before our tests, and while we tried one at a time."""
        uid, read = work.pod.uid, self._queues
        if state is None or uid not in read.began:
            return state
        alone = growth(read.before[uid], read.after[uid]) if uid in read.before and uid in read.after else None
        return replace(state, counters_quiet=growth(state.counters, read.began[uid]), counters_alone=alone)

    async def _ask_gateway(self, work: PodWork, rng: random.Random) -> None:
        await ask_gateway(work, self._task, rng)
        if work.arp_socket:
            # Beside the other tests: closing a packet socket takes 10 ms.
            await asyncio.get_running_loop().run_in_executor(self._threads, work.arp_socket.close)

    async def _try_itself(self, work: PodWork) -> None:
        if work.pod.is_source and work.reading and (source := as_source(work, self._home)):
            work.self_tests = await try_itself(source, work.reading.state, self._task.patience_s)

    def _targets(self) -> Iterator[Target]:
        """Those of the task, and the node's own resolvers if they are wanted."""
        yield from self._task.targets
        known = {target.ip for target in self._task.targets}
        for ip in self._files.resolvers or ():
            if self._task.with_resolvers and ip not in known:
                yield Target(purpose="outside", ip=ip, name=f"resolver {ip} of the node", port=53, protocol="tcp")

    def _read_files(self) -> None:
        root = self._host_root
        self._files.cni_files = self._tried("host.cni", partial(read_cni_files, root))
        self._files.cni_binaries = self._tried("host.cni_binaries", partial(read_cni_binaries, root))
        self._files.resolvers = self._tried("host.resolv_conf", partial(read_resolvers, root))
        self._files.own_resolver = self._tried("host.resolv_conf", partial(read_node_resolver, root))
        self._files.sysctl_files = self._tried("host.sysctl", partial(read_sysctl_files, root))

    def _neighbour_table(self) -> NeighbourTable:
        return self._tried("neighbours", partial(read_neighbour_table, self._netlink)) or NeighbourTable()

    def _look_again(self) -> None:
        self._neighbours = self._neighbour_table()
        if self._root:
            self._root_after = self._tried("root.after", partial(read_again, self._netlink, self._root, is_root=True))
            with suppress(OSError):
                self._conntrack.after = read_conntrack_stats()
                self._conntrack.flows = flows_in_use(self._conntrack.flows_before, read_flows(time.monotonic()))
        for work in self._works:
            root = self._root.state if self._root else None
            self._tried(f"pods.{work.pod.uid}.after", partial(look_again, work, self._home, root))
            work.after = self._with_queues(work, work.after)
            if watch := self._watches.get(f"pods.{work.pod.uid}"):
                work.firewall = watch.result()
                self._missing += watch.missing

    def _tried(self, what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except OSError as error:
            self._missing.append(Missing(what=what, why=str(error)))
            return None

    def _node(self) -> Source:
        assert self._root
        uplinks = {route.dev for route in self._root.state.routes if route.dst == "default"}
        mtu = next((link.mtu for link in self._root.state.links if link.name in uplinks), 1500)
        ips = frozenset(address.ip for address in self._root.state.addresses)
        nameservers, search = self._files.own_resolver or ((), ())
        return Source(
            key="node",
            home=self._home,
            netns_fd=self._home.fd,
            netlink=self._netlink,
            mtu=mtu,
            mtus={link.ifindex: link.mtu for link in self._root.state.links},
            ips=ips,
            nameservers=nameservers,
            search=search,
        )

    def _packet_filters(self, root: NetnsState) -> tuple[NetnsState, tuple[ServiceRules, ...] | None]:
        watch = self._watches.get("root")
        if watch is None:
            return root, None
        wants_services = bool(self._task.services)
        root = replace(root, firewall=watch.result())
        self._missing += watch.missing
        if root.firewall is None:
            return root, None
        if wants_services:
            with suppress(OSError):
                watch.rules.merge(parse_ipvs(read_text("/proc/thread-self/net/ip_vs")))
        return root, service_rules(self._task.services, watch.rules)

    def _egress_nat(self, root: NetnsState) -> tuple[EgressNat, ...] | None:
        """What the rules do with a packet from each source pod to the first address outside."""
        outside = next((target.ip for target in self._targets() if target.purpose == "outside"), "")
        watch = self._watches.get("root")
        if root.firewall is None or watch is None or not outside:
            return None
        oif = next((route.dev for route in root.routes if route.dst == "default"), "")
        sources = (work for work in self._works if work.pod.is_source and work.ip)
        return egress_nat(
            ((work.pod.uid, Leaving(work.ip, outside, oif)) for work in sources), watch.rules.chains, watch.rules.nat
        )

    def _report(self) -> NodeReport:
        root, services = self._packet_filters(self._root_after or (self._root.state if self._root else NetnsState()))
        before, after = self._neighbours_before.refusals, self._neighbours.refusals
        cilium = self._cilium.result(self._addresses(), self._task.services)
        tests = (self._tests.get(at) or _cut(job.test, self._stop_reason) for at, job in enumerate(self._jobs))
        return NodeReport(
            node=self._task.node,
            machine=read_machine(self._host_root),
            started_at=self._started_at.isoformat(timespec="milliseconds"),
            took_s=round(time.monotonic() - self._began, 3),
            is_partial=self._is_partial,
            kernel=platform.release(),
            uptime_s=_uptime_s(),
            root=root,
            pods=tuple(pod_report(work) for work in self._works),
            tests=with_doubts(tuple(tests)),
            dials=tuple(self._dials) if self._task.dials else None,
            conntrack=conntrack(root.sysctls, self._conntrack.before, self._conntrack.after, self._conntrack.flows),
            neighbour_entries=self._neighbours.entries,
            neighbour_limit=self._neighbours.limit,
            neighbour_refusals_delta=None if before is None or after is None else after - before,
            cni_files=self._files.cni_files,
            cni_binaries=self._files.cni_binaries,
            sysctl_files=self._files.sysctl_files,
            service_rules=services,
            egress_nat=self._egress_nat(root),
            cilium=cilium,
            cgroup_programs=self._tried("cgroups", self._read_cgroups),
            netfilter_programs=self._tried("netfilter_programs", read_netfilter_programs),
            missing=(*self._missing, *self._cilium.missing, *chain.from_iterable(work.missing for work in self._works)),
        )

    def _read_cgroups(self) -> tuple[CgroupProgram, ...]:
        return read_cgroup_programs(self._host_root, [pod.uid for pod in self._task.pods])

    def _addresses(self) -> list[str]:
        """The IPv4 addresses that were tested, each once."""
        targets = (*self._task.targets, *self._task.mtu_targets)
        return [ip for ip in dict.fromkeys(target.ip for target in targets) if is_ipv4(ip)]

    async def _close(self) -> None:
        run = partial(asyncio.get_running_loop().run_in_executor, self._threads)
        await close_all([work.arp_socket for work in self._works if work.arp_socket], run)
        self._threads.shutdown()
        for work in self._works:
            work.close()
        self._netlink.close()
        self._home.close()


def _cut(test: Test, why: str) -> Test:
    return replace(test, outcome="skipped", detail=why)


def _uptime_s() -> float | None:
    try:
        return float(read_text("/proc/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _raise_file_limit() -> None:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def host_root_of(given: str | None) -> str:
    """Where the node's file system is seen: as given, else through process 1, else (no right to) our own."""
    if given:
        return given
    return "/proc/1/root" if os.access("/proc/1/root/etc", os.R_OK) else "/"
