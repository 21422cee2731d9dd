"""How quick and how big is the bot?  `python -m tests.benchmarks.serve [DIAGNOSES]`

Starts a lab cluster, a lab Slack workspace and `cnibot serve` as a process of its own. Prints: resident memory when
idle; the time to the first reply; then, while DIAGNOSES (20) run at the same time and until the last has its verdict,
the times in which commands are acknowledged, as the workspace sees them and as the bot itself does. Everything shares
this machine's processors; the lab's nodes, which are other machines in life, step back (where the benchmark is root).
"""

import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bot.lab.cluster.launch import LabOptions, start
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.workspace import SlackWorkspace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

IDLE_S = 10.0
EVERY_S = 0.02
IDLE_ACKS = 100
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


@asynccontextmanager
async def bot(slack: SlackWorkspace, kubeconfig: Path, state: Path, at_once: int) -> "AsyncGenerator[tuple[int, str]]":
    """Its process id and its address, once it is ready."""
    ours = {
        "STATE_DIR": str(state),
        "CLUSTERS": json.dumps({"lab": {"kubeconfig": str(kubeconfig)}}),
        "GRANTS": json.dumps([{"actions": ["diagnose", "read"], "users": ["*"]}]),
        "MAX_DIAGNOSES": str(at_once),
        "TIMEOUT_S": "300",
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "HTTP_PORT": "0",
        "HEALTH_PORT": "0",
    }
    environment = {**os.environ, **{f"CNIBOT_{name}": value for name, value in ours.items()}}
    began = time.perf_counter()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", "serve", stdout=pipe, env=environment)
    assert process.stdout
    line = await process.stdout.readline()
    print(f"ready after {time.perf_counter() - began:.1f} s: {line.decode().strip()}")
    try:
        yield process.pid, line.decode().split()[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@contextmanager
def niceness_counts() -> "Generator[None]":
    """Every session gets an equal share of the processors on many machines, however nice it is: not meanwhile."""
    was = AUTOGROUP.read_text(encoding="ascii") if AUTOGROUP.exists() and os.access(AUTOGROUP, os.W_OK) else ""
    try:
        if was:
            AUTOGROUP.write_text("0", encoding="ascii")
        else:
            print("the lab's nodes compete with the bot here: only root can make them step back")
        yield
    finally:
        if was:
            AUTOGROUP.write_text(was, encoding="ascii")


def children(pid: int) -> list[int]:
    """The processes that it began."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]


def memory(pid: int) -> str:
    """What the kernel says about the process and those it began."""
    began = ", ".join(f"{_name(child)} {_resident(child)['VmRSS']} MB" for child in children(pid))
    own = _resident(pid)
    return f"{own['VmRSS']} MB RSS, {own['RssAnon']} MB of it not shared, {own['VmHWM']} MB at most; beside it {began}"


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return next((word for word in words if word.startswith("bot.")), Path(words[0]).name)


def _resident(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {
        name: int(rest.split()[0]) // 1024 for name, _, rest in (line.partition(":") for line in lines) if " kB" in rest
    }


def reported(name: str, times: Sequence[float]) -> str:
    """Times in words."""
    in_order = sorted(times)
    p99 = in_order[min(len(in_order) - 1, int(len(in_order) * 0.99))]
    middle, worst = statistics.median(in_order), in_order[-1]
    figures = ", ".join(
        f"{word} {it * 1e3:.0f} ms" for word, it in (("median", middle), ("p99", p99), ("worst", worst))
    )
    return f"{name}: {len(times)} times, {figures}"


async def own_view(address: str) -> str:
    """How quick the bot was by its own clock."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        text = await answer.text()
    lines: list[str] = []
    for name in ('cnibot_slack_ack_seconds_bucket{kind="command",', "cnibot_loop_lag_seconds_bucket{"):
        counts = re.findall(re.escape(name) + r'le="([^"]+)"\} ([\d.]+)', text)
        lines.append(f"{name}: " + ", ".join(f"{float(count):.0f} within {limit} s" for limit, count in counts))
    return "\n".join(lines)


async def first_reply(slack: SlackWorkspace, channel: str) -> float:
    """Seconds from the command to the first word in the channel."""
    began = time.perf_counter()
    outcome = await slack.user("alice").slash(channel, "/cni", "diagnose seldon-mesh")
    assert outcome.acked, outcome
    await slack.until(lambda: slack.messages(channel), 60)
    return time.perf_counter() - began


async def acknowledged(slack: SlackWorkspace, is_enough: Callable[[int], bool]) -> list[float]:
    """Commands one after the other, a short while apart, until they are enough."""
    times: list[float] = []
    clock = asyncio.get_running_loop().time
    lags: list[float] = []
    while not is_enough(len(times)):
        outcome = await slack.user("bob").slash("incidents", "/cni", "help")
        assert outcome.acked, outcome
        times.append(outcome.took_s)
        woken = clock() + EVERY_S
        await asyncio.sleep(EVERY_S)
        lags.append(clock() - woken)
    print(reported("(lag of this benchmark itself", lags), end=")\n")
    return times


def verdicts(slack: SlackWorkspace, channels: Sequence[str]) -> int:
    """In how many of the channels a thread has its verdict."""
    return sum(any("cni_details" in one.action_ids for one in slack.everything(channel)) for channel in channels)


async def measure(kubeconfig: Path, state: Path, diagnoses: int) -> None:
    channels = [f"bench-{number}" for number in range(diagnoses)]
    async with (
        SlackWorkspace.start(SlackOptions(extra_channels=tuple(channels))) as slack,
        bot(slack, kubeconfig, state, diagnoses) as (pid, address),
    ):
        await asyncio.sleep(IDLE_S)
        print(f"idle: {memory(pid)}")
        print(reported("acknowledged while idle", await acknowledged(slack, lambda times: times == IDLE_ACKS)))
        print(f"first reply while idle: {await first_reply(slack, 'alerts') * 1e3:.0f} ms")
        await slack.until(lambda: verdicts(slack, ["alerts"]), 300)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            replies = [group.create_task(first_reply(slack, channel)) for channel in channels]
            acknowledging = group.create_task(acknowledged(slack, lambda _: verdicts(slack, channels) == diagnoses))
        print(await own_view(address))
        print(reported(f"acknowledged while {diagnoses} diagnoses run", acknowledging.result()))
        print(reported("first reply to each of these", [reply.result() for reply in replies]))
        print(f"all {diagnoses} verdicts after {time.perf_counter() - began:.1f} s; then {memory(pid)}")
        await asyncio.sleep(IDLE_S)
        print(f"idle again: {memory(pid)}")


def main() -> None:
    diagnoses = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as directory, niceness_counts():
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        lab = start(Path(directory) / "lab", LabOptions(), attached=True)
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        try:
            asyncio.run(measure(lab.state.kubeconfig, Path(directory) / "bot", diagnoses))
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
