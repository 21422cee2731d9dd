"""Executors that are killed: a process that has loaded everything forks one for each run, which kills itself.

Each line on standard input is {"plan", "kill_at", "better", "second", "helm"}; the answer is how the executor ended:
"killed", or its plan's state. Fault points are before and after each write: to the journal, to the API server, by Helm.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from bot.cluster import writer
from bot.cluster.client import transport as _loaded_before_the_fork
from bot.cluster.client.api import Api
from bot.domain.errors import BotError
from bot.domain.plan import Plan
from bot.domain.plan_life import PlanRecord
from bot.domain.report import Report
from bot.incidents.plans import PlanService, PlanSettings
from bot.incidents.plans.limits import Limits
from bot.logs import configure
from bot.remediation.requests import Supplies
from bot.store import open_store
from bot.store.plans import Plans
from tests.incidents.planning import QUICK, report

T = TypeVar("T")
NOW = 1_800_000_000.0
assert _loaded_before_the_fork
LEASE_S = 0.3


class FaultPoints:
    """Kills this process, as the kernel would, when the last of so many fault points is reached."""

    def __init__(self, kill_at: int) -> None:
        self.left = kill_at

    def reached(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, work: Callable[..., Awaitable[T]], *, counts: Callable[[dict[str, Any]], bool]) -> Any:
        async def worked(*args: Any, **named: Any) -> T:
            if not counts(named):
                return await work(*args, **named)
            self.reached()
            done = await work(*args, **named)
            self.reached()
            return done

        return worked


async def carry_out(kubeconfig: str, url: str, directory: Path, asked: dict[str, Any]) -> str:
    """The plan's state at the end, or the word of the error that ended the run."""
    points = FaultPoints(asked["kill_at"])

    def connect(_: str) -> AbstractAsyncContextManager[Api]:
        return Api.connect(kubeconfig, backoff=QUICK)

    async def diagnose(_: Plan, __: str) -> Report:
        return report("healthy") if asked["better"] else report("broken", fails=2)

    Api.patch = points.around(Api.patch, counts=lambda named: "dryRun" not in named)
    Api.delete = points.around(Api.delete, counts=lambda named: not named.get("is_dry_run"))
    writer.roll_back_release = points.around(writer.roll_back_release, counts=lambda named: not named.get("is_dry_run"))
    Plans.write = points.around(Plans.write, counts=lambda _: True)
    settings = PlanSettings(
        mode="execute", limits=Limits(pause_s=0, a_day_for_target=1000), pause_s=0.005, unknown_s=2.0,
        supplies=Supplies(helm=asked["helm"]),
    )  # fmt: skip
    async with open_store(url, directory) as store:
        store.plans.lease_s = LEASE_S
        service = PlanService(store, connect, diagnose, settings, now=lambda: NOW + asked["second"])
        try:
            done = await service.execute(asked["plan"], who=str(os.getpid()))
        except BotError as error:
            return type(error).__name__
    return done.state if isinstance(done, PlanRecord) else done.kind


def main() -> None:
    configure("error")
    kubeconfig, url, directory = sys.argv[1:]
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = asyncio.run(carry_out(kubeconfig, url, Path(directory), json.loads(line)))
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            said = answer.read()
        os.waitpid(child, 0)
        print(said or "killed", flush=True)


if __name__ == "__main__":
    main()
