"""Looking by commands: the real commands of this machine's kernel, run by the lab's API server."""

import subprocess
from pathlib import Path

import pytest

from bot.agent.report import Address, Link, NetnsState, NodeReport, PodReport, RouteAnswer, Task, TaskPod
from bot.cluster.access import exec_script
from bot.cluster.access.exec_rung import MAX_PODS, report_by_cni_agent, report_by_exec, with_answers
from bot.cluster.client.api import Api
from bot.cluster.cni.detect import CniInventory
from bot.cluster.snapshot.reader import take_snapshot
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.errors import AgentError, ForbiddenError
from tests.cluster.small_cluster import SmallCluster

CNI = CniInventory(name="calico", agent_pods={"node-1": ("kube-system", "calico-node-1", "calico-node")})


@pytest.fixture
def home(cluster: SmallCluster) -> SmallCluster:
    cluster.namespace("shop")
    cluster.node("node-1")
    cluster.pod("shop", "web", containers=[{"name": "app", "image": "nginx"}, {"name": "sidecar", "image": "envoy"}])
    cluster.pod("kube-system", "calico-node-1", containers=[{"name": "calico-node", "image": "calico/node"}])
    return cluster


def task(cluster: SmallCluster, *names: str) -> Task:
    pods = [cluster.storage.get("pods", name, "shop") for name in names]
    return Task(
        node="node-1",
        gateway="169.254.1.1",
        pods=tuple(
            TaskPod(uid=pod["metadata"]["uid"], namespace="shop", name=pod["metadata"]["name"], ip="10.42.0.9")
            for pod in pods
        ),
    )


async def snapshot_of(api: Api) -> Snapshot:
    return await take_snapshot(api, "shop", deadline_s=10)


def lo(report: NodeReport) -> Link:
    state = report.pods[0].state
    assert state is not None
    return next(link for link in state.links if link.name == "lo")


async def test_a_pod_is_seen_by_one_command(home: SmallCluster, api: Api):
    report = await report_by_exec(api, task(home, "web"), await snapshot_of(api), deadline_s=10)

    assert [(pod, container, argv[0]) for pod, container, argv in home.kubelet.commands] == [("web", "app", "sh")]
    assert report.pods[0].is_found
    assert report.pods[0].nameservers is not None
    assert report.kernel
    assert lo(report).mtu == 65536
    assert report.root.links == ()
    assert [each.what for each in report.missing][:3] == ["root", "tests", "arp"]


async def test_without_a_shell_cat_shows_what_it_can(home: SmallCluster, api: Api):
    home.kubelet.absent.add("sh")
    report = await report_by_exec(api, task(home, "web"), await snapshot_of(api), deadline_s=10)

    assert [argv[0] for _, _, argv in home.kubelet.commands] == ["sh", "cat"]
    state = report.pods[0].state
    assert state is not None
    assert state.counters["Ip.InReceives"] >= 0
    assert report.missing[0].why == "its image has no command that shows addresses, links, rules, listeners"


async def test_a_distroless_pod_is_not_seen_and_says_why(home: SmallCluster, api: Api):
    home.kubelet.absent |= {"sh", "cat"}
    report = await report_by_exec(api, task(home, "web"), await snapshot_of(api), deadline_s=10)

    assert not report.pods[0].is_found
    assert report.pods[0].why_not == "There is no program 'cat' in container app of shop/web."


async def test_a_pod_that_vanished_is_not_seen_and_says_why(home: SmallCluster, api: Api):
    asked, snapshot = task(home, "web"), await snapshot_of(api)
    home.storage.delete("pods", "web", "shop", grace_period_s=0)
    report = await report_by_exec(api, asked, snapshot, deadline_s=10)

    assert report.pods[0].why_not == "pods shop/web does not exist."


async def test_a_pod_that_hangs_is_not_waited_for(home: SmallCluster, api: Api):
    home.kubelet.instead["sh"] = ("sh", "-c", "sleep 60")
    report = await report_by_exec(api, task(home, "web"), await snapshot_of(api), deadline_s=0.3)

    assert report.pods[0].why_not == "The command sh in shop/web did not end within 0.3 s."


async def test_a_shell_that_does_not_work_is_no_observation(home: SmallCluster, api: Api):
    home.kubelet.instead["sh"] = ("sh", "-c", "echo cannot allocate memory >&2; exit 1")
    report = await report_by_exec(api, task(home, "web"), await snapshot_of(api), deadline_s=5)

    assert report.pods[0].why_not == "Running a command in shop/web failed: cannot allocate memory."


