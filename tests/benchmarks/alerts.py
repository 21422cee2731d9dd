"""What does a storm of alerts do?  `python -m tests.benchmarks.alerts [ALERTS] [SECONDS] [KILLS]`

`cnibot serve` as a process of its own, a lab Slack workspace that keeps Slack's rates, no cluster that answers: ALERTS
(10000) different alerts, twenty to a notification, arrive within SECONDS (60), as from 200 namespaces; KILLS (0) times
in between the bot is killed with -9 and started again, and Alertmanager sends again what was not acknowledged. Prints
how long the webhook took, what is in the store afterwards, what was posted, and the bot's memory.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import aiohttp

from bot.lab.slack.options import SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.store import Store, open_store
from tests.contracts.scripted_server import closed_port
from tests.programs import ending_with_us

PER_NOTIFICATION = 20
NAMESPACES = 200
TOKEN = "t0ken"
NO_CLUSTER = """\
{"apiVersion": "v1", "kind": "Config", "current-context": "none",
 "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
 "users": [{"name": "none", "user": {}}],
 "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}]}
"""


@dataclass
class Bot:
    """`cnibot serve`, killed and started again."""

    environment: dict[str, str]
    webhook: str
    metrics: str
    process: asyncio.subprocess.Process | None = None
    memory: list[int] = field(default_factory=list[int])

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *ending_with_us(sys.executable, "-m", "bot", "serve"), stdout=asyncio.subprocess.PIPE, env=self.environment
        )
        assert self.process.stdout
        assert await self.process.stdout.readline()

    async def end(self, number: signal.Signals) -> None:
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()

    @property
    def computed_s(self) -> float:
        """Processor time of the bot's own process."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def waited_s(self) -> float:
        """How long the bot's loop was ready to go on and had no processor: what other work on the machine costs."""
        assert self.process
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text(encoding="utf-8").split()[1]) / 1e9

    def measure(self) -> None:
        assert self.process
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        self.memory += [int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")]


@asynccontextmanager
async def bot(slack: SlackWorkspace, state: Path, **settings: str) -> AsyncGenerator[Bot]:
    port, health_port = closed_port(), closed_port()
    kubeconfig = state.with_suffix(".kubeconfig")
    kubeconfig.write_text(NO_CLUSTER, encoding="utf-8")
    ours = {
        "STATE_DIR": str(state),
        "CLUSTERS": json.dumps({"lab": {"kubeconfig": str(kubeconfig)}}),
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "HTTP_PORT": str(port),
        "HEALTH_PORT": str(health_port),
        "ALERTMANAGER_TOKEN": TOKEN,
        "ALERT_CHANNEL": "C0INCIDENTS",
        "LOG_LEVEL": "error",
        **settings,
    }
    found = Bot(
        {**os.environ, **{f"CNIBOT_{name}": value for name, value in ours.items()}},
        webhook=f"http://127.0.0.1:{port}/alertmanager",
        metrics=f"http://127.0.0.1:{health_port}/metrics",
    )
    await found.start()
    try:
        yield found
    finally:
        await found.end(signal.SIGTERM)


def notification(first: int) -> bytes:
    """Twenty alerts of one namespace."""
    alerts = [
        {
            "status": "firing",
            "labels": {
                "alertname": "KubePodNotReady",
                "namespace": f"team-{first // PER_NOTIFICATION % NAMESPACES}",
                "pod": f"web-{number}",
                "severity": "warning",
                "job": "kube-state-metrics",
            },
            "annotations": {"summary": "Pod has been in a non-ready state for more than 15 minutes."},
            "startsAt": "2026-11-29T23:31:02.113Z",
            "endsAt": "0001-01-01T00:00:00Z",
        }
        for number in range(first, first + PER_NOTIFICATION)
    ]
    return json.dumps({"version": "4", "alerts": alerts}).encode()


async def deliver(
    session: aiohttp.ClientSession, webhooks: Sequence[str], body: bytes, times: list[float], again: Counter[str]
) -> None:
    """As Alertmanager does: until it is acknowledged, by whichever replica is asked next."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for webhook in cycle(webhooks):
        began = time.perf_counter()
        try:
            async with session.post(webhook, data=body, headers=headers) as answer:
                if answer.status == 200:
                    times.append(time.perf_counter() - began)
                    return
                again[str(answer.status)] += 1
        except aiohttp.ClientError as error:
            again[type(error).__name__] += 1
        await asyncio.sleep(0.5)


async def storm(bot: Bot, alerts: int, seconds: float, kills: int) -> None:
    times: list[float] = []
    again: Counter[str] = Counter()
    bodies = [notification(first) for first in range(0, alerts, PER_NOTIFICATION)]
    kill_at = {len(bodies) * (one + 1) // (kills + 1) for one in range(kills)}
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for number, body in enumerate(bodies):
            group.create_task(deliver(session, [bot.webhook], body, times, again))
            if number in kill_at:
                await bot.end(signal.SIGKILL)
                await bot.start()
            bot.measure()
            await asyncio.sleep(max(0.0, began + seconds * (number + 1) / len(bodies) - time.perf_counter()))
    took = time.perf_counter() - began
    in_order = sorted(times)
    p99 = in_order[int(len(in_order) * 0.99)]
    print(
        f"{alerts} alerts in {len(bodies)} notifications within {took:.0f} s: webhook median "
        f"{statistics.median(times) * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, worst {in_order[-1] * 1e3:.0f} ms; "
        f"sent again: {dict(again) or 'never'}"
    )
    waited = f"waited {bot.waited_s:.1f} s for a processor"
    print(f"until then the bot, since it last began, computed {bot.computed_s:.0f} s and {waited}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a storm left in the store."""

    alerts: int
    """Different ones."""
    doubled: int
    """In two incidents."""
    firing: int
    incidents: int
    waiting: int
    dead: int


async def counted(store: Store) -> Counted:
    """All that is there, for nobody else to change."""
    incidents = await store.incidents.open_ones()
    kept = [await store.alerts.of(one.id) for one in incidents]
    found = Counter(alert.fingerprint for one in kept for alert in one.alerts)
    inbox = await store.inbox.counts()
    return Counted(
        alerts=len(found),
        doubled=sum(count > 1 for count in found.values()),
        firing=sum([await store.alerts.firing(one.id) for one in incidents]),
        incidents=len(incidents),
        waiting=inbox.waiting,
        dead=inbox.dead,
    )


async def handled(bot: Bot) -> float:
    """Seconds until the inbox is empty."""
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(bot.metrics) as answer:
                text = await answer.text()
            if 'cnibot_inbox_entries{state="waiting"} 0.0' in text:
                return time.perf_counter() - began
            await asyncio.sleep(1)


async def measure(state: Path, alerts: int, seconds: float, kills: int) -> None:
    async with SlackWorkspace.start(SlackOptions(strict_rates=True)) as slack:
        async with bot(slack, state) as serving:
            serving.measure()
            await storm(serving, alerts, seconds, kills)
            print(f"all handled {await handled(serving):.0f} s later")
            serving.measure()
            memory = serving.memory
            print(f"processor time of the bot since it last began: {serving.computed_s:.0f} s")
            print(f"memory: {memory[0]} MB before, {max(memory)} MB at most, {memory[-1]} MB after")
        posted = [one for one in slack.everything("incidents") if one.user == slack.bot_user_id]
        seconds_of = Counter(int(float(one.ts)) for one in posted)
        print(f"posted: {len(posted)} messages, at most {max(seconds_of.values(), default=0)} within one second")
    async with open_store(None, state) as store:
        found = await counted(store)
    print(
        f"in the store: {found.alerts} of {alerts} alerts, {found.doubled} in two incidents, {found.firing} counted as "
        f"firing, {found.incidents} incidents, {found.waiting} not handled, {found.dead} given up"
    )


def main() -> None:
    alerts, seconds, kills = (int(given) for given in [*sys.argv[1:], *("10000", "60", "0")[len(sys.argv) - 1 :]][:3])
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory) / "bot", alerts, float(seconds), kills))


if __name__ == "__main__":
    main()
