"""A healthy lab works as a cluster does: names, Services, logs, exec, restarts, policies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import LabUnderTest
from tests.lab.cluster import kernel_view
from tests.lab.cluster.kernel_view import kubectl, objects

pytestmark = pytest.mark.lab
VIP = "10.43.51.131"


async def test_everybody_reaches_everything(any_lab: LabUnderTest) -> None:
    """From a pod on every node: the Service, DNS, the API server, the outside, a pod of every node."""
    pods = await kernel_view.networks(any_lab.client)
    servers = {one.node: one for one in pods if one.name.startswith("static-")}
    assert sorted(servers) == ["node-1", "node-2", "node-3"]
    asked: list[tuple[Any, ...]] = [
        ("tcp", VIP, 9004, 3.0),
        ("tcp", "10.43.0.1", 443, 3.0),
        ("tcp", "198.51.100.10", 443, 3.0),
        ("dns", "10.43.0.10", "seldon-scheduler.seldon-mesh.svc.cluster.local", 3.0),
        ("dns", "10.43.0.10", "www.example.com", 3.0),
        *(("tcp", one.ip, 8080, 3.0) for one in servers.values()),
    ]

    for one in servers.values():
        assert await kernel_view.probe(any_lab.client, one.target, *asked) == ["ok"] * len(asked)


async def test_large_transfers_pass(any_lab: LabUnderTest) -> None:
    client = await kernel_view.pod(any_lab.client, "seldon-mesh/sklearn")
    server = await kernel_view.pod(any_lab.client, "seldon-mesh/seldon-scheduler")

    assert await kernel_view.probe(any_lab.client, client.target, ("bulk", server.ip, 9004, 5.0)) == ["ok"]


async def test_policies_allow_exactly_the_chain(any_lab: LabUnderTest) -> None:
    """web -> api -> db, and nothing else: the policies are enforced on every data plane."""
    web, api, db = [await kernel_view.pod(any_lab.client, f"shop/{name}") for name in ("web", "api", "db")]
    # Refusals to one address are withheld where there were many: the SYN is sent again after 1 and 3 s.
    to_api, to_db = ("tcp", api.ip, 8081, 1.0), ("tcp", db.ip, 5432, 4.0)

    # kube-router, which K3s embeds, refuses what no policy allows; the others drop it.
    denied = "ECONNREFUSED" if any_lab.cni == "flannel-vxlan" else "timeout"
    assert await kernel_view.probe(any_lab.client, web.target, to_api, to_db) == ["ok", denied]
    assert await kernel_view.probe(any_lab.client, api.target, to_db) == ["ok"]
    assert await kernel_view.probe(any_lab.client, "node-1", to_db) == ["ok" if db.node == "node-1" else denied]


async def test_pods_see_themselves_as_on_a_real_node(calico_lab: LabUnderTest) -> None:
    victim = await kernel_view.pod(calico_lab.client, "seldon-mesh/sklearn")

    said = await kernel_view.run(
        calico_lab.client, victim.target, "hostname; cat /etc/hosts /etc/resolv.conf; ip route"
    )

    assert said.startswith(victim.name + "\n")
    assert f"{victim.ip}\t{victim.name}" in said
    assert "nameserver 10.43.0.10" in said
    assert "default via 169.254.1.1 dev eth0" in said


async def test_nodes_know_whose_process_it_is(calico_lab: LabUnderTest) -> None:
    """The kubelet's mounts are in /proc/PID/mountinfo, as on real nodes; other nodes' processes are not there."""
    victim = await kernel_view.pod(calico_lab.client, "seldon-mesh/sklearn")
    (pod,) = [one for one in objects(calico_lab, "pods", "-n", "seldon-mesh") if one["metadata"]["name"] == victim.name]
    uid = pod["metadata"]["uid"]
    command = f"cat /proc/[0-9]*/mountinfo | grep -c 'pods/{uid}/etc-hosts /etc/hosts'"

    assert int(await kernel_view.run(calico_lab.client, victim.node, command)) >= 2
    others = {"node-1", "node-2", "node-3"} - {victim.node}
    assert [await kernel_view.run(calico_lab.client, node, command) for node in others] == ["0\n", "0\n"]


async def test_exec_is_as_strict_as_the_image(calico_lab: LabUnderTest) -> None:
    scheduler = await kernel_view.pod(calico_lab.client, "seldon-mesh/seldon-scheduler")
    agent = next(
        one["metadata"]["name"]
        for one in objects(calico_lab, "pods", "-n", "kube-system")
        if one["metadata"]["name"].startswith("calico-node")
    )

    assert "cali" in kubectl(calico_lab, "exec", "-n", "kube-system", agent, "--", "ip", "link")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl(calico_lab, "exec", "-n", "seldon-mesh", scheduler.name, "--", "sh")
    assert 'exec: "sh": executable file not found in $PATH' in refused.value.stderr


async def test_logs_are_go_like(calico_lab: LabUnderTest) -> None:
    victim = await kernel_view.pod(calico_lab.client, "seldon-mesh/sklearn")

    assert "Connected to scheduler" in kubectl(calico_lab, "logs", "-n", "seldon-mesh", victim.name)


async def test_unknown_image_and_crash_are_reported(calico_lab: LabUnderTest) -> None:
    kubectl(calico_lab, "run", "lost", "--image", "registry.example/nothing:1", "-n", "default")
    kubectl(calico_lab, "run", "crash", "--image", "busybox", "-n", "default", "--", "false")
    try:
        for name, reason in (("lost", "ErrImagePull"), ("crash", "CrashLoopBackOff")):
            path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
            kubectl(calico_lab, "wait", f"--for={path}={reason}", "pod", name, "-n", "default", "--timeout=30s")
    finally:
        kubectl(calico_lab, "delete", "pod", "lost", "crash", "-n", "default", "--now")


async def test_a_mount_point_that_a_pod_lacks_is_not_made_on_this_machine(calico_lab: LabUnderTest) -> None:
    """Pods see this machine's directories, /tmp among them."""
    directory = Path("/tmp") / f"lab-{uuid4()}"
    mount = {"name": "data", "mountPath": f"{directory}/data"}
    container = {"name": "main", "image": "busybox", "command": ["sleep", "60"], "volumeMounts": [mount]}
    spec: dict[str, Any] = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}
    kubectl(
        calico_lab, "run", "mounts", "--image", "busybox", "-n", "default", f"--overrides={json.dumps({'spec': spec})}"
    )
    try:
        kubectl(calico_lab, "wait", "--for=condition=Ready", "pod", "mounts", "-n", "default", "--timeout=30s")

        assert kubectl(calico_lab, "exec", "-n", "default", "mounts", "--", "ls", str(directory)).split() == ["data"]
        assert not directory.exists()
    finally:
        kubectl(calico_lab, "delete", "pod", "mounts", "-n", "default", "--now")


