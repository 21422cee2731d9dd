"""Mechanisms on the real kernel, from the agent's reading to the facts that causes ask for."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from bot.agent.hosts import parse_hosts
from bot.agent.report import Target
from bot.domain import facts
from bot.domain.facts import FactTable
from bot.probes import local_ports
from bot.probes.engine.probe import Probe
from tests.agent.evidence import evidence_of
from tests.agent.nodes import Node, calico_node, is_root, why_no_namespaces
from tests.probes.build import facts_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="this process enters the namespaces itself"),
]
FIRST = facts.pod("shop", "pod-0-on-1")


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    """Each test takes back what it broke."""
    with calico_node([{}, {"tcp": [7001]}]) as made:
        yield made


def known(node: Node, probe: Probe, *targets: Target) -> FactTable:
    return facts_of(evidence_of([node], *targets), probe)


HOLD = """
import socket, sys
held = []
try:
    while True:
        held.append(socket.create_connection((sys.argv[1], 7001), timeout=3))
except OSError as error:
    print(error.errno, len(held), flush=True)
    sys.stdin.read()
"""


def test_a_pod_that_has_used_all_its_ports_is_told_by_its_own_kernel(node: Node) -> None:
    pod, target = node.pods
    asked = Target(purpose="local-pod", ip=target.ip, name="pod-1", port=7001, protocol="tcp")
    free = known(node, local_ports.PROBE, asked).of(FIRST)
    before = node.namespaces.run(pod.number, "sysctl", "-n", "net.ipv4.ip_local_port_range").strip()
    node.namespaces.set_sysctls(pod.number, {"ipv4.ip_local_port_range": "40000 40003"})
    command = [*node.namespaces.enter(pod.number), sys.executable, "-c", HOLD, target.ip]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout
            assert holder.stdin
            held = holder.stdout.readline().split()
            found = known(node, local_ports.PROBE, asked).of(FIRST)
            holder.stdin.close()
    finally:
        node.namespaces.set_sysctls(pod.number, {"ipv4.ip_local_port_range": before})

    assert free["local_ports"] == "free"
    assert held == ["99", "4"]
    assert (found["local_ports"], found["local_port_range"]) == ("exhausted", "40000 to 40003")


def test_lines_of_a_pods_hosts_file_are_read_as_its_processes_see_them(node: Node) -> None:
    """The pods of these nodes share this machine's file system, and so its file."""
    report = evidence_of([node]).reports["node-1"]
    own = parse_hosts(Path("/etc/hosts").read_text(encoding="utf-8"))

    assert [pod.hosts for pod in report.pods] == [own, own]
