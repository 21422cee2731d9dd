"""The facts that resolver declares."""

from bot.probes.dns.facts import DNS_VALUES
from bot.probes.engine.fact_spec import API, POD, fact
from bot.probes.engine.needs import LOOK_AT_PODS

_CONF = "kubectl exec <pod> -- cat /etc/resolv.conf"
_SHORT = "kubectl exec <pod> -- nslookup kubernetes.default"
_SPEC = "kubectl get pod <pod> -o jsonpath='{.spec.hostNetwork} {.spec.dnsPolicy}'"

FACTS = (
    fact("pod.nameservers", "list", "Nameservers of the pod's resolv.conf, in order.", look=_CONF, rungs=POD),
    fact("pod.search_domains", "list", "Search domains of the pod's resolv.conf, in order.", look=_CONF, rungs=POD),
    fact("pod.ndots", "int", "Names with fewer dots go through the search list first.", look=_CONF, rungs=POD),
    fact(
        "pod.names_not_found",
        "list",
        "Names of Services, as the pod is configured to dial them, to which its search domains do not lead.",
        look=_CONF,
        rungs=POD,
    ),
    fact(
        "pod.first_nameserver",
        "str",
        "The result of asking the pod's first nameserver for a full name of the cluster.",
        look=_SHORT,
        values=DNS_VALUES,
    ),
    fact(
        "pod.nameservers_silent",
        "list",
        "Nameservers of the pod that answer nothing at all (empty when all do, or none does).",
        look="kubectl exec <pod> -- nslookup kubernetes.default.svc.cluster.local. <nameserver>",
    ),
    fact(
        "pod.nameservers_dead",
        "list",
        "All nameservers of the pod, where none of them answers anything: it finds no name at all.",
        look="kubectl exec <pod> -- nslookup kubernetes.default.svc.cluster.local. <nameserver>",
    ),
    fact(
        "pod.names_needed",
        "list",
        "Names that the pod's environment and arguments have it look up.",
        look="kubectl describe pod <pod>",
    ),
    fact(
        "pod.lookup_delay_s",
        "float",
        "Seconds that each lookup waits for silent nameservers before one that answers (by glibc's rules).",
        look=_SHORT,
    ),
    fact(
        "pod.full_name",
        "str",
        "The result of a full name of the cluster at the pod's own nameservers, in their order.",
        look="kubectl exec <pod> -- nslookup kubernetes.default.svc.cluster.local.",
        values=DNS_VALUES,
    ),
    fact(
        "pod.short_name",
        "str",
        "The result of kubernetes.default through the pod's search list at its own nameservers.",
        look=_SHORT,
        values=DNS_VALUES,
    ),
    fact(
        "pod.names_missing",
        "list",
        "Names that the pod is configured to dial and for which its resolver finds no address.",
        look="kubectl exec <pod> -- env",
    ),
    fact(
        "pod.names_missing_why",
        "list",
        "Where these come from, and what the API says of them.",
        look="kubectl get pod <pod> -o yaml; kubectl get services",
    ),
    fact("pod.wrong_names", "list", "Names with the wrong addresses that they gave.", look=_SHORT),
    fact(
        "pod.aaaa",
        "str",
        "The result of asking for IPv6 addresses of a name whose IPv4 address is answered.",
        look="kubectl exec <pod> -- nslookup -type=aaaa kubernetes.default.svc.cluster.local.",
        values=DNS_VALUES,
    ),
    fact(
        "pod.uses_node_resolver",
        "bool",
        "The pod has its node's network and dnsPolicy ClusterFirst, which there means its node's resolv.conf.",
        look=_SPEC,
        rungs=API,
    ),
    fact(
        "pod.skips_cluster_dns",
        "bool",
        "The pod's dnsPolicy is Default, which means its node's resolv.conf, or None, with nameservers of its own.",
        look=_SPEC,
        rungs=API,
    ),
    fact(
        "pod.cluster_names_needed",
        "list",
        "Services that the pod's command or arguments name.",
        look="kubectl get pod <pod> -o yaml",
        rungs=API,
    ),
    fact(
        "node.resolver",
        "str",
        "The result of an outside name at the node's own nameservers (kubelet and runtime pull images by them).",
        look="cat /etc/resolv.conf  # on <node>",
        values=DNS_VALUES,
    ),
    fact(
        "cluster.searched_zones",
        "list",
        "The zones in which the pods that were read look for Services' names.",
        look="kubectl exec -n <namespace> <pod> -- cat /etc/resolv.conf",
    ),
    fact(
        "cluster.dns_zone",
        "str",
        "The zone of Services' names, by CoreDNS's configuration.",
        look="kubectl -n kube-system get configmap coredns -o yaml",
        rungs=API,
    ),
)
NEEDS = LOOK_AT_PODS
