"""Reports that were made on another machine than the node's."""

import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.machine import read_machine
from bot.agent.report import Machine, NetnsState, NodeReport
from bot.cluster.access.machines import check_machine
from bot.cluster.objects import Node
from bot.cluster.objects.base import ObjectMeta
from bot.cluster.objects.nodes import NodeInfo, NodeStatus
from bot.domain.errors import AgentError
from bot.domain.facts import Rung
from tests.cluster.small_cluster import AGENT, NODE_INFO, SmallCluster, small_cluster
from tests.diagnosis.test_lower_rungs import of_rungs, seen

BOOT = ("f28562f8-fdef-47ad-bdd1-4828f0319f4b", "0b6c8a54-9d8f-4f5c-9a3c-7f8d3a1e2b4c")


def node(name: str, boot_id: str, machine_id: str, system_uuid: str = "") -> Node:
    info = NodeInfo(boot_id=boot_id, machine_id=machine_id, system_uuid=system_uuid)
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(node_info=info))


def refusal(made: Machine, *nodes: Node) -> str:
    """Why a report for the first of these nodes is not believed, "" when it is."""
    name = nodes[0].metadata.name
    report = NodeReport(node=name, machine=made, started_at="", took_s=0.1, root=NetnsState())
    try:
        check_machine(report, {each.metadata.name: each for each in nodes})
    except AgentError as error:
        return error.why
    return ""


A, B = node("a", BOOT[0], "1" * 32), node("b", BOOT[1], "2" * 32)
CONTAINER_A, CONTAINER_B = node("a", BOOT[0], "1" * 32), node("b", BOOT[0], "2" * 32)
"""Nodes that are containers of one machine, as kind makes them."""


def test_a_report_from_its_own_node_is_believed():
    assert refusal(Machine(boot_id=BOOT[0], machine_id="1" * 32), A, B) == ""
    assert refusal(Machine(boot_id=BOOT[0].upper(), machine_id="1" * 32), A, B) == ""


def test_an_agent_on_one_node_that_speaks_for_another_is_not():
    why = refusal(Machine(boot_id=BOOT[1], machine_id="2" * 32), A, B)
    assert why.startswith("what it printed was made on b, so it is not believed")


def test_nor_is_one_on_a_machine_that_nobody_knows():
    for machine_id in ("1" * 32, "3" * 32):
        why = refusal(Machine(boot_id="6f1d4c1e-0000-4000-8000-000000000000", machine_id=machine_id), A, B)
        assert (
            why
            == "what it printed was made on another machine, so it is not believed (or the node has just started anew)"
        )


def test_nor_one_that_hides_where_it_was_made():
    assert refusal(Machine(), A, B).startswith("it does not say on which machine it was made")


def test_nodes_that_share_a_kernel_are_told_apart_by_their_machine_ids():
    assert refusal(Machine(boot_id=BOOT[0], machine_id="1" * 32), CONTAINER_A, CONTAINER_B) == ""
    why = refusal(Machine(boot_id=BOOT[0], machine_id="2" * 32), CONTAINER_A, CONTAINER_B)
    assert why == "what it printed was made on b, so it is not believed"


def test_and_where_machines_were_cloned_by_their_system_uuids():
    one, other = node("a", BOOT[0], "1" * 32, "aa-1"), node("b", BOOT[0], "1" * 32, "aa-2")
    assert refusal(Machine(boot_id=BOOT[0], machine_id="1" * 32, system_uuid="AA-1"), one, other) == ""
    why = refusal(Machine(boot_id=BOOT[0], machine_id="1" * 32, system_uuid="AA-2"), one, other)
    assert why == "what it printed was made on b, so it is not believed"


def test_a_kubelet_with_files_of_its_own_costs_no_report():
    """On some distributions it reads another machine-id than the one of process 1."""
    assert refusal(Machine(boot_id=BOOT[0], machine_id="9" * 32, system_uuid="zz"), A, B) == ""


def test_what_the_api_does_not_say_is_not_compared():
    assert refusal(Machine(), node("a", "", "")) == ""


def test_the_agent_reads_what_a_kubelet_reads(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("1234\n", encoding="ascii")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/vm,uuid").write_bytes(b"aa-1\0")

    machine = read_machine(str(tmp_path))

    assert (machine.machine_id, machine.system_uuid) == ("1234", "aa-1")
    assert replace(read_machine("/nonexistent"), boot_id="") == Machine()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[SmallCluster]:
    """Two nodes on two machines; what is executed on either runs on this machine, which is node-1's."""
    async with small_cluster(tmp_path) as cluster:
        cluster.namespace("cnibot", "shop")
        cluster.node("node-1", "node-2")
        here = read_machine("/").boot_id or BOOT[0]
        for name, boot_id in (("node-1", here), ("node-2", BOOT[1])):
            info = {**NODE_INFO, "bootID": boot_id}
            cluster.storage.patch("nodes", name, None, {"status": {"nodeInfo": info}}, subresource="status")
            cluster.pod("shop", f"web-{name[-1]}", name)
        await cluster.until(lambda: all(pod["status"].get("podIP") for pod in cluster.storage.list("pods")))
        yield cluster


@pytest.mark.skipif(not read_machine("/").boot_id, reason="this kernel has no boot id")
async def test_a_diagnosis_does_not_believe_an_agent_on_another_node(home: SmallCluster):
    """What was made on node-1 under node-2's name says nothing of node-2, and that is said."""
    assert home.kubelet.instead["cnibot-agent"] == AGENT

    evidence = await seen(home)

    assert evidence.reports["node-1"].machine.boot_id == read_machine("/").boot_id
    assert evidence.rungs == {"node-1": Rung.AGENT, "node-2": Rung.EXEC}
    (lowered,) = (each for each in of_rungs(evidence) if each.what == "rung agent")
    assert "The node agent on node-2 gave no report: what it printed was made on node-1" in lowered.why


FORGER = """
import json
print(json.dumps({"schema": "cnibot.node-report/v1", "node": json.loads(input())["node"],
                  "started_at": "2026-11-30T00:00:00Z", "took_s": 0.1, "root": {}}))
"""


async def test_a_forged_report_for_the_right_node_is_not_believed(home: SmallCluster):
    """Something that answers in the agent's place, with a faultless report of the node that was asked."""
    home.kubelet.instead["cnibot-agent"] = (sys.executable, "-c", FORGER)

    evidence = await seen(home)

    assert evidence.rungs == {"node-1": Rung.EXEC, "node-2": Rung.EXEC}
    assert "it does not say on which machine it was made" in next(
        each.why for each in of_rungs(evidence) if each.what == "rung agent"
    )
