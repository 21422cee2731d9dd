"""2 a.m., `dial tcp 10.43.51.131:9004: i/o timeout`, and `169.254.1.1 FAILED` in `ip neigh`.

The team of the founding story blamed Calico issue #8689 and replaced the CNI. These tests are the other ending.
"""

import json
from typing import Any

from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot


def diagnosed(lab: LabUnderTest, *more: str) -> tuple[int, dict[str, Any]]:
    run = cnibot(lab, "diagnose", "seldon-mesh", "--output", "json", *more)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout)


async def run_in(lab: LabUnderTest, target: str, *argv: str) -> str:
    result = await lab.client.exec(target, argv)
    assert result.code == 0, result.err
    return result.out


async def test_proxy_arp_switched_off_by_hand_is_found_and_confirmed(calico_lab: LabUnderTest) -> None:
    links = json.loads(await run_in(calico_lab, "node-1", "ip", "-j", "link"))
    cali = next(link["ifname"] for link in links if link["ifname"].startswith("cali"))
    await run_in(calico_lab, "node-1", "sysctl", "-w", "net.ipv4.conf.all.proxy_arp=0")
    await run_in(calico_lab, "node-1", "sysctl", "-w", f"net.ipv4.conf.{cali}.proxy_arp=0")
    try:
        code, report = diagnosed(calico_lab)
    finally:
        await run_in(calico_lab, "node-1", "sysctl", "-w", f"net.ipv4.conf.{cali}.proxy_arp=1")

    assert code == 1
    assert report["verdict"]["cause"] == "calico-proxy-arp-off"
    assert report["verdict"]["confidence"] == "confirmed"
    assert report["verdict"]["hop"] == "gateway"
    commands = [command for fix in report["remediations"] for command in fix["commands"]]
    assert f"sysctl -w net.ipv4.conf.{cali}.proxy_arp=1" in commands


async def test_a_missing_default_route_of_the_node_is_not_taken_for_proxy_arp(calico_lab: LabUnderTest) -> None:
    route = (await run_in(calico_lab, "node-1", "ip", "route", "show", "default")).strip()
    await run_in(calico_lab, "node-1", "ip", "route", "del", "default")
    try:
        code, report = diagnosed(calico_lab)
    finally:
        await run_in(calico_lab, "node-1", "ip", "route", "add", *route.split())

    assert code == 1
    assert report["verdict"]["cause"] == "node-default-route-missing"
    ruled_out = {cause["id"] for cause in report["causes"] if cause["confidence"] == "ruled_out"}
    assert "calico-proxy-arp-off" in ruled_out


async def test_issue_8689_is_ruled_out_and_replacing_the_cni_is_not_offered(calico_lab: LabUnderTest) -> None:
    await calico_lab.client.break_("calico-proxy-arp-off", node="node-2")

    _, report = diagnosed(calico_lab)

    issue = next(issue for issue in report["known_issues"] if issue["id"] == "calico-8689")
    assert issue["match"] == "ruled_out"
    assert issue["why"]
    offered = " ".join(f"{fix['id']} {fix['why']} {' '.join(fix['commands'])}" for fix in report["remediations"])
    assert "cilium" not in offered.lower()
    assert any("replace the CNI" in step for step in report["next_steps"])


async def test_one_exec_per_node_with_pods_in_scope_not_per_pod(calico_lab: LabUnderTest) -> None:
    code, report = diagnosed(calico_lab)

    assert code == 0
    assert report["verdict"]["status"] == "healthy"
    assert report["coverage"]["nodes_total"] == 3
    assert report["exec_calls"] in {3, 6}  # where a look leaves doubts, as on a busy machine, there is a second
    assert report["coverage"]["pods_total"] > 3


async def test_a_recorded_diagnosis_is_judged_alike_without_the_cluster(
    calico_lab: LabUnderTest, tmp_path: Any
) -> None:
    await calico_lab.client.break_("calico-proxy-arp-off", node="node-2")
    file = tmp_path / "incident.json.gz"
    _, live = diagnosed(calico_lab, "--record", str(file))

    again = cnibot(calico_lab, "replay", str(file), "--output", "json", env={"KUBECONFIG": "/nowhere"})

    assert again.returncode == 1
    assert json.loads(again.stdout) == live


async def test_nothing_is_left_behind_in_the_cluster(calico_lab: LabUnderTest) -> None:
    diagnosed(calico_lab)

    pods = cnibot(calico_lab, "lab", "status", "--state", str(calico_lab.client.state.path), "--output", "json")
    assert pods.returncode == 0
    listed = (await calico_lab.client.exec("node-1", ["ps", "ax", "-o", "args"])).out
    assert "bot.agent" not in listed


async def test_options_behind_the_dashes_belong_to_the_program_in_the_lab(calico_lab: LabUnderTest) -> None:
    state = str(calico_lab.client.state.path)

    run = cnibot(calico_lab, "lab", "exec", "node-1", "--state", state, "--", "ip", "-o", "link")

    assert run.returncode == 0, run.stderr
    assert "cali" in run.stdout
