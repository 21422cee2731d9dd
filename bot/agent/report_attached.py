"""What is attached to a node's devices and cgroups and may decide about packets: queues, filters, programs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Qdisc:
    """A queueing discipline of a device, with its counters before the tests."""

    dev: str
    kind: str
    handle: str = "0:"
    text: str = ""
    """As `tc qdisc` prints it, without the device."""
    packets: int = 0
    dropped: int = 0
    overlimits: int = 0
    backlog: int = 0
    """Packets that wait in it, after the tests."""
    packets_delta: int = 0
    """Growth while the tests ran; likewise for the other deltas."""
    dropped_delta: int = 0
    overlimits_delta: int = 0

    @property
    def is_written(self) -> bool:
        """Somebody put it there: what the kernel does by itself has the handle 0."""
        return self.handle not in {"0:", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of traffic control on a device."""

    dev: str
    direction: str
    """ingress, egress or queue: ingress is what comes in by the device, queue what belongs to a queueing discipline."""
    kind: str
    """As tc calls it (u32, flower, bpf, …), or what a program hangs on by itself: xdp, tcx, netkit."""
    name: str = ""
    """Of a BPF program."""
    effect: str = ""
    """drop, redirect, police, change; program: a BPF program decides; "" when it lets packets go on."""
    target: str = ""
    """The device that packets are redirected to."""
    text: str = ""
    packets: int | None = None
    """What its action took; None: the kernel does not say."""
    packets_delta: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupProgram:
    """A BPF program on a cgroup that may refuse what its processes send, receive or connect to."""

    cgroup: str
    """"/" for the root, else its path."""
    pod: str = ""
    """The uid of the pod whose cgroup it is."""
    place: str
    """ingress, egress, socket, bind4, connect4, sendmsg4, …"""
    number: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterProgram:
    """A BPF program on a hook of netfilter, which drops packets without a rule."""

    family: Literal[4, 6]
    hook: str
    """prerouting, input, forward, output, postrouting."""
    priority: int
    number: int
    name: str = ""
