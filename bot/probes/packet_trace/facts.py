"""Facts about what became of probe packets."""

from bot.domain.finding import HOPS
from bot.probes.engine.fact_spec import fact

NAME = "packet-trace"
LOOK_DROPS = "perf trace -e skb:kfree_skb  # on <node>, while the flow is tried"

FACTS = (
    fact(
        "node.traced_drops",
        "list",
        "What the kernel of the node said when it dropped probe packets of failing flows: reason, function, device.",
        look=LOOK_DROPS,
    ),
    fact(
        "node.traced_hooks",
        "list",
        "Hooks of packet filters that took probe packets, with the family that the kernel's stack names "
        '("ip forward", "netdev ingress").',
        look=LOOK_DROPS,
    ),
    fact(
        "node.traced_devices",
        "list",
        "Devices of the node at which its kernel dropped probe packets.",
        look=LOOK_DROPS,
    ),
    fact(
        "node.traced_programs",
        "list",
        "BPF programs on hooks of netfilter that dropped followed packets: by the kernel's word at the hook itself, "
        "where none of the rules that were read took them. Empty where nothing was followed.",
        look="bpftool link list | grep -A1 netfilter  # on <node>",
    ),
    fact(
        "node.traced_changers",
        "list",
        "Rules of the node, by neither its CNI nor kube-proxy, that changed followed packets so that they died of it: "
        "their addresses, their mark, their connection tracking, their hops. Empty where nothing was followed.",
        look="nft list ruleset  # on <node>",
    ),
    fact(
        "node.traced_dns",
        "str",
        "What became of DNS questions over UDP that pods of the node sent, of those that were followed.",
        values=("not-followed", "answered", "lost"),
        look="tcpdump -ni any udp port 53  # on each node of the way",
    ),
    fact(
        "node.sources_rewritten",
        "list",
        "Followed packets of the node's pods to other pods that left it with another source, and that the rules of "
        "policies dropped at the receiver.",
        look="tcpdump -ni any host <pod ip>  # on both nodes at once",
    ),
    fact(
        "pair.traced_loss",
        "str",
        "On which part of the way from the one node to the other packets were lost that were followed; between: they "
        "left the one and never came to the other, though both listened; mixed: on several; elsewhere: none was "
        "followed here, and the kernel of one of these nodes took packets of another pair.",
        values=("not-followed", "none", "on-sender", "between", "on-receiver", "mixed", "elsewhere"),
        look="tcpdump -ni any host <pod ip>  # on both nodes at once",
    ),
    fact(
        "pair.traced_share",
        "str",
        'How many of the followed packets were lost: "17 of 40 packets"; "" where none was.',
        look="tcpdump -ni any host <pod ip>  # on both nodes at once",
    ),
    fact(
        "pod.traced_fates",
        "list",
        "What became of probe packets that the pod sent, in a sentence for each series that was lost.",
        look="tcpdump -ni any host <pod ip>  # on each node of the way",
    ),
    fact(
        "pod.traced_hop",
        "str",
        "The hop at which probe packets that the pod sent were lost, of several series the first on the way.",
        values=HOPS,
        look="tcpdump -ni any host <pod ip>  # on each node of the way",
    ),
)
