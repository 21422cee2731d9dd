"""The facts that ebpf declares."""

from bot.probes.engine.fact_spec import fact

_POD = "$(kubectl get pods -n kube-system -l k8s-app=cilium --field-selector spec.nodeName=<node> -o name)"
_AGENT = f"kubectl exec -n kube-system {_POD} --"
_NET = f"{_AGENT} sh -c 'bpftool net; bpftool cgroup tree; bpftool link'"
NODE_KEYS = (
    "ebpf_maps",
    "ebpf_drops",
    "ebpf_detached",
    "ebpf_overlay_detached",
    "ebpf_socket_lb_detached",
    "ebpf_host_detached",
    "cni_agent_silent",
    "ebpf_strange_tunnel_ends",
)

FACTS = (
    fact(
        "pod.ebpf_known",
        "bool",
        "The map by which the node's eBPF programs deliver packets has the pod.",
        look=f"{_AGENT} cilium-dbg bpf endpoint list",
    ),
    fact(
        "pod.ebpf_lost_from",
        "list",
        "Nodes whose eBPF maps send packets for the pod to another place than its node.",
        look=f"{_AGENT} cilium-dbg bpf ipcache get <pod ip>",
    ),
    fact(
        "node.ebpf_maps",
        "bool",
        "Maps of Cilium's are pinned on the node.",
        look="ls /sys/fs/bpf/tc/globals  # on <node>",
    ),
    fact(
        "node.ebpf_drops",
        "list",
        "What the node's eBPF programs dropped meanwhile, with the reason; none that IPv6 alone causes.",
        look=f"{_AGENT} cilium-dbg bpf metrics list  # twice",
    ),
    fact(
        "node.ebpf_detached",
        "list",
        "Programs that were attached to a device or the node's cgroup and no longer are.",
        look=_NET,
    ),
    fact(
        "node.ebpf_overlay_detached",
        "bool",
        "The program that takes in what comes out of the tunnel is not attached.",
        look=_NET,
    ),
    fact(
        "node.ebpf_socket_lb_detached",
        "bool",
        "A program that translates Service addresses when a connection is opened is not attached.",
        look=_NET,
    ),
    fact(
        "node.ebpf_host_detached",
        "bool",
        "The program that hands the node's own packets to pods (at cilium_host) is not attached.",
        look=f"{_AGENT} bpftool net show dev cilium_host",
    ),
    fact(
        "node.cni_agent_silent",
        "bool",
        "The CNI's agent has not written for 5 s that it lives (it does so every second).",
        look=f"{_AGENT} cilium-dbg status --brief",
    ),
    fact(
        "node.ebpf_strange_tunnel_ends",
        "list",
        "Addresses that the node's eBPF maps tunnel packets to and that are no node's.",
        look=f"{_AGENT} cilium-dbg bpf ipcache list",
    ),
)
