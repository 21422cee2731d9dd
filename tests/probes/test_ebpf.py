"""What the maps and links of Cilium's programs tell about pods and nodes."""

from dataclasses import replace

import pytest

from bot.agent.report_ebpf import BpfProgram, Cilium, CiliumDrop, CiliumEndpoint, CiliumPeer, CiliumTunnelEnd
from bot.cluster.cni.detect import CniInventory
from bot.domain import facts
from bot.domain.facts import FactTable, Subject, Value
from bot.probes import ebpf, node_kernel
from tests.probes.build import FakeCluster, facts_of, missing, sentences, two_nodes

PROGRAMS = (
    BpfProgram(name="cil_from_overlay", place="cilium_vxlan", is_attached=True),
    BpfProgram(name="cil_from_host", place="cilium_host", is_attached=True),
    BpfProgram(name="cil_from_container", place="endpoint 871", is_attached=True),
    BpfProgram(name="cil_sock4_connect", place="cgroup", is_attached=True),
    BpfProgram(name="cil_sock4_sendmsg", place="cgroup", is_attached=True),
)
HEALTHY = Cilium(
    heartbeat_age_s=0.4,
    drops=(),
    peers=(CiliumPeer(ip="10.42.2.10", identity=8002, tunnel_end="172.30.0.12"),),
    tunnel_ends=(CiliumTunnelEnd(ip="172.30.0.12", entries=3, prefixes=("10.42.2.0/24",)),),
    endpoints=(CiliumEndpoint(ip="10.42.1.10", id=871), CiliumEndpoint(ip="10.42.1.11", id=872)),
    programs=PROGRAMS,
)
NODE = facts.node("node-1")
VXLAN = CniInventory(name="cilium", encapsulation="vxlan")
NATIVE = CniInventory(name="cilium", encapsulation="none")


def cluster_of(cilium: Cilium | None) -> tuple[FakeCluster, Subject, Subject]:
    cluster, first, _, remote = two_nodes("cilium")
    cluster.node_report("node-1", cilium=cilium)
    return cluster, first, remote


def judged(cluster: FakeCluster, cni: CniInventory = VXLAN) -> FactTable:
    evidence = cluster.evidence()
    vars(evidence)["cni"] = cni
    return facts_of(evidence, ebpf.PROBE, node_kernel.PROBE)


def detached(*names: str) -> tuple[BpfProgram, ...]:
    return tuple(replace(each, is_attached=each.name not in names) for each in PROGRAMS)


def test_a_healthy_node():
    cluster, first, remote = cluster_of(HEALTHY)

    known = judged(cluster)

    assert (
        known.of(NODE).items()
        >= {
            "ebpf_drops": (),
            "ebpf_detached": (),
            "ebpf_overlay_detached": False,
            "ebpf_socket_lb_detached": False,
            "cni_agent_silent": False,
            "ebpf_strange_tunnel_ends": (),
            "policy_drops_hit": False,
        }.items()
    )
    assert known.of(first)["ebpf_known"] is True
    assert known.of(remote)["ebpf_lost_from"] == ()
    assert sentences(ebpf.PROBE.judge(known)) == ["eBPF programs of node-1 are attached and dropped nothing."]


