"""The facts that cni-inventory declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, NODE, fact
from bot.probes.engine.needs import LOOK_AT_PODS

CNIS = (
    "calico",
    "flannel",
    "cilium",
    "canal",
    "kube-router",
    "weave",
    "antrea",
    "aws-vpc",
    "ovn",
    "azure",
    "kube-ovn",
    "kindnet",
    "unknown",
)
DISTRIBUTIONS = (
    "k3s",
    "rke2",
    "kubeadm",
    "kind",
    "eks",
    "gke",
    "aks",
    "openshift",
    "microk8s",
    "k0s",
    "unknown",
)
INSTALLED_BY = ("manifest", "operator", "helm", "built-in", "unknown")
ENCAPSULATIONS = ("vxlan", "ipip", "geneve", "wireguard", "none", "unknown")
PROXIES = ("iptables", "nftables", "ipvs", "ebpf", "unknown")

_DAEMON_SETS = "kubectl get daemonsets -A"
_NODES = "kubectl get nodes -o wide"
_POOLS = "kubectl get ippools.crd.projectcalico.org -o yaml"
_CONF = "ls /etc/cni/net.d /var/lib/rancher/k3s/agent/etc/cni/net.d  # on <node>"
_LINKS = "ip -br link; nft list tables; iptables-save | grep ^:  # on <node>"
_BRIDGE = "ip addr show cni0  # on <node>"

FACTS = (
    fact("cluster.cni", "str", "The CNI that provides the pods' network.", look=_DAEMON_SETS, values=CNIS, rungs=API),
    fact("cluster.cni_version", "str", "Its version, without v.", look=_DAEMON_SETS, rungs=API),
    fact("cluster.distribution", "str", "Whose Kubernetes it is.", look=_NODES, values=DISTRIBUTIONS, rungs=API),
    fact("cluster.installed_by", "str", "How the CNI got here.", look=_DAEMON_SETS, values=INSTALLED_BY, rungs=API),
    fact(
        "cluster.encapsulation",
        "str",
        "How packets travel between nodes.",
        look=_POOLS,
        values=ENCAPSULATIONS,
        rungs=API,
    ),
    fact("cluster.kubernetes_version", "str", "The API server's version.", look="kubectl version", rungs=API),
    fact(
        "cluster.proxy",
        "str",
        "By which means Services work.",
        look="kubectl -n kube-system get configmap kube-proxy -o yaml",
        values=PROXIES,
        rungs=API,
    ),
    fact(
        "cluster.masquerades_all",
        "bool",
        "kube-proxy gives all packets to Services the address of their node, so that policies see no pod.",
        look="kubectl -n kube-system get configmap kube-proxy -o yaml",
        rungs=API,
    ),
    fact("cluster.pools_enabled", "int", "Enabled IPPools of Calico.", look=_POOLS, rungs=API),
    fact(
        "cluster.pool_outside_cluster_cidr",
        "bool",
        "An enabled IPPool lies outside the range of pod addresses that the cluster was set up with.",
        look=_POOLS,
        rungs=API,
    ),
    fact(
        "cluster.pods_two_cidrs",
        "bool",
        "Some pods have addresses inside the ranges handed out now, others outside of all.",
        look="kubectl get pods -A -o wide",
        rungs=API,
    ),
    fact(
        "node.cni_agent",
        "str",
        "The CNI's agent pod on the node; none: this CNI runs no agent pods.",
        look="kubectl get pods -A -o wide --field-selector spec.nodeName=<node>",
        values=("ready", "not-ready", "missing", "none"),
        rungs=API,
    ),
    fact("node.cni_agent_restarts", "int", "Restarts of the agent's containers.", look=_DAEMON_SETS, rungs=API),
    fact(
        "node.cni_agent_log",
        "str",
        "The command that shows what the CNI's agent on the node says, or why it has no pod.",
        look=_DAEMON_SETS,
        rungs=API,
        is_command=True,
    ),
    fact(
        "node.cni_agent_restart",
        "str",
        "The command that restarts the CNI's agent on the node.",
        look=_DAEMON_SETS,
        rungs=API,
        is_command=True,
    ),
    fact(
        "node.kubelet_unit",
        "str",
        "The systemd unit in which kubelet runs.",
        look="systemctl list-units  # on <node>",
        rungs=API,
    ),
    fact("cluster.pod_ranges", "list", "The ranges that pods' addresses are from.", look=_POOLS, rungs=API),
    fact(
        "cluster.is_without_cni",
        "bool",
        "No agent of a CNI is known, and no node's runtime has a CNI configuration.",
        look=f"{_DAEMON_SETS}; {_CONF}; kubectl describe nodes",
        rungs=API,
    ),
    fact(
        "node.has_pod_cidr", "bool", "Kubernetes has given the node a range of pod addresses.", look=_NODES, rungs=API
    ),
    fact("node.kernel", "str", "The kernel's version.", look=_NODES, rungs=API),
    fact("node.conf_files", "int", "Configuration files of CNIs.", look=_CONF),
    fact(
        "node.cni_conf",
        "str",
        "Whether the runtime has a CNI configuration: none in the folder; not-loaded: one is there, and the node says "
        "that it has none; told-none: the node says so, and the folder was not seen.",
        look=f"{_CONF}; kubectl describe node <node>",
        values=("present", "none", "not-loaded", "told-none"),
        rungs=API,
    ),
    fact(
        "node.conf_broken",
        "list",
        "Configuration files of CNIs that are no valid JSON or name no plugin.",
        look="jq . /etc/cni/net.d/*.conf*  # on <node>",
    ),
    fact("node.conf_cnis", "list", "The CNI that each of them stands for, in order of name.", look=_CONF),
    fact("node.leftovers", "list", "Devices and chains of another CNI.", look=_LINKS, rungs=NODE),
    fact(
        "node.cni0",
        "str",
        "The bridge of pods; missing: Flannel's pods are here without it; none: not used here.",
        look=_BRIDGE,
        values=("up", "down", "missing", "none"),
        rungs=NODE,
    ),
    fact(
        "node.cni0_address_matches", "bool", "The bridge's address lies in the node's range.", look=_BRIDGE, rungs=NODE
    ),
)

NEEDS = (
    *LOOK_AT_PODS,
    Need(
        verb="list", resource="daemonsets", group="apps", why="to know which CNI runs, and where its agent is missing"
    ),
    Need(
        verb="list",
        resource="ippools",
        group="crd.projectcalico.org",
        is_optional=True,
        why="to know Calico's encapsulation and ranges",
    ),
)
