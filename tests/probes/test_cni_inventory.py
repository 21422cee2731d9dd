"""Which CNI, its agents, and what another one has left."""

from typing import Any

import pytest
from msgspec.structs import replace

from bot.agent.report import Address, CniFile, Firewall, Link
from bot.cluster.cni.detect import CniInventory
from bot.cluster.objects import Condition, ConfigMap, ContainerStatus, CustomObject, ObjectMeta, OwnerReference, Pod
from bot.domain import facts
from bot.domain.facts import CLUSTER, FactTable
from bot.domain.finding import Finding, Severity
from bot.probes import cni_inventory
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

CALICO = CniInventory(
    name="calico",
    version="3.30.2",
    installed_by="manifest",
    distribution="kubeadm",
    encapsulation="vxlan",
    kube_proxy_mode="iptables",
    agent_daemon_set="kube-system/calico-node",
)
NODE_1 = facts.node("node-1")


def judged(cluster: FakeCluster, cni: CniInventory = CALICO, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    evidence = cluster.evidence()
    vars(evidence)["cni"] = cni
    known = facts_of(evidence, cni_inventory.PROBE)
    return known, list(cni_inventory.PROBE.judge(known))


def agent(cluster: FakeCluster, node: str, *, is_ready: bool = True, restarts: int = 0) -> None:
    status = (ContainerStatus(name="calico-node", restart_count=restarts),)
    subject = cluster.pod(
        f"kube-system/calico-node-{node}", node, host_network=True, is_ready=is_ready, container_statuses=status
    )
    pod = cluster.pods[subject]
    owner = OwnerReference(kind="DaemonSet", name="calico-node")
    meta = ObjectMeta(name=pod.metadata.name, namespace="kube-system", uid=pod.metadata.uid, owner_references=(owner,))
    cluster.pods[subject] = Pod(metadata=meta, spec=pod.spec, status=pod.status)


def test_a_cluster_with_its_agents():
    cluster, *_ = two_nodes()
    agent(cluster, "node-1")
    agent(cluster, "node-2")

    known, findings = judged(cluster, server_version="v1.36.2")

    assert (
        known.of(CLUSTER).items()
        >= {
            "cni": "calico",
            "cni_version": "3.30.2",
            "distribution": "kubeadm",
            "installed_by": "manifest",
            "encapsulation": "vxlan",
            "proxy": "iptables",
            "kubernetes_version": "v1.36.2",
        }.items()
    )
    assert known.of(NODE_1).items() >= {"cni_agent": "ready", "has_pod_cidr": True, "cni0": "none"}.items()
    assert sentences(findings) == [
        (
            "The pod network is provided by calico 3.30.2, encapsulation vxlan, Services by iptables, "
            "distribution kubeadm, "
            "installed by manifest, Kubernetes v1.36.2."
        ),
        "The agent of calico is ready on each of 2 nodes.",
    ]


def test_agents_that_are_missing_or_not_ready():
    cluster, *_ = two_nodes()
    agent(cluster, "node-1", is_ready=False, restarts=7)

    known, findings = judged(cluster)

    assert known.of(NODE_1).items() >= {"cni_agent": "not-ready", "cni_agent_restarts": 7}.items()
    assert known.of(facts.node("node-2"))["cni_agent"] == "missing"
    assert sentences(findings, Severity.WARN) == [
        "The CNI's agent on node-1 is not ready, restarted 7 times.",
        "The CNI's agent does not run on node-2.",
    ]
    assert sentences(findings, Severity.PASS) == []


def test_agents_whose_pods_were_not_read_are_not_missing():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster)

    assert "cni_agent" not in known.of(NODE_1)
    assert sentences(findings, Severity.WARN) == []


def test_k3s_has_no_agents():
    cluster, *_ = two_nodes("flannel")

    known, findings = judged(
        cluster, CniInventory(name="flannel", installed_by="k3s", distribution="k3s", encapsulation="vxlan")
    )

    assert known.of(NODE_1)["cni_agent"] == "none"
    assert known.of(CLUSTER)["installed_by"] == "built-in"
    assert sentences(findings, Severity.WARN) == []


def test_an_unknown_cni_is_said_to_be_unknown():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster, CniInventory())

    assert known.of(CLUSTER)["cni"] == "unknown"
    assert sentences(findings) == [
        "The CNI of this cluster could not be identified; everything is judged without knowledge of it."
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("aws-vpc-cni", "aws-vpc"), ("ovn-kubernetes", "ovn"), ("azure-cni", "azure"), ("kindnet", "kindnet")],
)
def test_names(name: Any, expected: str):
    cluster, *_ = two_nodes()

    assert judged(cluster, CniInventory(name=name))[0].of(CLUSTER)["cni"] == expected


def lay(cluster: FakeCluster, node: str, *names: str, up: bool = True) -> None:
    links = tuple(Link(ifindex=90 + n, name=name, is_up=up) for n, name in enumerate(names))
    cluster.root(node, links=(*cluster.roots[node].links, *links))


