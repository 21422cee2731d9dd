"""The drop event as a trace of the kernel's own: where bpf(2) is refused, root still has tracefs.

A trace knows a packet by its address and length alone. So a drop counts as ours when the same address was seen with the
length of one of our series just before; packets without a length of their own (TCP) are known by the sender's process.

The instance is ours and goes with us: a child waits for our end, however that comes, and takes it away. If that is
killed as well, the next agent does it.

Source: https://docs.kernel.org/trace/ftrace.html section "Instances", https://docs.kernel.org/trace/events.html
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bot.agent.files import read_text
from bot.agent.trace.symbols import SUFFIX, Place, place_of
from bot.agent.traced import PacketDrop, TraceFlow

PLACES = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
PREFIX = "cnibot-"
BUFFER_KB = 512
"""For each processor."""
TRACE_BYTES = 16 << 20
ETHERNET_BYTES = 14
KFREE_FILTER = "protocol==2048||protocol==34525"
"""IPv4 and IPv6."""
CHAIN = ("net/netif_receive_skb", "net/net_dev_queue", "net/net_dev_xmit", "net/netif_rx")
LINE = re.compile(
    r"^\s*(?P<task>.+)-(?P<pid>\d+)\s+\[(?P<cpu>\d+)\]\s+\S+\s+[\d.]+:\s+"
    r"(?:(?P<event>\w+):\s+(?P<rest>.*)|(?P<stack><stack trace>)\s*)$"
)
FRAME = re.compile(r"^\s*=> (\S+)")
ADDRESS = re.compile(r"skbaddr=(?:0x)?([0-9a-f]+)")
DEVICE = re.compile(r"dev=(\S+)")
LENGTH = re.compile(r"\blen=(\d+)")
LOCATION = re.compile(r"location=([^\s+]+)")
REASON = re.compile(r"reason: (\w+)")


class DropTrace:
    """Traces from the moment it is made. OSError where tracefs cannot be written."""

    def __init__(self, roots: Sequence[str], flows: Sequence[TraceFlow]) -> None:
        self._flows = flows
        instances = _tracefs(roots) / "instances"
        _sweep(instances)
        self._instance = instances / f"{PREFIX}{os.getpid()}"
        self._instance.mkdir()
        self._guard = Guard(self._instance)
        try:
            self._write("buffer_size_kb", str(BUFFER_KB))
            with contextlib.suppress(OSError):  # kernels without the trigger still tell the function
                self._write("events/skb/kfree_skb/trigger", "stacktrace")
            self._write("events/skb/kfree_skb/filter", KFREE_FILTER)
            self._write("events/skb/kfree_skb/enable", "1")
            for name in CHAIN:
                with contextlib.suppress(OSError):
                    self._write(f"events/{name}/filter", _of_our_lengths(flows))
                    self._write(f"events/{name}/enable", "1")
        except OSError:
            self.close()
            raise

    def drops(self) -> tuple[PacketDrop, ...]:
        """What was dropped of the series, by now."""
        self._write("events/enable", "0")
        return parse_trace(read_text(str(self._instance / "trace"), TRACE_BYTES), self._flows, os.getpid())

    def close(self) -> None:
        """Take the instance away. May be called again."""
        self._guard.close()

    def _write(self, name: str, text: str) -> None:
        _write(self._instance / name, text)


class Guard:
    """A child that removes an instance when this process ends or `close` is called, whichever comes first."""

    def __init__(self, instance: Path) -> None:
        ours, held = os.pipe()
        pid = os.fork()
        if pid == 0:
            _guard(instance, ours)
        os.close(ours)
        self._held = held
        self._pid = pid

    def close(self) -> None:
        """Remove it now. May be called again. OSError when it is still there afterwards."""
        if self._held < 0:
            return
        os.close(self._held)
        self._held = -1
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise OSError(f"the trace instance could not be removed (status {os.waitstatus_to_exitcode(status)})")


def _guard(instance: Path, ours: int) -> NoReturn:
    """In the child: wait until nobody holds the other end, then remove the instance. Never returns."""
    status = 1
    try:
        os.setsid()  # what is meant for the agent's group is not meant for this
        os.dup2(ours, 0)
        os.closerange(1, os.sysconf("SC_OPEN_MAX"))  # whoever reads our output must not wait for this
        os.read(0, 1)
        _remove(instance)
        status = 0
    finally:
        os._exit(status)


@dataclass(slots=True)
class _Event:
    pid: int
    name: str
    rest: str
    stack: list[str] = field(default_factory=list[str])


def parse_trace(text: str, flows: Sequence[TraceFlow], pid: int) -> tuple[PacketDrop, ...]:
    """Drops of our series. Only flows with a length of their own can be recognised; TCP by the process that sends."""
    lengths = {flow.length: flow.number for flow in flows if flow.length}
    streams = [flow.number for flow in flows if flow.protocol == "tcp"]
    known: dict[str, tuple[int, str]] = {}
    counts: Counter[tuple[int, str, str, Place]] = Counter()
    for event in _events(text):
        address = (match := ADDRESS.search(event.rest)) and match[1]
        if not address:
            continue
        if event.name != "kfree_skb":
            _note(known, address, event.rest, lengths)
            continue
        flow, dev = known.pop(address, (None, ""))
        if flow is None and event.pid == pid and len(streams) == 1:
            flow = streams[0]
        if flow is None:
            continue
        location, reason = LOCATION.search(event.rest), REASON.search(event.rest)
        place = place_of(event.stack, SUFFIX.sub("", location[1]) if location else "")
        counts[flow, dev, reason[1] if reason else "", place] += 1
    return tuple(
        PacketDrop(
            flow=flow,
            netns="",
            dev=dev,
            reason=reason,
            symbol=place.symbol,
            hook=place.hook,
            family=place.family,
            stack=place.stack,
            count=count,
        )
        for (flow, dev, reason, place), count in counts.most_common()
    )


def _note(known: dict[str, tuple[int, str]], address: str, rest: str, lengths: dict[int, int]) -> None:
    """Remember that this packet is ours, or that its address serves another one by now."""
    length, dev = LENGTH.search(rest), DEVICE.search(rest)
    size = int(length[1]) if length else 0
    flow = lengths.get(size, lengths.get(size - ETHERNET_BYTES))
    if flow is None:
        known.pop(address, None)
    else:
        known[address] = flow, dev[1] if dev else ""


def _events(text: str) -> Sequence[_Event]:
    """The events with their stacks.

    Processors write between each other: a stack belongs to the latest event of its own processor. Events that the
    filter leaves out have stacks nevertheless: an event takes but one.
    """
    events: list[_Event] = []
    by_processor: dict[str, _Event] = {}
    latest: _Event | None = None
    for line in text.splitlines():
        if latest and (frame := FRAME.match(line)):
            latest.stack.append(SUFFIX.sub("", frame[1].partition("+")[0]))
        elif not (found := LINE.match(line)):
            continue
        elif found["stack"]:
            latest = by_processor.pop(found["cpu"], None)
        else:
            latest = by_processor[found["cpu"]] = _Event(int(found["pid"]), found["event"], found["rest"])
            events.append(latest)
    return events


def _of_our_lengths(flows: Sequence[TraceFlow]) -> str:
    """A filter for the lengths with and without Ethernet's header."""
    lengths = sorted({flow.length for flow in flows if flow.length})
    return "||".join(f"len=={length + more}" for length in lengths for more in (0, ETHERNET_BYTES)) or "len==0"


def _sweep(instances: Path) -> None:
    """Take away what agents left that were killed."""
    for left in instances.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX)
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                _remove(left)


def _remove(instance: Path) -> None:
    with contextlib.suppress(OSError):
        _write(instance / "events/enable", "0")
    instance.rmdir()


def _write(path: Path, text: str) -> None:
    # The files are there or the kernel is another: none is ever created.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def _tracefs(roots: Sequence[str]) -> Path:
    for root in roots:
        for place in PLACES:
            folder = Path(root) / place
            if (folder / "events/skb/kfree_skb").is_dir():
                return folder
    raise FileNotFoundError("tracefs is not to be seen, or this kernel has no event skb:kfree_skb")
