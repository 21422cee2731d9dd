"""Programs that hang on devices without being filters of tc: XDP, tcx (Linux 6.6 and later) and netkit's.

Cilium attaches its own by tcx, and so do capture, security and chaos tools: `tc filter show` says nothing of them.
Only their numbers and names are asked for.
"""

from collections.abc import Iterable, Iterator

from bot.agent.bpf import attached_programs, program_name
from bot.agent.report import Filter, Link

TCX = {46: "ingress", 47: "egress"}
"""BPF_TCX_INGRESS, BPF_TCX_EGRESS."""
NETKIT = {54: "ingress", 55: "egress"}
"""BPF_NETKIT_PRIMARY and _PEER, as the node sees them: what the pod sends, what it gets."""


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