def test_what_flannel_left_on_a_calico_node():
    cluster, *_ = two_nodes()
    lay(cluster, "node-1", "flannel.1", "cni0", "tunl0")
    chains = ("cali-FORWARD", "FLANNEL-FWD", "KUBE-ROUTER-INPUT", "KUBE-ROUTER-OUTPUT", "KUBE-SERVICES")
    cluster.root("node-1", firewall=Firewall(foreign_chains=chains))

    known, findings = judged(cluster)

    assert known.of(NODE_1)["leftovers"] == ("flannel.1", "cni0", "FLANNEL-* chains", "KUBE-ROUTER* chains")
    assert sentences(findings, Severity.WARN) == []
    assert (
        "node-1 has leftovers of another CNI: flannel.1, cni0, FLANNEL-* chains, KUBE-ROUTER* chains."
    ) in sentences(findings, Severity.INFO)


def test_a_bridge_that_nobody_uses_need_not_be_in_order():
    cluster, *_ = two_nodes()
    lay(cluster, "node-1", "cni0", up=False)
    cluster.root(
        "node-1", addresses=(*cluster.roots["node-1"].addresses, Address(dev="cni0", ip="10.1.9.1", prefix_len=24))
    )

    known, findings = judged(cluster)

    assert sentences(findings, Severity.WARN) == []
    assert known.of(NODE_1)["cni0"] == "none"
    assert known.why_unobserved(NODE_1, "cni0_address_matches") == "no pod is a port of cni0, it is a leftover"


def test_many_links_of_pods_are_named_once_and_own_ones_not_at_all():
    cluster, *_ = two_nodes()
    lay(cluster, "node-1", "cali0123456789a", "cali0123456789b", "cilium_vxlan")

    known, _ = judged(cluster, CniInventory(name="cilium"))

    assert known.of(NODE_1)["leftovers"] == ("cali*",)


def test_an_idle_tunl0_is_the_kernels_own():
    cluster, *_ = two_nodes("flannel")
    lay(cluster, "node-1", "tunl0", up=False)

    assert judged(cluster, CniInventory(name="flannel"))[0].of(NODE_1)["leftovers"] == ()


def test_two_configuration_files():
    cluster, *_ = two_nodes()
    files = (
        CniFile(path="/etc/cni/net.d/10-flannel.conflist", plugins=("flannel", "portmap")),
        CniFile(path="/etc/cni/net.d/05-calico.conflist", plugins=("calico", "portmap")),
    )
    cluster.node_report("node-1", cni_files=files)
    cluster.node_report("node-2", cni_files=())

    known, findings = judged(cluster)

    assert known.of(NODE_1)["conf_files"] == 2
    assert known.of(NODE_1)["conf_cnis"] == ("calico", "flannel")
    assert ("node-1 has configuration files of several CNIs (calico, flannel); the first by name counts.") in sentences(
        findings, Severity.INFO
    )
    assert sentences(findings, Severity.WARN) == ["node-2 has no CNI configuration: no new pod gets a network there."]


def test_configuration_that_was_not_read_is_unknown():
    cluster, *_ = two_nodes()

    known, _ = judged(cluster)

    assert "conf_files" not in known.of(NODE_1)


def test_a_bridge_of_another_range():
    cluster, *_ = two_nodes("flannel")
    addresses = tuple(a for a in cluster.roots["node-1"].addresses if a.dev != "cni0")
    cluster.root("node-1", addresses=(*addresses, Address(dev="cni0", ip="10.244.9.1", prefix_len=24)))

    known, findings = judged(cluster, CniInventory(name="flannel"))

    assert known.of(NODE_1).items() >= {"cni0": "up", "cni0_address_matches": False}.items()
    assert known.of(facts.node("node-2"))["cni0_address_matches"] is True
    assert sentences(findings, Severity.WARN) == [
        "The bridge cni0 on node-1 has an address outside the node's range of pod addresses."
    ]


def test_a_bridge_that_is_gone():
    cluster, *_ = two_nodes("flannel")
    cluster.root("node-1", links=tuple(link for link in cluster.roots["node-1"].links if link.name != "cni0"))

    known, findings = judged(cluster, CniInventory(name="flannel"))

    assert known.of(NODE_1)["cni0"] == "missing"
    assert sentences(findings, Severity.WARN) == ["The bridge cni0 on node-1 is missing though there are pods."]


def pool(cidr: str, *, disabled: bool = False) -> CustomObject:
    return CustomObject(kind="IPPool", spec={"cidr": cidr, "disabled": disabled})


def test_pools_and_the_clusters_range():
    cluster, *_ = two_nodes()
    config = ConfigMap(
        metadata=ObjectMeta(name="kubeadm-config", namespace="kube-system"),
        data={"ClusterConfiguration": "networking:\n  podSubnet: 10.42.0.0/16\n"},
    )

    known, findings = judged(cluster, custom_objects={"ippools": (pool("192.168.0.0/16"),)}, config_maps=(config,))

    assert known.of(CLUSTER).items() >= {"pools_enabled": 1, "pool_outside_cluster_cidr": True}.items()
    assert "An enabled IPPool lies outside the range that the cluster was set up with." in sentences(findings)