async def test_forbidden_is_an_error(home: SmallCluster, api: Api):
    snapshot = await snapshot_of(api)
    async with Api.connect(home.kubeconfig("eve", [])) as eve:
        with pytest.raises(ForbiddenError) as raised:
            await report_by_exec(eve, task(home, "web"), snapshot, deadline_s=10)

    assert "pods/exec in namespace shop" in raised.value.permission


async def test_only_so_many_pods_are_looked_into(home: SmallCluster, api: Api):
    names = [f"pod-{number}" for number in range(MAX_PODS + 2)]
    for name in names:
        home.pod("shop", name)
    report = await report_by_exec(api, task(home, *names), await snapshot_of(api), deadline_s=20)

    assert len(home.kubelet.commands) == MAX_PODS
    assert sum(pod.is_found for pod in report.pods) == MAX_PODS
    assert report.pods[-1].why_not == f"only {MAX_PODS} pods of each node are looked into by commands"


async def test_the_cni_agent_shows_the_node(home: SmallCluster, api: Api):
    report = await report_by_cni_agent(api, task(home, "web"), CNI, deadline_s=10)

    ran = {(pod, container) for pod, container, _ in home.kubelet.commands}
    assert ran == {("calico-node-1", "calico-node"), ("web", "app")}
    assert any(link.name == "lo" for link in report.root.links)
    assert report.root.sysctls["ipv4.ip_forward"] in {"0", "1"}
    assert int(report.root.sysctls["ipv4.neigh.default.gc_thresh3"]) > 9
    assert report.pods[0].is_found
    assert report.pods[0].route_to_pod is not None


@pytest.mark.parametrize(
    ("peer", "expected"),
    [(67, "lxc1"), (99, "cilium_host"), (0, "cilium_host")],
    ids=["named by its number", "not on this node", "no number"],
)
def test_the_pods_link_is_its_peer_not_the_device_of_the_route(peer: int, expected: str):
    inside = NetnsState(
        links=(Link(ifindex=66, name="eth0", peer_ifindex=peer),),
        addresses=(Address(dev="eth0", ip="10.42.0.9", prefix_len=32),),
    )
    pod = PodReport(uid="u", namespace="shop", name="web", ip="10.42.0.9", is_found=True, state=inside)
    root = NetnsState(links=(Link(ifindex=67, name="lxc1"), Link(ifindex=3, name="cilium_host")))
    answers = {"10.42.0.9": RouteAnswer(question="10.42.0.9", type="unicast", dev="cilium_host")}

    seen = with_answers(pod, Task(node="node-1"), output(root, answers))

    assert seen.host_link == expected


def output(root: NetnsState, answers: dict[str, RouteAnswer]) -> exec_script.ScriptOutput:
    return exec_script.ScriptOutput(
        state=root, kernel="6.18", boot_id="", nameservers=None, search=(), ndots=1, missing=(), answers=answers
    )


async def test_without_a_cni_agent_it_says_so(home: SmallCluster, api: Api):
    embedded = CniInventory(name="flannel", installed_by="k3s")
    with pytest.raises(AgentError) as raised:
        await report_by_cni_agent(api, task(home, "web"), embedded, deadline_s=10)

    assert str(raised.value) == (
        "The node agent on node-1 gave no report: K3s runs flannel inside its own process, so there is no container to "
        "look from; the node agent could see it."
    )


async def test_a_cni_agent_without_a_shell(home: SmallCluster, api: Api):
    home.kubelet.absent |= {"sh"}
    with pytest.raises(Exception, match="no program 'sh' in container calico-node"):
        await report_by_cni_agent(api, task(home), CNI, deadline_s=10)


@pytest.mark.parametrize("hostile", ["10.42.0.9; reboot", "$(reboot)", "fe80::1%eth0", ""])
def test_only_addresses_reach_the_shell(hostile: str):
    question = exec_script.PodQuestion(pod_ip=hostile, gateway_ip="169.254.1.1")

    assert exec_script.script([question], of_pod=False) == exec_script.script(of_pod=False)


