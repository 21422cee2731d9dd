"""The whole report of one node: look at everything, test everything at once, look again, all within the deadline."""

import asyncio
import os
import platform
import random
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from bot.agent.arp import close_all
from bot.agent.counters import conntrack, read_conntrack_stats, read_neighbour_entries
from bot.agent.files import read_text
from bot.agent.matrix import Job, plan, run_all
from bot.agent.namespace import Reading, read_again, read_namespace
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home
from bot.agent.pods import PodWork, as_source, ask_gateway, ask_oracles, look_again, match_pods, pod_report, visit
from bot.agent.report import Missing, NetnsState, NodeReport, Task, Test
from bot.agent.sources import Source

RESERVE_RATIO = 0.1
RESERVE_S = 0.6
"""Of the deadline: kept for the second look and for writing the report."""
CLOSERS = 64
OPEN_FILES = 8192


class Survey:
    """One report in the making. What it holds at any moment can be made into a report."""

    def __init__(self, task: Task, missing: tuple[Missing, ...] = (), host_root: str = "/proc/1/root") -> None:
        self._task = task
        self._host_root = host_root
        self._began = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._missing = list(missing)
        self._is_partial = False
        self._rng = random.Random()
        self._home = Home()
        self._netlink = NetlinkSocket()
        self._root: Reading | None = None
        self._root_after: NetnsState | None = None
        self._works: list[PodWork] = []
        self._jobs: list[Job] = []
        self._tests: dict[int, Test] = {}
        self._conntrack_before: dict[str, int] = {}
        self._conntrack_after: dict[str, int] = {}
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
        reserve_s = min(RESERVE_S, self._task.deadline_s * RESERVE_RATIO)
        self._timeout = asyncio.timeout(left_s - reserve_s)
        try:
            async with self._timeout:
                await self._look()
                await self._test()
        except TimeoutError:
            if not self._timeout.expired():
                raise
            self._is_partial = True
            self._missing.append(
                Missing(what="tests.deadline" if self._jobs else "pods.deadline", why=self._stop_reason)
            )
        try:
            self._look_again()
            return self._report()
        finally:
            await self._close()

    async def _look(self) -> None:
        self._root = read_namespace(self._netlink, "root", is_root=True)
        self._missing += self._root.missing
        self._conntrack_before = self._read_conntrack()
        self._works = match_pods(self._task, self._home, self._root, self._netlink, self._host_root)
        for work in sorted(self._works, key=lambda one: not one.pod.is_source):
            visit(work, self._task, self._home, self._root)
            ask_oracles(work, self._root, self._netlink)
            await asyncio.sleep(0)

    async def _test(self) -> None:
        node = self._node()
        sources = [
            source for work in self._works if work.pod.is_source and (source := as_source(work, self._home)) is not None
        ]
        self._jobs = plan(self._task, sources, node)
        async with asyncio.TaskGroup() as group:
            for work in self._works:
                group.create_task(ask_gateway(work, self._task, self._rng))
            group.create_task(run_all(self._jobs, self._tests.__setitem__))

    def _look_again(self) -> None:
        if self._root:
            self._root_after = self._again("root", partial(read_again, self._netlink, self._root, is_root=True))
            self._conntrack_after = self._read_conntrack()
        for work in self._works:
            self._again(f"pods.{work.pod.uid}.after", partial(look_again, work, self._home))

    def _again(self, what: str, read: "partial[NetnsState] | partial[None]") -> NetnsState | None:
        try:
            return read()
        except OSError as error:
            self._missing.append(Missing(what=what, why=str(error)))
            return None

    def _read_conntrack(self) -> dict[str, int]:
        try:
            return read_conntrack_stats()
        except OSError:
            return {}

    def _node(self) -> Source:
        assert self._root
        uplinks = {route.dev for route in self._root.state.routes if route.dst == "default"}
        mtu = next((link.mtu for link in self._root.state.links if link.name in uplinks), 1500)
        ips = frozenset(address.ip for address in self._root.state.addresses)
        return Source(key="node", home=self._home, netns_fd=self._home.fd, netlink=self._netlink, mtu=mtu, ips=ips)

    def _report(self) -> NodeReport:
        root = self._root_after or (self._root.state if self._root else NetnsState())
        limit = root.sysctls.get("ipv4.neigh.default.gc_thresh3", "")
        for work in self._works:
            self._missing += work.missing
        return NodeReport(
            node=self._task.node,
            started_at=self._started_at.isoformat(timespec="milliseconds"),
            took_s=round(time.monotonic() - self._began, 3),
            is_partial=self._is_partial,
            kernel=platform.release(),
            uptime_s=_uptime_s(),
            root=root,
            pods=tuple(pod_report(work) for work in self._works),
            tests=tuple(self._tests.get(at, _cut(job.test, self._stop_reason)) for at, job in enumerate(self._jobs)),
            conntrack=conntrack(root.sysctls, self._conntrack_before, self._conntrack_after),
            neighbour_entries=read_neighbour_entries(),
            neighbour_limit=int(limit) if limit.isdecimal() else None,
            missing=tuple(self._missing),
        )

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        sockets = [work.arp_socket for work in self._works if work.arp_socket]
        with ThreadPoolExecutor(CLOSERS) as threads:
            await close_all(sockets, partial(loop.run_in_executor, threads))
        for work in self._works:
            work.close()
        self._netlink.close()
        self._home.close()


def _cut(test: Test, why: str) -> Test:
    return Test(
        source=test.source,
        purpose=test.purpose,
        protocol=test.protocol,
        ip=test.ip,
        port=test.port,
        name=test.name,
        node=test.node,
        service=test.service,
        tries=test.tries,
        outcome="skipped",
        detail=why,
    )


def _uptime_s() -> float | None:
    try:
        return float(read_text("/proc/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def host_root_of(environment_value: str | None) -> str:
    """Where the node's file system is seen: as given, else through process 1, else (no right to) our own."""
    if environment_value:
        return environment_value.rstrip("/") or "/"
    return "/proc/1/root" if os.access("/proc/1/root/etc", os.R_OK) else "/"
