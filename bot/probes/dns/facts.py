"""The facts that dns declares."""

from dataclasses import dataclass

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, POD, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.shared.reach import REACH_VALUES

DNS_VALUES = (*REACH_VALUES, "servfail", "nxdomain", "wrong-answer")
NODE_LOCAL_VALUES = (*("not-asked", "listening", "not-installed", "no-pod", "unready", "no-address", "not-listening"),)
_ASK = "kubectl exec <pod> -- nslookup kubernetes.default"
_ASK_POD = "dig +time=2 @<dns pod> kubernetes.default.svc.cluster.local  # on <node>"
_PODS = "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"
_SERVICE = "kubectl -n kube-system get service kube-dns"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask: the key under which a pod's answers stand, and the cluster's."""

    of_pod: str
    of_cluster: str
    doc: str


SERVICE_UDP = Way("dns_service", "dns_service_state", "a name of the cluster by the DNS Service over UDP")
SERVICE_TCP = Way("dns_service_tcp", "", "a name of the cluster by the DNS Service over TCP")
DIRECT = Way("dns_pods", "dns_pods_state", "a name of the cluster from DNS pods directly")
OUTSIDE = Way("dns_outside", "dns_outside_state", "an outside name by the DNS Service")
OWN = Way("dns_own", "", "a name of the cluster from a nameserver of the pod's own that is not the DNS Service")
WAYS = (SERVICE_UDP, SERVICE_TCP, DIRECT, OUTSIDE, OWN)
FACTS = (
    *(
        fact(
            f"pod.{way.of_pod}",
            "str",
            f"The result of asking from the pod for {way.doc}.",
            look=_ASK,
            values=DNS_VALUES,
        )
        for way in WAYS
    ),
    *(
        fact(
            f"cluster.{way.of_cluster}",
            "str",
            f"From everywhere: {way.doc}.",
            look=_ASK if way is not DIRECT else _ASK_POD,
            values=DNS_VALUES,
        )
        for way in WAYS
        if way.of_cluster
    ),
    fact(
        "pod.dns_pods_silent",
        "list",
        "DNS pods that the pod asked directly without an answer, while another did answer it (empty when none did).",
        look=_ASK_POD,
    ),
    fact(
        "cluster.dns_pods_without_outside",
        "list",
        "DNS pods that resolve names of the cluster but, asked directly, no outside name for anybody.",
        look=_ASK_POD,
    ),
    fact(
        "node.dns_state",
        "str",
        "The result of asking from this node's pods (or the node, if no pod asked) for names of the cluster.",
        look=_ASK,
        values=DNS_VALUES,
    ),
    fact(
        "pod.nameserver_matches",
        "bool",
        "A pod that uses the cluster's DNS names its Service (or NodeLocal DNSCache) first in resolv.conf.",
        look="kubectl exec <pod> -- cat /etc/resolv.conf",
        rungs=POD,
    ),
    fact(
        "pod.node_local_dns",
        "str",
        "What became, on its node, of the cache that a pod asks whose first nameserver is link-local.",
        look="ss -lun 'sport = 53'; ip addr show nodelocaldns  # on <node>",
        values=NODE_LOCAL_VALUES,
    ),
    fact("pod.node_local_dns_why", "str", "What shows that.", look="ss -lun 'sport = 53'  # on <node>"),
    fact("pod.is_dns_server", "bool", "It stands behind the cluster's DNS Service.", look=_PODS, rungs=API),
    fact(
        "cluster.has_node_local_dns",
        "bool",
        "NodeLocal DNSCache is installed: a DaemonSet node-local-dns.",
        look="kubectl -n kube-system get daemonset node-local-dns",
        rungs=API,
    ),
    fact("cluster.dns_service_exists", "bool", "There is a DNS Service with an address.", look=_SERVICE, rungs=API),
    fact("cluster.dns_service_ip", "str", "The address of the DNS Service.", look=_SERVICE, rungs=API),
    fact("cluster.dns_pods", "int", "DNS pods that the DNS Service selects.", look=_PODS, rungs=API),
    fact("cluster.dns_ready_pods", "int", "DNS pods that are ready.", look=_PODS, rungs=API),
    fact("cluster.dns_crashing", "bool", "A DNS pod crashes again and again.", look=_PODS, rungs=API),
)
NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="services", why="to know the address of the cluster's DNS"),
    Need(verb="list", resource="endpointslices", group="discovery.k8s.io", why="to know its pods"),
)
