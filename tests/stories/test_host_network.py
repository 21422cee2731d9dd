"""Pods that share their node's network: what their node does not reach counts as what any pod does not reach."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.objects import Pod
from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot

NODE, NAMESPACE, NAME = "node-1", "default", "edge"
SLEEP = ["sleep", "infinity"]
OUTSIDE = ("198.51.100.10", 443)
DIAL = f"import socket; socket.create_connection({OUTSIDE})"
"""Comes back once packets pass."""
WAITING = ["ss", "-tn", "state", "syn-sent"]


@asynccontextmanager
async def edge(lab: LabUnderTest, peer: str, dropped: str) -> AsyncGenerator[None]:
    """Such a pod on node-1, which asks the cluster's DNS; the node drops some of what it sends."""
    path = api_path("pods", namespace=NAMESPACE)
    spec: dict[str, Any] = {
        "nodeName": NODE,
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "containers": [
            {"name": "main", "image": DEFAULT_IMAGE, "command": SLEEP, "env": [{"name": "PEER", "value": peer}]}
        ],
    }
    rules = "add table inet guard; add chain inet guard out { type filter hook output priority -200 ; }"
    done = await lab.client.exec(NODE, ["nft", f"{rules}; add rule inet guard out {dropped} drop"])
    assert done.code == 0, done.err
    try:
        async with Api.connect(lab.kubeconfig, None) as api:
            await api.create(path, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME}, "spec": spec}, Pod)
            try:
                async with asyncio.timeout(30):
                    while not (await api.get(f"{path}/{NAME}", Pod)).is_ready:  # noqa: ASYNC110 - the API is asked
                        await asyncio.sleep(0.05)
                yield
            finally:
                await api.delete(f"{path}/{NAME}", grace_s=0)
    finally:
        await lab.client.exec(NODE, ["nft", "delete table inet guard"])


async def diagnosed(lab: LabUnderTest) -> tuple[set[str], str | None]:
    """The probes that found a fault, and the cause."""
    run = await asyncio.to_thread(cnibot, lab, "diagnose", NAMESPACE, "--output", "json")
    report = json.loads(run.stdout)
    failed = {finding["probe"] for finding in report["findings"] if finding["severity"] == "fail"}
    return failed, report["verdict"]["cause"]


@pytest.mark.parametrize(
    ("peer", "dropped", "expected"),
    [
        ("", "tcp dport 443", (set[str](), None)),
        ("", "udp dport 53", ({"dns"}, "foreign-firewall-drops")),
        ("http://198.51.100.10:443", "tcp dport 443", ({"dialled-addresses"}, "foreign-firewall-drops")),
    ],
    ids=["nothing that it needs", "its names", "an address that it is given"],
)
async def test_what_its_node_does_not_reach(
    calico_lab: LabUnderTest, peer: str, dropped: str, expected: tuple[set[str], str | None]
) -> None:
    async with edge(calico_lab, peer, f"ip daddr != 10.43.0.1 {dropped}"):
        assert await diagnosed(calico_lab) == expected


async def test_what_it_dials_just_now_is_tried_by_its_node_at_a_second_look(calico_lab: LabUnderTest) -> None:
    client = calico_lab.client
    async with asyncio.TaskGroup() as group, edge(calico_lab, "", "ip daddr 198.51.100.10 tcp dport 443"):
        group.create_task(client.exec(f"{NAMESPACE}/{NAME}", [sys.executable, "-c", DIAL]))
        async with asyncio.timeout(30):
            while "198.51.100.10" not in (await client.exec(NODE, WAITING)).out:  # noqa: ASYNC110 - the node is asked
                await asyncio.sleep(0.05)
        found = await diagnosed(calico_lab)

    assert found == ({"dialled-addresses"}, "foreign-firewall-drops")
