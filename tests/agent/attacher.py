"""Hangs a small program on a device of its namespace until stdin ends: `attacher.py DEVICE PLACE VERDICT NAME`.

PLACE is tcx-ingress, tcx-egress, tc-ingress, tc-egress (a filter of tc) or xdp; of a cgroup (its path as DEVICE)
cgroup-connect4 or cgroup-egress; of netfilter (a priority as DEVICE) netfilter-forward and so on, for IPv4.
VERDICT is the number that the program answers to every packet, or ">DEVICE", to which it redirects (of tcx).
Prints "ready".
"""

import contextlib
import ctypes
import importlib
import os
import platform
import socket
import struct
import sys
from collections.abc import Generator
from typing import Any

SYSCALLS = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, LINK_CREATE = 5, 28
SCHED_CLS, XDP, CGROUP_SKB, CGROUP_SOCK_ADDR, NETFILTER = 3, 6, 8, 18, 32
PLACES = {
    "tcx-ingress": (SCHED_CLS, 46, 0),
    "tcx-egress": (SCHED_CLS, 47, 0),
    "xdp": (XDP, 37, 2),
    "cgroup-connect4": (CGROUP_SOCK_ADDR, 10, 0),
    "cgroup-egress": (CGROUP_SKB, 1, 0),
    "tc-ingress": (SCHED_CLS, 0, 0xFFFFFFF2),
    "tc-egress": (SCHED_CLS, 0, 0xFFFFFFF3),
} | {
    f"netfilter-{hook}": (NETFILTER, 45, number)
    for number, hook in enumerate(("prerouting", "input", "forward", "output", "postrouting"))
}
"""Type of program, place, flags (XDP: before the driver knows of it; tc: the filter's parent; netfilter: the hook)."""
MOVE, CALL, EXIT, REDIRECT = 0xB7, 0x85, 0x95, 23
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attribute: bytes) -> int:
    result: int = libc.syscall(SYSCALLS[platform.machine()], command, ctypes.create_string_buffer(attribute, 144), 144)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf(2)")
    return result


def main() -> None:
    device, place, verdict, name = sys.argv[1:]
    kind, at, flags = PLACES[place]
    lines = [(MOVE, 0, 0, 0 if verdict.startswith(">") else int(verdict))]
    if verdict.startswith(">"):
        lines = [(MOVE, 1, 0, socket.if_nametoindex(verdict[1:])), (MOVE, 2, 0, 0), (CALL, 0, 0, REDIRECT)]
    lines.append((EXIT, 0, 0, 0))
    code = b"".join(struct.pack("<BBhi", *line) for line in lines)
    text, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    texts = ctypes.addressof(text), ctypes.addressof(licence)
    load = struct.pack("=IIQQ24x16sII", kind, len(lines), *texts, name.encode(), 0, at)
    program = bpf(PROG_LOAD, load)
    with contextlib.ExitStack() as stack:
        if place.startswith("netfilter-"):
            bpf(LINK_CREATE, struct.pack("=IIIIIIiI", program, 0, at, 0, socket.AF_INET, flags, int(device), 0))
        elif place.startswith("tc-"):
            stack.enter_context(filter_of_tc(socket.if_nametoindex(device), flags, program, name))
        else:
            of_cgroup = place.startswith("cgroup-")
            target = os.open(device, os.O_RDONLY) if of_cgroup else socket.if_nametoindex(device)
            bpf(LINK_CREATE, struct.pack("=IIII", program, target, at, flags))
        print("ready", flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def filter_of_tc(ifindex: int, parent: int, program: int, name: str) -> Generator[None]:
    """What `tc filter add … bpf direct-action` does, behind a clsact that it brings."""
    netlink: Any = importlib.import_module("pyroute2").IPRoute()
    with netlink:
        netlink.tc("add", "clsact", ifindex)
        try:
            netlink.tc("add-filter", "bpf", ifindex, fd=program, name=name, parent=parent, direct_action=True)
            yield
        finally:
            netlink.tc("del", "clsact", ifindex)


if __name__ == "__main__":
    main()