def test_no_pool_at_all():
    cluster, *_ = two_nodes()

    known, findings = judged(cluster, custom_objects={"ippools": (pool("10.42.0.0/16", disabled=True),)})

    assert known.of(CLUSTER)["pools_enabled"] == 0
    assert sentences(findings, Severity.WARN) == ["No IPPool is enabled: no new pod gets an address."]


def test_pods_from_before_and_after_a_change_of_pools():
    cluster, *_ = two_nodes()
    cluster.pod("shop/old", "node-1", ip="10.99.0.4", is_reported=False)

    known, _ = judged(cluster, custom_objects={"ippools": (pool("10.42.0.0/16"),)})

    assert known.of(CLUSTER)["pods_two_cidrs"] is True


_NOT_INITIALISED = "container runtime network not ready: NetworkReady=false message: cni plugin not initialized"
_FILE = CniFile(path="/etc/cni/net.d/10-calico.conflist", text="{}", plugins=("calico",))


@pytest.mark.parametrize(
    ("files", "message", "expected"),
    [
        ((_FILE,), "", "present"),
        ((_FILE,), _NOT_INITIALISED, "not-loaded"),
        ((), _NOT_INITIALISED, "none"),
        ((), "", "none"),
        (None, _NOT_INITIALISED, "told-none"),
        (None, "", None),
    ],
)
def test_a_configuration_may_be_there_and_not_be_loaded(
    files: tuple[CniFile, ...] | None, message: str, expected: str | None
):
    cluster, *_ = two_nodes()
    cluster.node_report("node-1", cni_files=files)
    node = cluster.nodes["node-1"]
    conditions = (Condition(type="Ready", status="False" if message else "True", message=message),)
    cluster.nodes["node-1"] = replace(node, status=replace(node.status, conditions=conditions))

    known, _ = judged(cluster)

    assert known.of(NODE_1).get("cni_conf") == expected


def test_a_file_that_no_runtime_can_use_is_told():
    cluster, *_ = two_nodes()
    broken = CniFile(path="/etc/cni/net.d/00-broken.conflist", text='{"plugins": [')
    cluster.node_report("node-1", cni_files=(broken, _FILE))

    known, _ = judged(cluster)

    assert known.of(NODE_1)["conf_broken"] == ("/etc/cni/net.d/00-broken.conflist",)


def test_the_agents_log_and_restart_are_typed_with_its_pods_name() -> None:
    cluster, *_ = two_nodes()
    agent(cluster, "node-1")

    known, _ = judged(cluster)

    assert known.of(NODE_1)["cni_agent_log"] == (
        "kubectl -n kube-system logs --all-containers --tail=100 calico-node-node-1"
    )
    assert known.of(NODE_1)["cni_agent_restart"] == "kubectl -n kube-system delete pod calico-node-node-1"
    node_2 = facts.node("node-2")
    assert known.of(node_2)["cni_agent_log"] == "kubectl -n kube-system describe daemonset calico-node"
    assert known.why_unobserved(node_2, "cni_agent_restart") == "the agent does not run here"


@pytest.mark.parametrize(
    ("role", "unit"), [("node-role.kubernetes.io/control-plane", "k3s"), ("example.com/x", "k3s-agent")]
)
def test_in_k3s_the_agent_is_the_service_of_the_node(role: str, unit: str) -> None:
    cluster, *_ = two_nodes()
    node = cluster.nodes["node-1"]
    cluster.nodes["node-1"] = replace(node, metadata=replace(node.metadata, labels={role: "true"}))
    k3s = CniInventory(name="flannel", installed_by="k3s", distribution="k3s", kube_proxy_mode="iptables")

    known, _ = judged(cluster, k3s)

    assert known.of(NODE_1)["kubelet_unit"] == unit
    assert known.of(NODE_1)["cni_agent_restart"] == f"systemctl restart {unit}"
    assert known.of(NODE_1)["cni_agent_log"] == f"journalctl -u {unit} --since -15min"


UNKNOWN = CniInventory(name="unknown")
FILE = CniFile(path="/etc/cni/net.d/10-x.conflist", plugins=("bridge",))


@pytest.mark.parametrize(
    ("cni", "files", "word"),
    [
        (UNKNOWN, ((), ()), True),
        (UNKNOWN, ((), (FILE,)), False),
        (UNKNOWN, ((), None), None),
        (CALICO, ((), ()), False),
    ],
    ids=["nowhere", "on-one-node", "not-read-on-one", "an-agent-is-known"],
)
def test_a_cluster_without_any_cni(*, cni: CniInventory, files: tuple[Any, Any], word: bool | None):
    cluster, *_ = two_nodes()
    for node, held in zip(("node-1", "node-2"), files, strict=True):
        cluster.node_report(node, cni_files=held)

    known, _ = judged(cluster, cni)

    assert known.of(CLUSTER).get("is_without_cni") is word
