"""What a trace needs of the kernel, what it does without, and that nothing of it stays: not even after `kill -9`."""

import ctypes
import platform
import struct
import subprocess
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.trace.tap import ATTRIBUTE_BYTES, SYSCALLS
from tests.agent.nodes import Node, calico_node, is_root, why_no_namespaces
from tests.agent.trace_lab import CHAIN, flow, follow, only_drop, seen, start, trace_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "-"),
    pytest.mark.skipif(not is_root(), reason="the tap is root's"),
]
NO_BPF = f"""
import ctypes, platform, struct
SECCOMP = [(0x20, 0, 0, 0), (0x15, 0, 1, {SYSCALLS!r}[platform.machine()]), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in SECCOMP))
program = ctypes.create_string_buffer(struct.pack("HP", len(SECCOMP), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0, ctypes.get_errno()
"""
"""As container runtimes' default seccomp profile does: bpf(2) fails with EPERM."""
HIDDEN = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
for place in {places!r}:
    if os.path.isdir(place):
        assert libc.mount(b"none", place.encode(), b"tmpfs", 0, None) == 0, ctypes.get_errno()
"""
NO_TRACEFS = HIDDEN.format(places=["/sys/kernel/tracing", "/sys/kernel/debug"])
NO_TYPES = HIDDEN.format(places=["/sys/kernel/btf"])
WITH_TRACEFS = "import bot.agent.trace.tracefs as t; t._tracefs = lambda _: t.Path({!r})\n"


@pytest.fixture(scope="module")
def node() -> Generator[Node]:
    """A rule without a counter drops what the first pod sends the second."""
    with calico_node([{}, {"udp": [7001]}]) as made:
        made.nft(CHAIN.format(family="ip", hook="forward", rule="udp dport 7001 drop"))
        yield made


@pytest.fixture
def tracing(tmp_path: Path) -> Generator[Path]:
    """A tracefs."""
    place = tmp_path / "tracing"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tracefs", "none", str(place)], check=False).returncode:
        pytest.skip("tracefs cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def instances(tracing: Path) -> list[str]:
    return [path.name for path in (tracing / "instances").iterdir() if path.name.startswith("cnibot-")]


def test_tracefs_is_not_needed_where_bpf_is_allowed(node: Node) -> None:
    source, target = node.pods

    trace = trace_of(follow([node], flow(source, target.ip), python=NO_TRACEFS)["node-1"])

    assert (trace.instrument, trace.why_not_better) == ("bpf", "")
    assert only_drop(trace).count == 17


@pytest.mark.parametrize(
    ("python", "why"),
    [(NO_BPF, "no tap: [Errno 1] bpf(2): Operation not permitted"), (NO_TYPES, "no tap: [Errno 2]")],
    ids=["bpf(2) is refused", "the kernel does not describe itself"],
)
def test_without_a_tap_the_kernel_s_own_trace_tells(node: Node, tracing: Path, python: str, why: str) -> None:
    source, target = node.pods
    python = WITH_TRACEFS.format(str(tracing)) + python

    trace = trace_of(follow([node], flow(source, target.ip, length=1234), python=python)["node-1"])

    assert trace.instrument == "tracefs"
    assert trace.why_not_better.startswith(why)
    # Told by length alone, in no namespace: another program's packet on loopback may have it, ours never pass there.
    drop = only_drop(replace(trace, drops=tuple(one for one in trace.drops if one.dev != "lo")))
    assert (drop.reason, drop.hook, drop.family, drop.count) == ("NETFILTER_DROP", "forward", "ip", 17)
    assert instances(tracing) == []


def test_with_neither_sightings_say_how_far_packets_came(node: Node) -> None:
    source, target = node.pods

    trace = trace_of(follow([node], flow(source, target.ip), python=NO_TRACEFS + NO_BPF)["node-1"])

    assert (trace.instrument, trace.drops) == ("none", ())
    assert "bpf(2): Operation not permitted" in trace.why_not_better
    assert "no trace" in trace.why_not_better
    assert seen(trace) == {("0002", "eth0", "out"): 17, ("node", "cali0", "in"): 17}


def test_a_killed_agent_leaves_no_program_and_no_socket(node: Node) -> None:
    source, target = node.pods
    before = programs()
    process = start(node, flow(source, target.ip))
    during = programs() - before
    sockets = packet_sockets(node)

    process.kill()
    process.communicate()

    assert during
    assert sockets > 0
    eventually(lambda: not programs() & during)
    assert packet_sockets(node) == 0


def test_a_killed_agent_leaves_no_trace_instance(node: Node, tracing: Path) -> None:
    source, target = node.pods
    process = start(node, flow(source, target.ip), python=WITH_TRACEFS.format(str(tracing)) + NO_BPF)
    during = instances(tracing)

    process.kill()
    process.communicate()

    assert len(during) == 1
    eventually(lambda: instances(tracing) == [])
    assert packet_sockets(node) == 0


def test_what_others_left_is_taken_away_but_not_what_others_use(node: Node, tracing: Path) -> None:
    source, target = node.pods
    dead, alive = tracing / "instances/cnibot-4194305", tracing / "instances/cnibot-1"
    dead.mkdir()
    alive.mkdir()
    try:
        follow([node], flow(source, target.ip), python=WITH_TRACEFS.format(str(tracing)) + NO_BPF)
        left = instances(tracing)
    finally:
        alive.rmdir()

    assert left == ["cnibot-1"]


def programs() -> set[int]:
    """Numbers of all programs in the kernel (BPF_PROG_GET_NEXT_ID)."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: set[int] = set()
    at = 0
    while True:
        attribute = ctypes.create_string_buffer(struct.pack("=I", at), ATTRIBUTE_BYTES)
        if libc.syscall(SYSCALLS[platform.machine()], 11, attribute, ATTRIBUTE_BYTES) != 0:
            return found
        at = struct.unpack_from("=I", attribute.raw, 4)[0]
        found.add(at)


def packet_sockets(node: Node) -> int:
    return len(node.namespaces.run(node.number, "cat", "/proc/net/packet").splitlines()) - 1


def eventually(holds: Callable[[], bool]) -> None:
    """The kernel takes away what nobody holds any more in its own time."""
    ends_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)
