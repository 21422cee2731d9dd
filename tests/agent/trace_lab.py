"""Series followed on nodes of `tests.agent.nodes`: the agent as a program on each, started together as the bot does."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bot.agent.report import NodeReport, Task
from bot.agent.traced import READY, NodeTrace, PacketDrop, TraceFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.packet_trace.fate import Fate, fates
from tests.agent.evidence import evidence_of
from tests.agent.nodes import Node, Pod, decode, encode_task

PORTS = itertools.cycle(range(61_440, 65_440, 32))
"""A TCP port that was used waits a minute."""
LENGTHS = itertools.cycle(range(700, 900))
"""Packets of an earlier series may die as late as seconds afterwards (an ARP request that runs out): none is ours."""


def flow(source: Pod, ip: str, node: str = "node-1", **changes: Any) -> TraceFlow:
    """17 UDP packets from a pod to port 7001, of a length that no other series has."""
    fields: dict[str, Any] = {
        "number": 1,
        "node": node,
        "source": source.uid,
        "ip": ip,
        "port": 7001,
        "protocol": "udp",
        "addresses": (source.ip, ip),
        "count": 17,
        "first_port": next(PORTS),
        "length": next(LENGTHS),
    }
    fields |= changes
    if fields["protocol"] == "tcp":
        fields["length"] = 0
    return TraceFlow(**fields)


CHAIN = "table {family} guard {{\n chain c {{\n  type filter hook {hook} priority 0;\n  {rule}\n }}\n}}\n"
"""One rule at one hook."""


def start(node: Node, *flows: TraceFlow, python: str = "") -> subprocess.Popen[str]:
    """The agent of node-1, which listens by now and waits for a line before it sends."""
    process = _start(node, python)
    _give(process, Task(node="node-1", pods=tuple(pod.task_pod for pod in node.pods), follow=flows))
    return process


def follow(nodes: Sequence[Node], *flows: TraceFlow, python: str = "") -> dict[str, NodeReport]:
    """What each node told, by name: node-1, node-2. `python`: statements to run before the agent."""
    tasks = {
        f"node-{at}": (node, Task(node=f"node-{at}", pods=tuple(pod.task_pod for pod in node.pods), follow=flows))
        for at, node in enumerate(nodes, 1)
    }
    started = {name: _start(node, python) for name, (node, _) in tasks.items()}
    for name, process in started.items():
        _give(process, tasks[name][1])
    for process in started.values():
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    found: dict[str, NodeReport] = {}
    for name, process in started.items():
        output, error = process.communicate(timeout=20)
        assert not process.returncode, error
        found[name] = decode(output)
    return found


def fate_in(nodes: Sequence[Node], one: TraceFlow) -> Fate:
    """What became of a series, judged by what the agents of these nodes saw."""
    [found] = fates(evidence_in(nodes, one))
    return found


def evidence_in(nodes: Sequence[Node], one: TraceFlow) -> Evidence:
    """What the agents of these nodes saw of a series."""
    traces = {name: trace_of(report) for name, report in follow(nodes, one).items()}
    return evidence_of(nodes, traced=(one,), traces=traces)


def trace_of(report: NodeReport) -> NodeTrace:
    assert report.trace
    return report.trace


def seen(trace: NodeTrace, leg: str = "request") -> dict[tuple[str, str, str], int]:
    """{(namespace, device, "in" or "out"): packets}, "tunnel " before the device for wrapped ones."""
    return {
        (one.netns[-4:], f"{one.tunnel} {one.dev}".strip(), "out" if one.is_out else "in"): one.count
        for one in trace.sightings
        if one.leg == leg
    }


def only_drop(trace: NodeTrace) -> PacketDrop:
    """The only place where the series dies, with all that died there.

    Packets that waited for a neighbour come to it by another stack than those after them.
    """
    places = {(one.netns, one.dev, one.reason, one.symbol, one.hook, one.family, one.leg) for one in trace.drops}
    assert len(places) == 1, trace
    return replace(trace.drops[0], count=sum(one.count for one in trace.drops))


def _give(process: subprocess.Popen[str], task: Task) -> None:
    """The task, and wait until the agent listens."""
    assert process.stdin
    assert process.stderr
    process.stdin.write(encode_task(task))
    process.stdin.flush()
    said = process.stderr.readline().strip()
    assert said == READY, said + process.stderr.read()


def _start(node: Node, python: str) -> subprocess.Popen[str]:
    agent = "import sys; from bot.agent.__main__ import main; sys.exit(main(['--host-root', '/nonexistent']))"
    return subprocess.Popen(
        [*node.namespaces.enter(node.number), sys.executable, "-c", f"{python}\n{agent}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
