"""From an alert to the verdict in its thread.  `python -m tests.benchmarks.alert_to_verdict [ALERTS]`

The whole bot as a process of its own between the lab's three nodes, with a fault in them, and a lab Slack workspace.
ALERTS (20) alerts of different names are posted to the webhook, one after the other; each is diagnosed. Measured from
the webhook's 200 to the message with the verdict in Slack. The next alert comes when the channel has everything about
the one before, for Slack takes one message a second in a thread, and a verdict brings pictures. Prints each, median,
p95 (by nearest rank) and the worst.
"""

import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.slack import SlackWorkspace
from tests.conftest import LabUnderTest
from tests.stories import alertmanager
from tests.stories.whole_bot import CHANNEL, running, verdicts

TOKEN = "t0ken"


async def measured(lab: LabUnderTest, state: Path, count: int) -> list[float]:
    port = alertmanager.free_port()
    settings = {
        "CNIBOT_ALERTMANAGER_TOKEN": TOKEN,
        "CNIBOT_ALERT_CHANNEL": "C0INCIDENTS",
        "CNIBOT_HTTP_PORT": str(port),
    }
    times: list[float] = []
    await lab.client.break_("calico-proxy-arp-off", node="node-2")
    async with (
        SlackWorkspace.start() as slack,
        running(lab, slack, state, **settings),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        for number in range(count):
            labels = {"alertname": f"Bench{number}", "namespace": "seldon-mesh", "severity": "warning"}
            alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-29T23:31:02Z"}
            body = json.dumps({"version": "4", "alerts": [alert]})
            before = len(verdicts(slack))
            async with session.post(f"http://127.0.0.1:{port}/alertmanager", data=body) as answer:
                assert answer.status == 200
            began = time.perf_counter()
            await slack.until(lambda before=before: len(verdicts(slack)) > before, 120)
            times.append(time.perf_counter() - began)
            await slack.until(lambda number=number: evidence(slack) > number, 120)
    return times


def evidence(slack: SlackWorkspace) -> int:
    """How many files with all evidence there are: the last that is posted about a verdict."""
    return sum(file.title.startswith("All evidence") for file in slack.files(CHANNEL))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as directory:
        lab = launch.start(Path(directory) / "lab", launch.LabOptions(), attached=True)
        try:
            under_test = LabUnderTest(cni="calico-vxlan", client=LabClient(Path(directory) / "lab"))
            times = asyncio.run(measured(under_test, Path(directory) / "bot", count))
        finally:
            lab.stop()
    print("in order:", " ".join(f"{one:.1f}" for one in times))
    times.sort()
    p95 = times[math.ceil(len(times) * 0.95) - 1]
    print(
        f"{len(times)} alerts: median {statistics.median(times):.1f} s, p95 {p95:.1f} s, worst {times[-1]:.1f} s; "
        f"load after {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