@pytest.mark.parametrize(
    ("cilium", "key", "value"),
    [
        (replace(HEALTHY, programs=detached("cil_from_overlay")), "ebpf_overlay_detached", True),
        (replace(HEALTHY, programs=detached("cil_sock4_connect")), "ebpf_socket_lb_detached", True),
        (replace(HEALTHY, programs=detached("cil_from_host")), "ebpf_detached", ("cil_from_host (cilium_host)",)),
        (replace(HEALTHY, programs=detached("cil_from_container")), "ebpf_detached", ()),
        (replace(HEALTHY, programs=()), "ebpf_overlay_detached", None),
        (replace(HEALTHY, programs=None), "ebpf_detached", None),
        (replace(HEALTHY, heartbeat_age_s=42.0), "cni_agent_silent", True),
        (replace(HEALTHY, heartbeat_age_s=None), "cni_agent_silent", None),
        (replace(HEALTHY, drops=(CiliumDrop(reason=133, direction="ingress", packets=17),)), "policy_drops_hit", True),
        (replace(HEALTHY, drops=(CiliumDrop(reason=181, packets=1),)), "policy_drops_hit", True),
        (replace(HEALTHY, drops=(CiliumDrop(reason=139, packets=3),)), "ebpf_drops", ()),
        (replace(HEALTHY, drops=None), "policy_drops_hit", None),
        (
            replace(HEALTHY, drops=(CiliumDrop(reason=151, direction="ingress", packets=2),)),
            "ebpf_drops",
            ("stale or unroutable address (151, ingress): 2",),
        ),
        (
            replace(HEALTHY, tunnel_ends=(CiliumTunnelEnd(ip="10.90.0.99", entries=1, prefixes=("10.42.2.10/32",)),)),
            "ebpf_strange_tunnel_ends",
            ("10.90.0.99 (for 10.42.2.10/32)",),
        ),
        (None, "policy_drops_hit", None),
    ],
)
def test_what_a_nodes_maps_tell(cilium: Cilium | None, key: str, value: Value | None):
    cluster, *_ = cluster_of(cilium)

    assert judged(cluster).of(NODE).get(key) == value


@pytest.mark.parametrize(
    ("peers", "cni", "lost"),
    [
        ((CiliumPeer(ip="10.42.2.10", identity=1, tunnel_end="172.30.0.12"),), VXLAN, ()),
        ((CiliumPeer(ip="10.42.2.10", identity=1, tunnel_end="10.90.0.99"),), VXLAN, ("node-1",)),
        ((CiliumPeer(ip="10.42.2.10", identity=1, tunnel_end="172.30.0.11"),), VXLAN, ("node-1",)),
        ((CiliumPeer(ip="10.42.2.10", identity=2),), VXLAN, ("node-1",)),
        ((CiliumPeer(ip="10.42.2.10"),), VXLAN, ("node-1",)),
        ((CiliumPeer(ip="10.42.2.10", identity=1),), NATIVE, None),
        ((), VXLAN, None),
        (None, VXLAN, None),
    ],
    ids=["right", "nobody", "another node", "no tunnel", "no entry", "native routing", "not asked", "not read"],
)
def test_where_a_remote_pods_packets_are_sent(
    peers: tuple[CiliumPeer, ...] | None, cni: CniInventory, lost: tuple[str, ...] | None
):
    cluster, _, remote = cluster_of(replace(HEALTHY, peers=peers))

    assert judged(cluster, cni).of(remote).get("ebpf_lost_from") == lost


def test_a_pod_that_its_nodes_programs_do_not_know():
    cluster, first, _ = cluster_of(replace(HEALTHY, endpoints=(CiliumEndpoint(ip="10.42.1.11", id=872),)))

    known = judged(cluster)

    assert known.of(first)["ebpf_known"] is False
    assert "its packets loop" in " ".join(sentences(ebpf.PROBE.judge(known)))


def test_a_node_without_any_maps():
    cluster, *_ = cluster_of(None)
    cluster.node_report("node-1", missing=(missing("cilium", "no maps of Cilium's are pinned below /sys/fs/bpf"),))

    known = judged(cluster)

    assert known.of(NODE)["ebpf_maps"] is False
    assert "ebpf_maps" not in known.of(facts.node("node-2"))


def test_maps_that_cilium_left_behind_say_nothing():
    cluster, first, _ = cluster_of(replace(HEALTHY, endpoints=(), programs=detached("cil_from_overlay")))

    known = judged(cluster, CniInventory(name="calico", encapsulation="vxlan"))

    assert "ebpf_known" not in known.of(first)
    assert "ebpf_overlay_detached" not in known.of(NODE)
