"""The facts that cluster-ip declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, NODE, POD, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.services.patterns import FAILS_FROM
from bot.probes.services.rules import LISTENS
from bot.probes.shared.reach import REACH_VALUES

KUBE_PROXY = ("running", "not-ready", "missing", "in-process", "replaced")
_VIP = "kubectl exec <client> -- nc -zvw2 <address> <port>"
_DIRECT = "kubectl exec <client> -- nc -zvw2 <endpoint> <endpoint port>"
_RULES = "nft list ruleset | grep -w <address>; iptables-save | grep -w <address>  # on <node>"
_SOCKETS = "kubectl exec <pod> -- cat /proc/net/tcp"
_TRACK = "conntrack -S; cat /proc/sys/net/netfilter/nf_conntrack_{count,max}  # on <node>"

_OUTSIDE_API = "kubectl get service <service> -o yaml"
_OUTSIDE = "kubectl exec <pod> -- nc -zvw2 <address> <port>  # as the pod is configured"
_TRACKED = "cat /proc/net/nf_conntrack  # on <node>, twice, against the EndpointSlices"
FACTS = (
    fact("service.reach", "str", "From all pods that asked, by ClusterIP.", look=_VIP, values=REACH_VALUES),
    fact(
        "service.reach_permitted",
        "str",
        "From the pods whose flows NetworkPolicies do not deny, by ClusterIP.",
        look=_VIP,
        values=REACH_VALUES,
    ),
    fact(
        "service.reach_from_nodes",
        "str",
        "From the nodes' root namespaces, by ClusterIP.",
        look="nc -zvw2 <address> <port>  # on <node>",
        values=REACH_VALUES,
    ),
    fact(
        "service.host_clients_reach",
        "str",
        "By ClusterIP from the nodes of pods with hostNetwork that are known to need it: how those fail that do, "
        "without what policies may deny.",
        look="nc -zvw2 <address> <port>  # on <node>",
        values=REACH_VALUES,
    ),
    fact(
        "service.host_clients_failing",
        "list",
        "Those of these pods whose node does not (always) reach it: pod, node, how, and why it is needed.",
        look="nc -zvw2 <address> <port>  # on <node>",
    ),
    fact(
        "service.host_clients_failing_flows",
        "list",
        'Their flows, as "client>endpoint", at most 64.',
        look="nc -zvw2 <address> <port>  # on <node>",
    ),
    fact(
        "service.endpoint_reach",
        "str",
        "From the pods that asked to its endpoints directly.",
        look=_DIRECT,
        values=REACH_VALUES,
    ),
    fact(
        "service.endpoint_reach_from_own_node",
        "str",
        "From each endpoint's own node to the endpoint.",
        look="nc -zvw2 <endpoint> <endpoint port>  # on <node>",
        values=REACH_VALUES,
    ),
    fact("service.asked_by", "int", "Sources that asked by ClusterIP.", look=_VIP),
    fact("service.failing_for", "int", "Sources that asked by ClusterIP and did not always succeed.", look=_VIP),
    fact("service.failing_after_ms", "float", "Median time until a failure by ClusterIP was known.", look=_VIP),
    fact(
        "service.untestable",
        "str",
        "Whether a test of the ClusterIP can show anything; not for headless Services, nor over UDP alone (silence).",
        values=("no", "headless", "udp"),
        rungs=API,
        look="kubectl get service <service>",
    ),
    fact("service.failing_flows", "list", 'Failing flows as "source>endpoint", at most 64.', look=_VIP),
    fact(
        "service.data_lost_flows",
        "list",
        'Needed flows, as "source>endpoint", that open, and of whose full-size packets a rule takes all.',
        look=_RULES,
    ),
    fact(
        "service.chance_lost_flows",
        "list",
        'Needed flows, as "source>endpoint", of which a rule takes some packets, by chance.',
        look=_RULES,
    ),
    fact("service.untried_losses", "list", "These rules, and what each takes.", look=_RULES),
    fact(
        "service.crowd_limits",
        "list",
        "Strangers' rules that take needed connections once they are many (50 at once, or a second).",
        look=_RULES,
    ),
    fact("service.failing_source_nodes", "list", "Nodes from which every source fails by ClusterIP.", look=_VIP),
    fact("service.fails_from", "str", "Where those are that fail by ClusterIP.", look=_VIP, values=FAILS_FROM),
    fact(
        "service.dead_endpoints",
        "list",
        "Endpoint pods that nobody reached directly who is permitted to.",
        look=_DIRECT,
    ),
    fact(
        "service.dead_own",
        "list",
        "Those of the dead endpoints that belong to a workload which the Service means.",
        look=_DIRECT,
    ),
    fact(
        "service.dead_addresses",
        "list",
        "Endpoints that are no pods and that nobody reached directly who is permitted to.",
        look=_DIRECT,
    ),
    fact("service.dead_addresses_reach", "str", "How these fail, all together.", look=_DIRECT, values=REACH_VALUES),
    fact("service.dead_reach", "str", "How the dead endpoints of its own fail.", look=_DIRECT, values=REACH_VALUES),
    fact("service.dead_told", "list", "Each dead endpoint in words: how it fails, and where it listens.", look=_DIRECT),
    fact(
        "service.dead_listens",
        "str",
        "What the dead endpoints of its own listen on, held against the port that they are asked at.",
        look=_SOCKETS,
        values=(*LISTENS, "mixed"),
    ),
    fact(
        "service.dead_are_alive",
        "bool",
        "The pods of the dead endpoints reach something else, or are reached by something else.",
        look="kubectl exec <client> -- ping -c 1 <endpoint>",
    ),
    fact("service.failing_ports", "list", 'Its ports that somebody did not always reach: "5432/TCP".', look=_VIP),
    fact(
        "service.workloads",
        "list",
        'What made the pods behind it: "Deployment web".',
        look="kubectl get pods -n <namespace> -o custom-columns=NAME:.metadata.name,"
        "OWNER:.metadata.ownerReferences[0].name",
        rungs=API,
    ),
    fact(
        "service.strangers",
        "list",
        "Those of its workloads that neither serve nor declare a port of the Service, which another of them serves.",
        look=_SOCKETS,
    ),
    fact("service.stranger_ports", "list", "What these listen on instead.", look=_SOCKETS),
    fact(
        "service.narrower_labels",
        "list",
        "Labels that its other pods carry and these do not: a selector with one of them leaves these out.",
        look="kubectl get pods -n <namespace> --show-labels",
    ),
    fact(
        "service.rules",
        "str",
        "Whether the nodes' packet filters hold the Service; stale: they send to an address that no slice lists.",
        look=_RULES,
        values=("present", "missing", "partial", "stale"),
        rungs=NODE,
    ),
    fact("service.rules_missing_nodes", "list", "Nodes without rules for the Service.", look=_RULES, rungs=NODE),
    fact("service.stale_backends", "list", "Backends in rules that no EndpointSlice lists.", look=_RULES, rungs=NODE),
    fact("service.has_reject", "bool", "A node rejects connections to the Service.", look=_RULES, rungs=NODE),
    fact(
        "service.listens",
        "str",
        "What the ready endpoints' pods listen on, held against the port that the Service sends to.",
        look=_SOCKETS,
        values=LISTENS,
        rungs=POD,
    ),
    fact("service.listening_ports", "list", "Ports that the pods behind it listen on.", look=_SOCKETS, rungs=POD),
    fact(
        "service.sockets_decide",
        "bool",
        "Nothing is sent on this rung; each ready endpoint's sockets were read, and no mesh's proxy takes its port.",
        look=_SOCKETS,
        rungs=POD,
    ),
    fact(
        "service.backlog_overflow",
        "bool",
        "A pod behind it drops connections because its accept queue is full, without a burst of our own tests.",
        look="nsenter -t <pid> -n nstat -az TcpExtListenOverflows  # on <node>",
    ),
    fact(
        "service.hairpin_fails",
        "bool",
        "Pods behind the Service fail to reach themselves through it, while all others succeed.",
        look=_VIP,
    ),
    fact(
        "service.hairpin_off",
        "bool",
        "Each of these pods is at a bridge port that sends no frame back out of where it came in.",
        look="bridge -d link show dev <host link>  # on <node>",
    ),
    fact(
        "service.same_node_only_fails",
        "bool",
        "The ClusterIP fails exactly from nodes that carry an endpoint, though the endpoint itself answers.",
        look=_VIP,
    ),
    fact(
        "pod.flows_to_former_endpoints",
        "list",
        "Flows of the pod that connection tracking keeps leading to a former endpoint of a Service, which is gone.",
        look=_TRACKED,
    ),
    fact(
        "pod.former_endpoints_are_sent_to",
        "bool",
        "While we looked, packets were sent there (UDP), or data was sent again that nobody acknowledged (TCP).",
        look=f"{_TRACKED}; ss -tno  # in the pod",
    ),
    fact(
        "pod.kept_flow_deletions",
        "list",
        "The commands that delete the entries of these flows.",
        look=_TRACKED,
        is_command=True,
    ),
    fact("service.external_local", "bool", "externalTrafficPolicy is Local.", look=_OUTSIDE_API, rungs=API),
    fact(
        "service.outside_reach",
        "str",
        "From pods that are configured to dial it at a node port, an externalIP or a balancer's address, there.",
        look=_OUTSIDE,
        values=REACH_VALUES,
    ),
    fact("service.outside_failing", "list", "What of that fails: address, pod, how.", look=_OUTSIDE),
    fact("service.outside_flows", "list", 'Who fails so, as "client>".', look=_OUTSIDE),
    fact(
        "service.outside_nodes_without",
        "list",
        "Nodes that were dialled in vain by such an address and have no ready endpoint of it.",
        look=_OUTSIDE,
    ),
    fact(
        "service.outside_left_out",
        "list",
        "Pods that dial its balancer's address in vain and are in none of its loadBalancerSourceRanges.",
        look=_OUTSIDE_API,
    ),
    fact(
        "service.outside_reach_served",
        "str",
        "Likewise from all pods that tried, at nodes that do have a ready endpoint.",
        look=_OUTSIDE,
        values=REACH_VALUES,
    ),
    fact("pod.endpoint_ports", "list", 'Ports at which Services send to the pod: "9004/TCP".', look=_DIRECT, rungs=API),
    fact(
        "pod.endpoint_reach",
        "str",
        "From all that asked the pod directly as an endpoint, and whom policies do not deny.",
        look=_DIRECT,
        values=REACH_VALUES,
    ),
    fact(
        "pod.endpoint_dead_ports",
        "list",
        "Those of these ports at which nobody reached it who is permitted to.",
        look=_DIRECT,
    ),
    fact("pod.endpoint_dead_reach", "str", "How it fails there.", look=_DIRECT, values=REACH_VALUES),
    fact("pod.endpoint_asked_by", "int", "Sources that asked the pod directly as an endpoint.", look=_DIRECT),
    fact(
        "pod.listens",
        "str",
        "What the pod listens on, held against the ports at which Services send to it.",
        look=_SOCKETS,
        values=LISTENS,
        rungs=POD,
    ),
    fact(
        "node.service_rules",
        "str",
        "Whether the node's packet filters have rules for the Services in question.",
        look=_RULES,
        values=("present", "missing", "partial"),
        rungs=NODE,
    ),
    fact(
        "node.kube_proxy",
        "str",
        "What programs Services on the node: a kube-proxy pod, another process (K3s), or the CNI in its place.",
        look="kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy",
        values=KUBE_PROXY,
        rungs=API,
    ),
    fact(
        "node.kube_proxy_restart",
        "str",
        "The command that restarts kube-proxy for the node.",
        look="kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy",
        rungs=API,
        is_command=True,
    ),
    fact(
        "node.reach_services",
        "str",
        "From the node's root namespace to ClusterIPs that have live endpoints.",
        look=_VIP,
        values=REACH_VALUES,
    ),
    fact(
        "node.pods_reach_services",
        "str",
        "From the node's pods to ClusterIPs that have live endpoints.",
        look=_VIP,
        values=REACH_VALUES,
    ),
    fact("node.conntrack_ratio", "float", "Share of the connection table in use (0 to 1).", look=_TRACK, rungs=NODE),
    fact("node.conntrack_drop_delta", "int", "Packets dropped by a full connection table meanwhile.", look=_TRACK),
    fact("node.conntrack_insert_failed_delta", "int", "Connections that could not be tracked meanwhile.", look=_TRACK),
)

NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="services", why="to know what is dialled"),
    Need(verb="list", resource="endpointslices", group="discovery.k8s.io", why="to know what stands behind it"),
    Need(
        verb="list",
        resource="networkpolicies",
        group="networking.k8s.io",
        is_optional=True,
        why="to tell a flow that policies deny from a broken one",
    ),
)
