"""Names of kernel functions, and what a stack of them says: which hook of which family took the packet.

Reasons name the kind of death and the stack the place: every rule of every hook drops in the same function.
"""

import bisect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

KALLSYMS = "/proc/kallsyms"
CODE = frozenset({b"t", b"T", b"w", b"W"})
SUFFIX = re.compile(r"\.(?:constprop|part|isra|cold|llvm)\b.*$")
FREEING = re.compile(
    r"^(?:bpf_prog_\w+|bpf_trace_run\d+|__bpf_trace_\w+|__traceiter_\w+|trace_\w+"
    r"|_{0,2}(?:sk_skb_reason_drop|kfree_skb\w*|sk_skb_drop\w*))$"
)
"""The tap itself and the way into it: the innermost frames."""
FAMILIES = {
    "nft_do_chain_inet": "inet",
    "nft_do_chain_inet_ingress": "inet",
    "nft_do_chain_ipv4": "ip",
    "nft_do_chain_ipv6": "ip6",
    "nft_do_chain_arp": "arp",
    "nft_do_chain_bridge": "bridge",
    "nft_do_chain_netdev": "netdev",
}
HOOKS = {
    "ip_rcv": "prerouting",
    "ip_list_rcv": "prerouting",
    "ip_sublist_rcv": "prerouting",
    "ipv6_rcv": "prerouting",
    "ipv6_list_rcv": "prerouting",
    "ip6_sublist_rcv": "prerouting",
    "ip6_input": "input",
    "ip6_xmit": "output",
    "__ip6_local_out": "output",
    "ip6_local_out": "output",
    "ip_local_deliver": "input",
    "ip_forward": "forward",
    "ip6_forward": "forward",
    "__ip_local_out": "output",
    "ip_local_out": "output",
    "ip_output": "postrouting",
    "ip_mc_output": "postrouting",
    "ip6_output": "postrouting",
    "__netif_receive_skb_core": "ingress",
    "__dev_queue_xmit": "egress",
    "br_handle_frame": "prerouting",
    "__br_forward": "forward",
    "br_forward": "forward",
    "br_nf_forward_ip": "forward",
    "br_nf_forward": "forward",
    "br_nf_pre_routing": "prerouting",
    "br_pass_frame_up": "input",
    "arp_rcv": "input",
    "arp_xmit": "output",
}
BRIDGED = ("br_handle_frame", "__br_forward", "br_forward", "br_pass_frame_up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a packet died, in words that do not depend on the kernel's build."""

    symbol: str
    hook: str = ""
    """Of netfilter: prerouting, input, forward, output, postrouting, ingress, egress."""
    family: str = ""
    """The nft family, "bridge" for bridged frames; "" for iptables-legacy and for what is no packet filter."""
    stack: tuple[str, ...] = ()


def read_symbols(path: str = KALLSYMS) -> list[bytes]:
    """The kernel's symbols by address, a fifth of a second's work. OSError."""
    lines = Path(path).read_bytes().splitlines()
    lines.sort()  # addresses have one width each, and nearly all stand in order already
    return lines


def names_of(addresses: Iterable[int], symbols: Sequence[bytes]) -> dict[int, str]:
    """The function that each address lies in; without those that are not to be found."""
    names = ((address, _function_at(symbols, address)) for address in set(addresses))
    return {address: name for address, name in names if name}


def _function_at(lines: Sequence[bytes], address: int) -> str:
    """The last function that starts at or before the address; "" where the kernel hides its addresses."""
    for at in range(bisect.bisect_right(lines, b"%016x~" % address) - 1, -1, -1):
        fields = lines[at].split(None, 3)
        if len(fields) >= 3 and fields[1] in CODE:
            return SUFFIX.sub("", fields[2].decode("ascii", "replace")) if int(fields[0], 16) else ""
    return ""


def place_of(stack: Sequence[str], location: str = "") -> Place:
    """What a stack says, innermost first. `location`: the function that gave the packet up, where it is known."""
    frames = list(stack)
    while frames and FREEING.match(frames[0]):
        frames.pop(0)
    symbol = location or (frames[0] if frames else "")
    family = next((FAMILIES[frame] for frame in frames if frame in FAMILIES), "")
    hook = ""
    for at, frame in enumerate(frames):
        if frame.startswith(("nf_hook_slow", "nf_queue")):
            caller = next((each for each in frames[at + 1 :] if not each.startswith("nf_hook")), "")
            hook = HOOKS.get(caller, "")
            if caller in BRIDGED:
                family = family or "bridge"
            break
        if frame in FAMILIES and frames[at + 1 : at + 2] == ["br_handle_frame"]:
            hook = HOOKS["br_handle_frame"]  # the bridge calls its chains by itself there
            break
    return Place(symbol=symbol, hook=hook, family=family, stack=tuple(frames[:8]))
