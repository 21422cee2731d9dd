"""The facts that node-kernel declares."""

from bot.domain.facts import Rung
from bot.probes.engine.fact_spec import fact

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_LOOK_RULES = "nft list ruleset; iptables-save -c  # on <node>, twice: which counters grow"
_LOOK_EVERY = "nft list ruleset; iptables-save -c  # on <node>, all families: which rule takes the failing flow"
FACTS = (
    fact(
        "node.neighbour_ratio",
        "float",
        "How full the kernel's neighbour table is (0 to 1), shared by all namespaces of the machine.",
        look="cat /proc/net/stat/arp_cache; sysctl net.ipv4.neigh.default.gc_thresh3  # on <node>",
    ),
    fact(
        "node.neighbour_refusals",
        "int",
        "How often the kernel had no room for a neighbour while the tests ran. A table that is nearly full is none: "
        "entries that nobody uses are thrown out for new ones.",
        look="awk '{print $NF}' /proc/net/stat/arp_cache  # table_fulls, on <node>, twice",
    ),
    fact(
        "node.forward_policy",
        "str",
        "What happens to a forwarded packet that no rule takes.",
        values=("accept", "drop"),
        rungs=_OUTSIDE,
        look="iptables -S FORWARD | head -1; nft list ruleset | grep 'hook forward'  # on <node>",
    ),
    fact(
        "node.forward_dropping_tool",
        "str",
        "With which program the chain that drops by default is written: rules of another one do not save a packet.",
        values=("nft", "iptables-nft", "iptables-legacy"),
        rungs=_OUTSIDE,
        look="iptables-legacy -S FORWARD | head -1; iptables-nft -S FORWARD | head -1  # on <node>",
    ),
    fact(
        "node.forward_dropping_chain",
        "str",
        'Family, table and chain, as in "inet filter forward".',
        rungs=_OUTSIDE,
        look="nft list ruleset | grep -B2 'hook forward'  # on <node>",
    ),
    fact(
        "node.host_firewall",
        "str",
        "A firewall of the host itself, apart from what CNI and kube-proxy write.",
        values=("none", "firewalld", "ufw", "other"),
        rungs=_OUTSIDE,
        look="systemctl is-active firewalld ufw  # on <node>",
    ),
    fact(
        "node.iptables_backends",
        "str",
        "Through which iptables backends rules are in force.",
        values=("none", "nft", "legacy", "both"),
        rungs=_OUTSIDE,
        look="iptables-legacy-save | wc -l; iptables-nft-save | wc -l  # on <node>",
    ),
    fact("node.drop_rules", "int", "Rules that drop or reject.", rungs=_OUTSIDE, look=_LOOK_RULES),
    fact("node.drops_hit", "list", "Rules that dropped packets while the tests ran (10 at most).", look=_LOOK_RULES),
    fact("node.rejects_hit", "list", "Rules that rejected packets while the tests ran (10 at most).", look=_LOOK_RULES),
    fact(
        "node.policy_drops_hit",
        "bool",
        "Rules in the CNI's policy chains dropped packets while the tests ran.",
        look=_LOOK_RULES,
    ),
    fact(
        "node.foreign_drops_hit",
        "bool",
        "Rules that belong neither to CNI nor kube-proxy dropped packets while the tests ran, by their counters or the "
        "kernel's own word.",
        look=_LOOK_RULES,
    ),
    fact(
        "node.foreign_rules_match",
        "list",
        "Strangers' rules, counted or not, that take flows that failed and none that passed (10 at most).",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.foreign_rules_named",
        "list",
        "Those rules; where it is not known which rules packets meet, those that counted while the tests ran.",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.foreign_rule_deletions",
        "list",
        "The commands that delete these rules, of those that can be named exactly; before a handle of nft's a look at "
        "the rule that has it.",
        look=_LOOK_EVERY,
        is_command=True,
    ),
    fact(
        "node.foreign_rules_perhaps",
        "list",
        "Rules of strangers that may take packets of flows that failed: not all that they ask for is known.",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.tunnel_rules_match",
        "list",
        "Those of the matching rules that take the tunnel's packets on the node itself.",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.forward_policy_takes",
        "bool",
        "By policy, a chain of the forward hook drops flows that failed, and none that passed.",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.rewriting_rules",
        "list",
        "Rules of strangers, or for hostPorts, that send flows which fail elsewhere or keep them from being "
        "translated, and those that send needed flows to somebody else, who answers (10 at most).",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.rewriting_rule_deletions",
        "list",
        "The commands that delete these rules, as for those that drop.",
        look=_LOOK_EVERY,
        is_command=True,
    ),
    fact(
        "node.rewriting_rules_perhaps",
        "list",
        "Such rules that may do so to flows that failed: not all that they ask for is known.",
        look=_LOOK_EVERY,
    ),
    fact(
        "node.raw_rpfilter_hit",
        "bool",
        "A reverse path rule in the packet filter (Calico's cali-PREROUTING) dropped packets while the tests ran.",
        look="iptables -t raw -L cali-PREROUTING -v  # on <node>, twice",
    ),
    fact(
        "node.sends_prohibited",
        "bool",
        'The node answered a test with ICMP "prohibited", as reject rules of host firewalls do.',
        look="tcpdump -ni any 'icmp[0] == 3 and (icmp[1] == 9 or icmp[1] == 10 or icmp[1] == 13)'  # on <node>",
    ),
    fact("node.uptime_s", "float", "How long the node has been up.", rungs=_OUTSIDE, look="uptime  # on <node>"),
    fact(
        "node.rebooted_recently",
        "bool",
        "The node has been up for less than half an hour.",
        rungs=_OUTSIDE,
        look="uptime  # on <node>",
    ),
)
