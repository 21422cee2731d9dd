"""CNI detection as a table: what each kind of cluster shows through the API, and what is concluded from it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import convert
from msgspec.structs import replace

from bot.cluster.cni.catalogue import image_path, image_version
from bot.cluster.cni.detect import detect_cni
from bot.cluster.objects import ConfigMap, CustomObject, DaemonSet, Node, Pod
from bot.cluster.snapshot.snapshot import Snapshot


def daemon_set(
    name: str, *containers: tuple[str, str], namespace: str = "kube-system", desired: int = 2, **more: Any
) -> DaemonSet:
    """Containers as (name, image)."""
    env = [{"name": key, "value": value} for key, value in more.pop("env", {}).items()]
    args = more.pop("args", [])
    spec = {"containers": [{"name": n, "image": i, "env": env, "args": args} for n, i in containers]}
    return convert(
        {
            "metadata": {"name": name, "namespace": namespace, **more},
            "spec": {"template": {"spec": spec}},
            "status": {"desiredNumberScheduled": desired, "numberReady": desired},
        },
        DaemonSet,
    )


def node(version: str = "v1.33.1", *, provider: str = "", **metadata: Any) -> Node:
    return convert(
        {
            "metadata": {"name": "node-1", **metadata},
            "spec": {"providerID": provider, "podCIDRs": ["10.42.0.0/24"]},
            "status": {"nodeInfo": {"kubeletVersion": version}},
        },
        Node,
    )


def custom(name: str, **spec: Any) -> CustomObject:
    return convert({"metadata": {"name": name}, "spec": spec}, CustomObject)


def config_map(name: str, **data: str) -> ConfigMap:
    return convert(
        {
            "metadata": {"name": name, "namespace": "kube-system"},
            "data": {k.replace("_", "-"): v for k, v in data.items()},
        },
        ConfigMap,
    )


def snapshot(*daemon_sets: DaemonSet, **fields: Any) -> Snapshot:
    base = Snapshot(cluster="lab", taken_at=datetime(2026, 1, 1, tzinfo=UTC), namespace="shop", nodes=(node(),))
    return replace(base, daemon_sets=daemon_sets, **fields)


CALICO = ("calico-node", "docker.io/calico/node:v3.29.1")
FLANNEL = ("kube-flannel", "ghcr.io/flannel-io/flannel:v0.26.7")
CILIUM = ("cilium-agent", "quay.io/cilium/cilium:v1.17.4@sha256:abc")
PROXY = daemon_set("kube-proxy", ("kube-proxy", "registry.k8s.io/kube-proxy:v1.33.1"))
BACKEND = "flannel.alpha.coreos.com/backend-type"
TIGERA = [{"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default", "controller": True}]
VXLAN_POOL = custom("default-ipv4-ippool", cidr="10.42.0.0/16", vxlanMode="Always", ipipMode="Never")

CASES: dict[str, tuple[Snapshot, dict[str, Any]]] = {
    "calico by manifest": (
        snapshot(daemon_set("calico-node", CALICO), PROXY, custom_objects={"ippools": (VXLAN_POOL,)}),
        {
            "name": "calico",
            "version": "3.29.1",
            "installed_by": "manifest",
            "encapsulation": "vxlan",
            "enforces_policy": True,
            "pod_cidrs": ("10.42.0.0/16",),
            "agent_daemon_set": "kube-system/calico-node",
        },
    ),
    "calico by operator, BGP only": (
        snapshot(
            daemon_set("calico-node", CALICO, namespace="calico-system", ownerReferences=TIGERA),
            custom_objects={"ippools": (custom("p", cidr="192.168.0.0/16", vxlanMode="Never", ipipMode="Never"),)},
        ),
        {"name": "calico", "installed_by": "operator", "encapsulation": "none"},
    ),
    "calico by operator, pools not readable": (
        snapshot(
            daemon_set("calico-node", CALICO, namespace="calico-system", ownerReferences=TIGERA),
            custom_objects={
                "installations": (
                    custom("default", calicoNetwork={"ipPools": [{"encapsulation": "VXLANCrossSubnet"}]}),
                )
            },
        ),
        {"encapsulation": "vxlan", "installed_by": "operator"},
    ),
    "calico with eBPF": (
        snapshot(
            daemon_set("calico-node", CALICO),
            custom_objects={"felixconfigurations": (custom("default", bpfEnabled=True),)},
        ),
        {"name": "calico", "kube_proxy_mode": "ebpf", "encapsulation": "unknown"},
    ),
    "calico, pools not readable": (
        snapshot(daemon_set("calico-node", CALICO, env={"CALICO_IPV4POOL_IPIP": "Always"})),
        {"encapsulation": "ipip", "pod_cidrs": ("10.42.0.0/24",)},
    ),
    "canal": (
        snapshot(
            daemon_set("canal", CALICO, FLANNEL, env={"CALICO_NETWORKING_BACKEND": "none"}),
            nodes=(node(annotations={BACKEND: "vxlan"}),),
        ),
        {"name": "canal", "encapsulation": "vxlan", "enforces_policy": True, "others": ()},
    ),
    "canal of RKE2": (
        snapshot(
            daemon_set(
                "rke2-canal",
                ("calico-node", "rancher/hardened-calico:v3.29.3-build20250415"),
                ("kube-flannel", "rancher/hardened-flannel:v0.26.6-build20250415"),
                annotations={"meta.helm.sh/release-name": "rke2-canal"},
            ),
            nodes=(node("v1.32.5+rke2r1"),),
        ),
        {"name": "canal", "installed_by": "rke2", "distribution": "rke2", "version": "3.29.3"},
    ),
    "flannel of kubeadm": (
        snapshot(
            daemon_set("kube-flannel-ds", FLANNEL, namespace="kube-flannel"),
            PROXY,
            nodes=(node(annotations={"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/x", BACKEND: "host-gw"}),),
        ),
        {
            "name": "flannel",
            "version": "0.26.7",
            "distribution": "kubeadm",
            "encapsulation": "none",
            "enforces_policy": False,
        },
    ),
    "flannel inside K3s": (
        snapshot(nodes=(node("v1.33.1+k3s1", annotations={BACKEND: "vxlan", "k3s.io/node-args": '["server"]'}),)),
        {
            "name": "flannel",
            "version": "",
            "installed_by": "k3s",
            "distribution": "k3s",
            "encapsulation": "vxlan",
            "enforces_policy": True,
            "kube_proxy_mode": "iptables",
            "agent_daemon_set": "",
            "agent_pods": {},
        },
    ),
    "K3s without its own policies and proxy": (
        snapshot(
            nodes=(
                node(
                    "v1.33.1+k3s1",
                    annotations={
                        BACKEND: "wireguard-native",
                        "k3s.io/node-args": '["server","--disable-network-policy","--disable-kube-proxy"]',
                    },
                ),
            )
        ),
        {"enforces_policy": False, "encapsulation": "wireguard"},
    ),
    "calico on K3s, where flannel left its annotations": (
        snapshot(daemon_set("calico-node", CALICO), nodes=(node("v1.33.1+k3s1", annotations={BACKEND: "vxlan"}),)),
        {"name": "calico", "distribution": "k3s", "installed_by": "manifest"},
    ),
    "cilium by Helm, without kube-proxy": (
        snapshot(
            daemon_set("cilium", CILIUM, annotations={"meta.helm.sh/release-name": "cilium"}),
            config_maps=(config_map("cilium-config", tunnel_protocol="geneve", kube_proxy_replacement="true"),),
        ),
        {
            "name": "cilium",
            "version": "1.17.4",
            "installed_by": "helm",
            "encapsulation": "geneve",
            "kube_proxy_mode": "ebpf",
        },
    ),
    "cilium with native routing": (
        snapshot(daemon_set("cilium", CILIUM), config_maps=(config_map("cilium-config", routing_mode="native"),)),
        {"name": "cilium", "encapsulation": "none", "kube_proxy_mode": ""},
    ),
    "EKS": (
        snapshot(
            daemon_set(
                "aws-node",
                ("aws-node", "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.19.5"),
                (
                    "aws-eks-nodeagent",
                    "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon/aws-network-policy-agent:v1.2",
                ),
                args=["--enable-network-policy=true"],
            ),
            nodes=(node("v1.32.3-eks-473151a"),),
        ),
        {
            "name": "aws-vpc-cni",
            "version": "1.19.5",
            "installed_by": "cloud",
            "distribution": "eks",
            "encapsulation": "none",
            "enforces_policy": True,
        },
    ),
    "EKS with Calico for policies": (
        snapshot(
            daemon_set("aws-node", ("aws-node", "amazon-k8s-cni:v1.19.5")),
            daemon_set("calico-node", CALICO, namespace="calico-system", ownerReferences=TIGERA, desired=3),
            custom_objects={"installations": (custom("default", cni={"type": "AmazonVPC"}),)},
            nodes=(node("v1.32.3-eks-473151a"),),
        ),
        {"name": "aws-vpc-cni", "others": ("calico",), "enforces_policy": True},
    ),
    "GKE Dataplane V2": (
        snapshot(
            daemon_set("anetd", ("cilium-agent", "gke.gcr.io/cilium/cilium:v1.15"), labels={"k8s-app": "cilium"}),
            nodes=(node("v1.32.4-gke.1106006"),),
        ),
        {"name": "gke-dataplane-v2", "distribution": "gke", "kube_proxy_mode": "ebpf"},
    ),
    "kube-router": (
        snapshot(daemon_set("kube-router", ("kube-router", "docker.io/cloudnativelabs/kube-router:v2.5.0"))),
        {"name": "kube-router", "encapsulation": "ipip", "enforces_policy": True},
    ),
    "weave": (
        snapshot(daemon_set("weave-net", ("weave", "weaveworks/weave-kube:2.8.1"))),
        {"name": "weave", "encapsulation": "vxlan", "version": "2.8.1"},
    ),
    "antrea": (
        snapshot(daemon_set("antrea-agent", ("antrea-agent", "antrea/antrea-agent-ubuntu:v2.3.0"))),
        {"name": "antrea", "encapsulation": "unknown"},
    ),
    "kind": (
        snapshot(
            daemon_set("kindnet", ("kindnet-cni", "docker.io/kindest/kindnetd:v20250512")),
            nodes=(node(provider="kind://docker/kind/kind-control-plane"),),
        ),
        {"name": "kindnet", "distribution": "kind", "enforces_policy": None, "version": ""},
    ),
    "a migration": (
        snapshot(daemon_set("cilium", CILIUM, desired=1), daemon_set("calico-node", CALICO, desired=4)),
        {"name": "calico", "others": ("cilium",)},
    ),
    "a leftover that runs nowhere": (
        snapshot(daemon_set("cilium", CILIUM), daemon_set("calico-node", CALICO, desired=0)),
        {"name": "cilium", "others": ()},
    ),
    "unknown": (
        snapshot(daemon_set("acme-net", ("acme", "registry.acme.example/net/node:1.0"))),
        {
            "name": "unknown",
            "installed_by": "unknown",
            "encapsulation": "unknown",
            "enforces_policy": None,
            "evidence": ("No agent of a CNI that we know was found.",),
        },
    ),
    "nothing readable": (
        snapshot(nodes=()),
        {"name": "unknown", "distribution": "unknown", "pod_cidrs": ()},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_detection(case: str):
    seen, expected = CASES[case]
    inventory = detect_cni(seen)

    assert {key: getattr(inventory, key) for key in expected} == expected


def test_agents_are_found_by_their_pods_alone():
    """Where DaemonSets may not be listed, the pods of the nodes still tell."""

    def pod(name: str, on: str, *, phase: str = "Running") -> Pod:
        containers = [{"name": "calico-node", "image": "calico/node:v3.29.1"}]
        return convert(
            {
                "metadata": {"name": name, "namespace": "kube-system", "uid": name},
                "spec": {"nodeName": on, "hostNetwork": True, "containers": containers},
                "status": {"phase": phase},
            },
            Pod,
        )

    seen = snapshot(
        node_pods=(pod("calico-a", "node-1"), pod("calico-b", "node-2"), pod("c", "node-3", phase="Failed"))
    )
    inventory = detect_cni(seen)

    assert inventory.name == "calico"
    assert inventory.agent_pods == {
        "node-1": ("kube-system", "calico-a", "calico-node"),
        "node-2": ("kube-system", "calico-b", "calico-node"),
    }


@pytest.mark.parametrize(
    ("config", "mode"),
    [('mode: "ipvs"\n', "ipvs"), ("mode: nftables\n", "nftables"), ('mode: ""\n', "iptables"), ("other: 1\n", "")],
)
def test_kube_proxy_mode(config: str, mode: str):
    proxy_config = convert(
        {"metadata": {"name": "kube-proxy", "namespace": "kube-system"}, "data": {"config.conf": config}}, ConfigMap
    )

    assert detect_cni(snapshot(PROXY, config_maps=(proxy_config,))).kube_proxy_mode == mode


@pytest.mark.parametrize(
    ("image", "path", "version"),
    [
        ("docker.io/calico/node:v3.29.1", "calico/node", "3.29.1"),
        ("calico/node", "calico/node", ""),
        ("registry.local:5000/cilium/cilium:v1.17.4@sha256:00", "cilium/cilium", "1.17.4"),
        ("quay.io/cilium/cilium:v1.18.0-rc.1", "cilium/cilium", "1.18.0-rc.1"),
        ("rancher/hardened-calico:v3.29.3-build20250415", "rancher/hardened-calico", "3.29.3"),
        ("localhost/x:latest", "x", ""),
        ("", "", ""),
    ],
)
def test_images(image: str, path: str, version: str):
    assert (image_path(image), image_version(image)) == (path, version)


@pytest.mark.parametrize("junk", ["[]", "{", "[" * 100_000, '{"Backend": 3}'])
def test_hostile_configuration_is_no_conclusion(junk: str):
    flannel = convert(
        {"metadata": {"name": "kube-flannel-cfg", "namespace": "kube-system"}, "data": {"net-conf.json": junk}},
        ConfigMap,
    )
    pools = (custom("a", vxlanMode=[1], cidr={"x": 1}),)
    seen = snapshot(daemon_set("kube-flannel-ds", FLANNEL), config_maps=(flannel,), custom_objects={"ippools": pools})

    assert detect_cni(seen).encapsulation == "unknown"
