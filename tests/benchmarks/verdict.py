"""Seconds to a verdict, with and without a trace.  `python -m tests.benchmarks.verdict [TIMES]`

A lab of three nodes; healthy, and with each fault, it is diagnosed TIMES (7) times either way. The seconds are those of
the report. The last fault is a rule without a counter behind a jump: only followed packets prove it, and
without a trace it is looked at twice. Prints the median of each, and how sure the verdict was.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.request import Request
from bot.domain.report import Report
from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient

KNOWLEDGE = load_knowledge()
HEALTHY, SILENT_RULE = "healthy", "a rule without a counter"
FAULTS = (
    HEALTHY,
    *("calico-proxy-arp-off-one-pod", "pod-firewall", "kube-proxy-dead", "service-wrong-target-port"),
    *("pod-default-route-missing", "overlay-port-differs"),
    SILENT_RULE,
)
RULE = (
    "table ip quiet { chain verdicts { drop; }; "
    "chain c { type filter hook forward priority -10; policy accept; tcp sport 9004 jump verdicts; }; }"
)


@asynccontextmanager
async def broken(lab: LabClient, fault: str) -> AsyncGenerator[None]:
    """The lab with this fault in it."""
    if fault == HEALTHY:
        yield
    elif fault == SILENT_RULE:
        await lab.exec("node-1", ["nft", RULE])
        yield
        await lab.exec("node-1", ["nft", "delete table ip quiet"])
    else:
        await lab.break_(fault, node="node-1")
        yield
        await lab.heal()


async def verdict(lab: LabClient, *, with_trace: bool) -> Report:
    request = Request(namespace="seldon-mesh", with_trace=with_trace)
    return (await diagnose_cluster(lab.kubeconfig, None, request, KNOWLEDGE)).report


async def measured(lab: LabClient, times: int) -> None:
    for fault in FAULTS:
        async with broken(lab, fault):
            await verdict(lab, with_trace=True)
            for with_trace in (True, False):
                reports = [await verdict(lab, with_trace=with_trace) for _ in range(times)]
                seconds = sorted(each.took_s for each in reports)
                said = {
                    f"{each.verdict.status} {each.verdict.cause or ''} {each.verdict.confidence or ''}"
                    for each in reports
                }
                way = "with" if with_trace else "without"
                median = f"{statistics.median(seconds):.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})"
                print(f"{fault}, {way} a trace: {median}; {', '.join(sorted(said))}", flush=True)


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as directory:
        lab = launch.start(Path(directory) / "lab", launch.LabOptions(), attached=True)
        try:
            asyncio.run(measured(LabClient(Path(directory) / "lab"), times))
        finally:
            lab.stop()
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
