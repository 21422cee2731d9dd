"""kill -9 at every fault point: no step is done twice, none is lost, and every plan ends as it would have."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.remediation.requests import RestartAgents, RollBack, TargetPort
from bot.store import Store
from bot.store.audit import flaws
from tests.incidents.executor_process import LEASE_S, NOW
from tests.incidents.planning import PlanRig, plan_rig
from tests.incidents.releases import Releases
from tests.redis import RedisServer

MOST_POINTS = 80


class Executors:
    """The process that forks executors."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, plan: str, *, kill_at: int, better: bool, second: float, helm: str) -> str:
        """How an executor ended that is killed at this fault point (0: never)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"plan": plan, "kill_at": kill_at, "better": better, "second": second, "helm": helm}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def executors(at: PlanRig, server: RedisServer, directory: Path) -> AsyncGenerator[Executors]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.incidents.executor_process", at.cluster.kubeconfig(), server.url, str(directory),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Executors(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def until_it_ends(
    at: PlanRig, forks: Executors, plan: str, *, better: bool, kills: list[int], second: float, helm: str = "helm"
) -> str:
    """How the plan ends, with one replica after the other killed in the middle."""
    for kill_at in [*kills, *([0] * 100)]:
        while True:
            said = await forks.run(plan, kill_at=kill_at, better=better, second=second, helm=helm)
            if said != "BusyError":
                break
            await asyncio.sleep(LEASE_S / 3)  # until the killed one's lease has run out
        if said not in {"killed", "LeaseLostError"}:  # on a busy machine one may be too late to keep its lease
            return said
    raise AssertionError("it does not end")


def states(changes: list[Any], resource: str) -> list[Any]:
    """What one object went through, without what controllers and kubelets do."""
    found: list[Any] = []
    for change in changes:
        obj = change.object
        mark = "cnibot.io/plan" in obj["metadata"].get("annotations", {})
        value = obj["spec"]["ports"][0]["targetPort"] if resource == "services" else obj["spec"].get("unschedulable")
        if not found or found[-1] != (mark, value):
            found.append((mark, value))
    return found


async def correct(at: PlanRig, forks: Executors, number: int, rng: random.Random) -> str:
    """One plan for a Service of its own, killed twice at drawn points; what it must have gone through."""
    name, better = f"web-{number}", rng.random() < 0.6
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8081}]}
    at.cluster.add("services", name, "shop", spec=spec)
    made = await at.approved(TargetPort(namespace="shop", service=name, to="8080"))
    kills = [rng.randint(1, MOST_POINTS // 2) for _ in range(2)]
    second = asyncio.get_running_loop().time() + at.seconds
    async with at.changes_of("services") as changes:
        said = await until_it_ends(at, forks, made.plan.id, better=better, kills=kills, second=second)
    went = states([one for one in changes if one.object["metadata"]["name"] == name], "services")
    landed = len([one for one in changes if one.object["metadata"]["name"] == name])

    assert said == ("verified" if better else "undone"), (said, kills)
    back = [(True, 8081), (False, 8081)] if not better else [(False, 8080)]
    assert went == [(True, 8081), (True, 8080), *back], kills
    assert landed == len(went), "each change landed once"
    return said


async def _test_corrections(tmp_path: Path, store: Store, server: RedisServer, *, runs: int, seed: int) -> None:
    rng = random.Random(seed)
    async with plan_rig(tmp_path, store) as at, executors(at, server, tmp_path) as forks:
        at.seconds = 0.0
        ends = [await correct(at, forks, number, rng) for number in range(runs)]
        lines = [line async for line in store.audit.lines()]

        assert set(ends) == {"verified", "undone"}
        assert list(flaws(lines, await store.audit.head())) == []


async def test_corrections_survive_kills_at_any_point(tmp_path: Path, store: Store, redis_server: RedisServer) -> None:
    await _test_corrections(tmp_path, store, redis_server, runs=12, seed=1)


@pytest.mark.long
async def test_two_hundred_of_them(tmp_path: Path, store: Store, redis_server: RedisServer) -> None:
    await _test_corrections(tmp_path, store, redis_server, runs=200, seed=2)


async def test_a_restart_of_agents_survives_a_kill_at_each_point(
    tmp_path: Path, store: Store, redis_server: RedisServer
) -> None:
    """One node, so that every point is met: cordon once, one pod deleted once, uncordon once."""
    async with plan_rig(tmp_path, store) as at, executors(at, redis_server, tmp_path) as forks:
        at.calico()
        await at.settled()
        for kill_at in range(3, 44, 8):
            before = {pod["metadata"]["uid"] for pod in at.cluster.storage.list("pods", "kube-system")}
            made = await at.approved(RestartAgents(nodes=("node-2",)))
            second = asyncio.get_running_loop().time()
            async with at.changes_of("nodes") as changes:
                said = await until_it_ends(at, forks, made.plan.id, better=True, kills=[kill_at], second=second)
            after = {pod["metadata"]["uid"] for pod in at.cluster.storage.list("pods", "kube-system")}

            assert said == "verified", kill_at
            assert len(before - after) == len(after - before) == 1, kill_at
            mine = [one for one in changes if one.object["metadata"]["name"] == "node-2"]
            assert [value for _, value in states(mine, "nodes")] == [True, None], kill_at


async def test_a_rollback_by_helm_survives_a_kill_around_each_of_its_writes(
    tmp_path: Path, store: Store, redis_server: RedisServer
) -> None:
    """Before Helm has begun, it is run by the next process; once it has ended, it is never run again."""
    async with plan_rig(tmp_path, store) as at, executors(at, redis_server, tmp_path) as forks:
        releases = Releases(at, tmp_path)
        await releases.install()
        await releases.upgrade()
        for number, kill_at in enumerate(range(9, 16)):
            made = await at.approved(RollBack(revision="1"))
            second = asyncio.get_running_loop().time()
            said = await until_it_ends(
                at, forks, made.plan.id, better=True, kills=[kill_at], second=second, helm=str(releases.program)
            )
            await at.settled()

            assert said == "verified", kill_at
            assert releases.image() == "calico/node:v3.30.2"
            assert max(releases.kept()) == 2 * number + 3, f"Helm rolled back once ({kill_at})"
            await releases.upgrade(f"1.1.{number}")


def test_now_is_the_benchs() -> None:
    assert NOW == 1_800_000_000.0
