"""The facts that network-policies declares."""

from bot.domain.access import Need
from bot.probes.dns.facts import DNS_VALUES
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.network_policies.dns_servers import DENIED_TO
from bot.probes.shared.reach import REACH_VALUES

_POLICIES = "kubectl get networkpolicies -A -o yaml"
_HIDDEN = "for kind in $(kubectl api-resources -o name | grep -i polic); do kubectl get $kind -A -o yaml; done"
_SELECTING = "kubectl get pod <pod> --show-labels; kubectl describe networkpolicies -n <namespace>"
_OF_DNS = "kubectl -n kube-system get networkpolicies -o yaml  # those that select the DNS pods"
_DENYING = ("none", "ingress", "egress", "both")
FACTS = (
    fact(
        "pod.policies_ingress", "int", "NetworkPolicies that isolate the pod for ingress.", look=_SELECTING, rungs=API
    ),
    fact("pod.policies_egress", "int", "NetworkPolicies that isolate the pod for egress.", look=_SELECTING, rungs=API),
    fact("pod.policy_names", "list", "The NetworkPolicies that select the pod.", look=_SELECTING, rungs=API),
    fact(
        "pod.egress_dns_denied",
        "bool",
        "The pod's egress policies let it reach none of the nameservers that it asks.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.denied_nameservers",
        "list",
        "Nameservers that the pod asks and its egress policies deny.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.denied_nameserver_rules",
        "list",
        "By what the rules of its egress policies miss them.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.needs_names",
        "bool",
        "Something shows that the pod resolves names: it is configured to dial one, or reaches pods and no nameserver.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.hidden_policies",
        "list",
        "Policies of the CNI's own kinds that select the pod, or may.",
        look=_HIDDEN,
        rungs=API,
    ),
    fact(
        "pod.hidden_denies",
        "str",
        "Whether these deny a needed flow from or to the pod that failed; may-deny: the API alone does not decide it.",
        look=_HIDDEN,
        values=("no", "denies", "may-deny"),
    ),
    fact(
        "pod.hidden_denying",
        "list",
        "The policies of the CNI's own kinds that deny it, or may.",
        look=_HIDDEN,
        rungs=API,
    ),
    fact(
        "pod.kubelet_denied_by",
        "list",
        "Policies of the CNI's own kinds that deny kubelet's probes of the pod, whose node does not reach it.",
        look=_HIDDEN,
    ),
    fact(
        "pod.ingress_denied_from_scope",
        "bool",
        "No ingress rule of the pod's policies takes some other pod asked about.",
        look=_SELECTING,
        rungs=API,
    ),
    fact(
        "pod.policy_blocks_local",
        "bool",
        "Policies deny some of the flows that were tested from the pod to pods of its own node.",
        look=_POLICIES,
    ),
    fact(
        "pod.policy_blocks_remote",
        "bool",
        "Policies deny some of the flows that were tested from the pod to pods of other nodes.",
        look=_POLICIES,
    ),
    fact(
        "service.policies_ingress",
        "int",
        "Policies of any kind that isolate one of the pods behind it for ingress, or may.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.denied_by",
        "str",
        "Whose policies deny flows that were tried: the endpoints' own (ingress) or the pods' (egress).",
        look=_POLICIES,
        values=_DENYING,
        rungs=API,
    ),
    fact(
        "service.denied_sources",
        "list",
        "Pods whom policies deny the Service, instruments of ours among them, at most 50.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.denied_clients",
        "list",
        "Pods that are known to need the Service and whom policies deny a port that they dial, at most 50.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.denied_clients_by",
        "str",
        "Whose policies deny them: the endpoints' own (ingress) or the clients' (egress).",
        look=_POLICIES,
        values=_DENYING,
        rungs=API,
    ),
    fact("service.denied_clients_why", "list", "What shows that they need it.", look=_POLICIES, rungs=API),
    fact(
        "service.denied_clients_rules",
        "list",
        "By what the rules of the denying policies miss what the clients dial: the port, the labels, the address.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.denied_clients_flows",
        "list",
        'What policies deny the clients, as "client>endpoint", at most 50.',
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.denied_clients_reach",
        "str",
        "From the denied clients, or pods that policies cannot tell from them, by ClusterIP.",
        look="kubectl exec <client> -- nc -zvw2 <address> <port>",
        values=REACH_VALUES,
    ),
    fact(
        "service.denied_clients_hidden",
        "list",
        "Policies of the CNI's own kinds among those that deny the clients.",
        look=_HIDDEN,
        rungs=API,
    ),
    fact(
        "service.ports_opened_in_vain",
        "list",
        "Rules that open the Service's port where its pods take another one, which no rule opens to anybody.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.host_clients_left_out",
        "list",
        "Clients with their node's network that policies with selectors may not know, and whose node gets no answer.",
        look=_POLICIES,
    ),
    fact("service.host_clients_policies", "list", "Those policies.", look=_POLICIES),
    fact("service.host_clients_flows", "list", 'The flows of these clients, as "client>".', look=_POLICIES),
    fact(
        "service.rules_that_miss",
        "list",
        "What is wrong with the rules: those that deny its clients, and those that open its port in vain.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "service.refused_by_rule",
        "bool",
        "ICMP messages refused connections to it or to its endpoints: a packet filter did, no pod.",
        look="tcpdump -ni any 'icmp[0] == 3'  # on <node>, while a pod connects",
    ),
    fact("service.denying_policies", "list", "The policies that deny it.", look=_POLICIES, rungs=API),
    fact(
        "node.policy_drops_allowed",
        "list",
        "Pods whose policy chains on the node dropped packets while flows that NetworkPolicies allow were lost.",
        look="nft list ruleset; iptables-save -c  # on <node>, twice: the pod's policy chain, against the policies",
    ),
    fact(
        "node.policy_drops_ports",
        "list",
        "Single ports of these pods that the node drops though NetworkPolicies open them; empty where it drops all.",
        look="nft list ruleset; iptables-save -c  # on <node>, twice: the pod's policy chain, against the policies",
    ),
    fact(
        "node.policy_ranges_cut",
        "list",
        "NetworkPolicies with a range of ports (endPort) of which the node lets in the first port only.",
        look="nft list ruleset; iptables-save -c  # on <node>: the pod's policy chain, against endPort in the policies",
    ),
    fact(
        "cluster.enforces_policy",
        "bool",
        "NetworkPolicies are enforced: what the CNI is known to do, else what packets show.",
        look=_POLICIES,
        rungs=API,
    ),
    fact(
        "cluster.denied_but_passed",
        "list",
        "Connections that policies deny and that were answered: nobody enforces these policies.",
        look="kubectl describe networkpolicies -A  # then try from a pod what they deny",
    ),
    fact(
        "cluster.hidden_policies",
        "list",
        "Kinds of policy objects present that are not NetworkPolicies of Kubernetes.",
        look="for kind in $(kubectl api-resources -o name | grep -i polic); do kubectl get $kind -A; done",
        rungs=API,
    ),
    fact(
        "cluster.dns_denied_to",
        "str",
        "Whom egress policies keep a DNS pod from: every resolver that it forwards to, the API server.",
        look=_OF_DNS,
        values=DENIED_TO,
        rungs=API,
    ),
    fact("cluster.dns_denied_pods", "list", "The DNS pods that are kept from them.", look=_OF_DNS, rungs=API),
    fact("cluster.dns_denied_ends", "list", "What is denied them, by address and port.", look=_OF_DNS, rungs=API),
    fact("cluster.dns_denied_rules", "list", "How the rules of their policies miss it.", look=_OF_DNS, rungs=API),
    fact(
        "cluster.dns_resolvers_from_nodes",
        "str",
        "What the nodes of these DNS pods get from the resolvers that are denied them.",
        look="dig +time=2 example.com  # on <node>",
        values=DNS_VALUES,
    ),
    fact(
        "cluster.dns_denied_drops",
        "bool",
        "The chain that enforces policies for one of these DNS pods dropped packets while we looked.",
        look="nft list ruleset; iptables-save -c  # on <node>, twice: the DNS pod's policy chain",
    ),
    fact(
        "cluster.dns_egress_opening",
        "str",
        "A NetworkPolicy that opens to the DNS pods what is denied them, and no more.",
        look=_OF_DNS,
        rungs=API,
    ),
    fact(
        "service.dns_ingress_opening",
        "str",
        "A NetworkPolicy that lets all pods ask the DNS pods for names, and no more.",
        look=_OF_DNS,
        rungs=API,
    ),
    fact(
        "pod.dns_pods_keep_it_out",
        "bool",
        "The ingress policies of the DNS pods deny it every one of them over UDP.",
        look=_OF_DNS,
    ),
    fact(
        "cluster.policies_selecting_nothing",
        "list",
        "NetworkPolicies of the namespace asked about that select no pod.",
        look=_POLICIES,
        rungs=API,
    ),
)
NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="networkpolicies", group="networking.k8s.io", why="to know who may talk to whom"),
    Need(verb="list", resource="namespaces", is_optional=True, why="their labels select sources in policies"),
    *(
        Need(verb="list", resource=plural, group=group, is_optional=True, why="policies beyond Kubernetes' own")
        for plural, group in (
            ("globalnetworkpolicies", "crd.projectcalico.org"),
            ("networkpolicies", "crd.projectcalico.org"),
            ("hostendpoints", "crd.projectcalico.org"),
            ("ciliumnetworkpolicies", "cilium.io"),
            ("ciliumclusterwidenetworkpolicies", "cilium.io"),
            ("adminnetworkpolicies", "policy.networking.k8s.io"),
            ("baselineadminnetworkpolicies", "policy.networking.k8s.io"),
            ("clusternetworkpolicies", "policy.networking.k8s.io"),
        )
    ),
)