def test_sysctls_are_read_whole():
    """dash's `read` sees only the first byte of a file in /proc/sys."""
    output = subprocess.run(exec_script.script(of_pod=True), capture_output=True, check=True).stdout
    seen = exec_script.read(output).state.sysctls["ipv4.neigh.default.gc_thresh3"]

    assert seen == Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3").read_text().strip()


def test_a_sys_of_another_namespace_is_not_believed():
    text = (
        f"{exec_script.MARK}links\neth0 4 4 1400 0x1003 1 02:fc:00:00:00:01\n"
        "cali1 5 4 1500 0x1003 1 ee:ee:ee:ee:ee:ee\n"
        f"{exec_script.MARK}dev\n    lo: 1 2\n  eth0: 3 4\n"
    )
    output = exec_script.read(text.encode())

    assert output.state.links == ()
    assert "links" in output.missing


def test_devices_without_ip():
    text = (
        f"{exec_script.MARK}links\neth0 4 9 1450 0x1003 1 02:fc:00:00:00:01\nlo 1 1 65536 0x9 1 00:00:00:00:00:00\n"
        f"{exec_script.MARK}dev\n    lo: 1 2\n  eth0: 3 4\n"
    )
    eth0 = exec_script.read(text.encode()).state.links[0]

    assert (eth0.name, eth0.ifindex, eth0.peer_ifindex, eth0.mtu) == ("eth0", 4, 9, 1450)
    assert (eth0.is_up, eth0.has_carrier, eth0.mac) == (True, True, "02:fc:00:00:00:01")


def test_proc_tables():
    text = (
        f"{exec_script.MARK}arp\nIP address       HW type     Flags       HW address            Mask     Device\n"
        "169.254.1.1      0x1         0x0         00:00:00:00:00:00     *        eth0\n"
        "10.42.0.7        0x1         0x2         ee:ee:ee:ee:ee:ee     *        eth0\n"
        f"{exec_script.MARK}rt\nIface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0101FEA9\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"
        f"{exec_script.MARK}tcp\n  sl  local_address rem_address   st\n   0: 00000000:232C 00000000:0000 0A 0\n"
        f"{exec_script.MARK}resolv\nsearch shop.svc.cluster.local svc.cluster.local\nnameserver 10.43.0.10\n"
        "options ndots:5\n"
    )
    output = exec_script.read(text.encode())

    assert [(n.ip, n.mac, n.state) for n in output.state.neighbours] == [
        ("169.254.1.1", "", "INCOMPLETE"),
        ("10.42.0.7", "ee:ee:ee:ee:ee:ee", "STALE"),
    ]
    assert [(r.dst, r.via, r.dev) for r in output.state.routes] == [
        ("default", "169.254.1.1", "eth0"),
        ("169.254.1.1/32", "", "eth0"),
    ]
    assert output.state.listeners is not None
    assert [(each.ip, each.port) for each in output.state.listeners] == [("0.0.0.0", 9004)]
    assert (output.nameservers, output.search[0], output.ndots) == (("10.43.0.10",), "shop.svc.cluster.local", 5)


def test_routes_that_send_nothing():
    """As /proc/net/route has `ip route add blackhole default` and `unreachable 10.9.0.0/16` (Linux 6.18)."""
    text = (
        f"{exec_script.MARK}rt\nIface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "*\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
        "*\t0000090A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    found = exec_script.read(text.encode()).state.routes

    assert [(r.dst, r.type, r.dev) for r in found] == [("default", "blackhole", ""), ("10.9.0.0/16", "unreachable", "")]


@pytest.mark.parametrize(
    ("answer", "errno"),
    [
        ("RTNETLINK answers: Network is unreachable", "ENETUNREACH"),
        ("RTNETLINK answers: No route to host", "EHOSTUNREACH"),
        ("RTNETLINK answers: Invalid cross-device link", "EXDEV"),
    ],
)
def test_what_the_route_oracle_refuses(answer: str, errno: str):
    text = f"{exec_script.MARK}gateway 10.42.0.9 169.254.1.1 cali1\n{answer}\n"
    (question,) = exec_script.read(text.encode()).answers.values()

    assert question.question == "169.254.1.1 from 10.42.0.9 iif cali1"
    assert question.errno == errno


def test_garbage_is_no_observation():
    output = exec_script.read(b"\xff\xfe" * 1000 + exec_script.MARK.encode() + b"route\n[{]")

    assert set(output.missing) >= {"addresses", "links", "routes", "neighbours", "rules", "listeners"}
