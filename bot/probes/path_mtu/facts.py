"""The facts that path-mtu declares."""

from bot.probes.engine.fact_spec import NODE, POD, fact

MTU_VALUES = ("ok", "frag-needed", "black-hole")
_LADDER = "kubectl exec <pod> -- ping -M do -c1 -W1 -s 1422 <remote pod ip>  # 28 bytes of headers come on top"
_NODES = "ping -M do -c1 -W1 -s 1472 <other node ip>  # on <node>"
FACTS = (
    fact(
        "pair.mtu",
        "str",
        "Packets of growing size from a pod to a pod of the other node.",
        look=_LADDER,
        values=MTU_VALUES,
    ),
    fact("pair.largest_ok_bytes", "int", "The largest packet that got through from pod to pod.", look=_LADDER),
    fact("pair.first_lost_bytes", "int", "The smallest size from which all were lost silently.", look=_LADDER),
    fact(
        "pair.mtu_uneven",
        "bool",
        "Sizes that one pod loses silently arrive from or at another one: the path between the nodes carries them.",
        look=_LADDER,
    ),
    fact("pair.node_first_lost_bytes", "int", "The smallest size that is lost from node to node.", look=_NODES),
    fact(
        "pair.node_path_users",
        "list",
        "Who needs packets of the sizes that are lost from node to node: connections between the nodes' own addresses, "
        "as of pods with hostNetwork and of kubelets to the API server.",
        look="kubectl get pods -A -o wide  # those with hostNetwork, and who dials them",
    ),
    fact("pair.node_mtu", "str", "Packets of growing size from node to node.", look=_NODES, values=MTU_VALUES),
    fact(
        "pair.mtu_differs",
        "bool",
        "The two nodes' uplinks, or their pods, have different MTUs.",
        look="ip -j link  # on both nodes",
        rungs=NODE,
    ),
    fact(
        "node.uplink_mtu_bytes", "int", "MTU of the device that carries the node's address.", look="ip link", rungs=NODE
    ),
    fact(
        "node.pod_mtu_bytes",
        "int",
        "MTU of eth0 in the node's pods (the most frequent one).",
        look="kubectl exec <pod> -- cat /sys/class/net/eth0/mtu",
        rungs=POD,
    ),
    fact(
        "node.bridge_mtu_bytes",
        "int",
        "MTU of the bridge that the node's pods are ports of.",
        look="ip link show type bridge  # on <node>",
        rungs=NODE,
    ),
    fact("node.bridge_name", "str", "That bridge.", look="ip link show type bridge  # on <node>", rungs=NODE),
    fact(
        "node.bridge_is_narrow",
        "bool",
        "That bridge has a smaller MTU than the pods' own interfaces (false where pods are on no bridge).",
        look="ip link show type bridge; nsenter -t <pid> -n ip link show eth0  # on <node>",
    ),
    fact(
        "node.fragfails_delta",
        "int",
        "Packets that needed fragmenting and forbade it (Ip.FragFails) meanwhile.",
        look="nstat -az IpFragFails  # on <node>",
    ),
    fact("node.node_mtu", "str", "The worst of the ladders from this node to others.", look=_NODES, values=MTU_VALUES),
)
