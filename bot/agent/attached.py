"""Programs that hang on devices without being filters of tc (XDP, tcx, netkit's), and on hooks of netfilter.

Cilium attaches its own by tcx (Linux 6.6 and later), and so do capture, security and chaos tools: `tc filter show` says
nothing of them. Those of netfilter (6.4 and later) drop packets as rules do, and no table shows them. Only their
numbers, places and names are asked for.
"""

import socket
from collections.abc import Iterable, Iterator
from itertools import islice

from bot.agent.bpf import attached_programs, netfilter_links, program_name
from bot.agent.report import Filter, Link, NetfilterProgram

TCX = {46: "ingress", 47: "egress"}
"""BPF_TCX_INGRESS, BPF_TCX_EGRESS."""
NETKIT = {54: "ingress", 55: "egress"}
"""BPF_NETKIT_PRIMARY and _PEER, as the node sees them: what the pod sends, what it gets."""
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
"""enum nf_inet_hooks."""
LIMIT = 200


def read_attached(links: Iterable[Link]) -> Iterator[Filter]:
    """The programs on these devices of the thread's namespace, as filters that decide by themselves.

    OSError where bpf(2) is refused; those of XDP come before it, because netlink tells their numbers.
    """
    found, names = tuple(links), _Names()
    for link in found:
        if link.xdp_program:
            yield _filter(link.name, "xdp", "ingress", link.xdp_program, names)
    for link in found:
        for place, side in TCX.items():
            for number in attached_programs(link.ifindex, place):
                yield _filter(link.name, "tcx", side, number, names)
        for place, side in NETKIT.items() if link.kind == "netkit" else ():
            for number in attached_programs(link.ifindex, place):
                yield _filter(link.name, "netkit", side, number, names)


def read_netfilter_programs() -> tuple[NetfilterProgram, ...]:
    """Those on hooks of netfilter, in whatever network namespace. OSError where bpf(2) is refused."""
    names = _Names()
    return tuple(
        NetfilterProgram(
            family=6 if one.family == socket.AF_INET6 else 4,
            hook=HOOKS[one.hook] if one.hook < len(HOOKS) else str(one.hook),
            priority=one.priority,
            number=one.program,
            name=names[one.program],
        )
        for one in islice(netfilter_links(), LIMIT)
    )


class _Names(dict[int, str]):
    """Names of programs by number, each asked for once; "" where the kernel does not tell."""

    def __missing__(self, number: int) -> str:
        try:
            self[number] = program_name(number)
        except OSError:
            self[number] = ""
        return self[number]


def _filter(dev: str, kind: str, side: str, number: int, names: _Names) -> Filter:
    name = names[number]
    text = f"{kind} program {name or '(name not known)'} id {number}"
    return Filter(dev=dev, direction=side, kind=kind, name=name, effect="program", text=text)