async def test_restarted_agent_repairs_its_node(calico_lab: LabUnderTest) -> None:
    """What Felix does on a start: sysctls, routes, tunnel back to Calico's invariants."""
    done = await calico_lab.client.break_("calico-proxy-arp-off")
    victim = await kernel_view.pod(calico_lab.client, done["pod"])
    agent = next(
        one["metadata"]["name"]
        for one in objects(calico_lab, "pods", "-n", "kube-system", "-l", "k8s-app=calico-node")
        if one["spec"]["nodeName"] == victim.node
    )
    kubectl(calico_lab, "delete", "pod", "-n", "kube-system", agent)
    kubectl(calico_lab, "rollout", "status", "daemonset/calico-node", "-n", "kube-system", "--timeout=30s")

    found = await kernel_view.probe(calico_lab.client, victim.target, ("arp", "eth0", "169.254.1.1", 1.0))

    assert found == ["ee:ee:ee:ee:ee:ee"]


async def test_deleted_pod_leaves_nothing_on_its_node(calico_lab: LabUnderTest) -> None:
    victim = await kernel_view.pod(calico_lab.client, "distroless/static")
    kubectl(calico_lab, "delete", "pod", "-n", "distroless", victim.name)
    kubectl(calico_lab, "rollout", "status", "deployment/static", "-n", "distroless", "--timeout=30s")

    said = await kernel_view.run(
        calico_lab.client, victim.node, f"ip link show {victim.veth}; ip route show {victim.ip}"
    )

    assert "does not exist" in said
    assert "scope link" not in said
