"""Small nodes with pods on the real kernel, and the agent run on them. They end with the test process."""

import asyncio
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from bot.agent.collect import Survey
from bot.agent.encode import encode
from bot.agent.netns import CLONE_NEWNET, Home, open_netns, setns
from bot.agent.report import NodeReport, PodReport, Target, Task, TaskPod, Test

HOLDER = Path(__file__).with_name("holder.py")
ATTACHER = Path(__file__).with_name("attacher.py")
GATEWAY = "169.254.1.1"
ROUTER = "172.30.0.1"
HOST_MAC = "ee:ee:ee:ee:ee:ee"


@functools.cache
def why_no_namespaces() -> str:
    """ "" where network namespaces can be made (as root or by a user namespace), else the reason."""
    try:
        with Namespaces([{}]):
            return ""
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f"no network namespaces here: {error}"


@functools.cache
def is_root() -> bool:
    """Whether this process may enter a namespace and come back: not so for the root of a user namespace."""
    home = Home()
    try:
        setns(home.fd, CLONE_NEWNET)
    except OSError:
        return False
    else:
        return True
    finally:
        home.close()


class Namespaces:
    """Namespaces by number, each held by a process."""

    def __init__(self, members: Sequence[dict[str, Any]]) -> None:
        spec = json.dumps({"rootless": not is_root(), "members": members})
        self._process = subprocess.Popen(
            [sys.executable, str(HOLDER), spec], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("namespaces could not be made")
        self.pids = [int(pid) for pid in line.split()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def enter(self, number: int) -> list[str]:
        user = [] if is_root() else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self.pids[number]), *user, "-n"]

    def run(self, number: int, *command: str, text: str | None = None) -> str:
        done = subprocess.run(
            [*self.enter(number), *command], input=text, capture_output=True, text=True, check=False, timeout=20
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}{text or ''}")
        return done.stdout

    def ip(self, number: int, *lines: str) -> None:
        self.run(number, "ip", "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, number: int, **values: object) -> None:
        """Names with `__` for dots."""
        self.set_sysctls(number, {name.replace("__", "."): value for name, value in values.items()})

    @contextlib.contextmanager
    def program(self, number: int, device: str, place: str, verdict: str, name: str) -> Generator[None]:
        """A BPF program hangs on a device (see `attacher.py`); skips the test where the kernel has no such place."""
        command = [*self.enter(number), sys.executable, str(ATTACHER), device, place, verdict, name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            if process.stdout.readline() != b"ready\n":
                pytest.skip(f"no program at {place} here: {process.stderr.read().decode()[-100:]}")
            try:
                yield
            finally:
                process.stdin.close()

    def set_sysctls(self, number: int, values: dict[str, object]) -> None:
        self.run(number, "sysctl", "-qw", *(f"net.{name}={value}" for name, value in values.items()))


@dataclass(kw_only=True)
class Pod:
    number: int
    """Of its namespace."""
    name: str
    ip: str
    link: str
    """The node's end."""
    uid: str
    tcp: list[int] = field(default_factory=list[int])

    @property
    def task_pod(self) -> TaskPod:
        return TaskPod(uid=self.uid, namespace="shop", name=self.name, ip=self.ip, is_source=True)


@dataclass(kw_only=True)
class Node:
    """A node (namespace `number`), its pods, and the network that it lives in."""

    namespaces: Namespaces
    number: int
    ip: str
    pods: list[Pod]
    fabric: int = 0

    def task(self, *targets: Target, **changes: Any) -> Task:
        task = Task(node="node-1", pods=tuple(pod.task_pod for pod in self.pods), targets=targets, gateway=GATEWAY)
        return replace(task, **changes)

    def look(self, task: Task) -> NodeReport:
        """What the agent reports, through its JSON: in this process as root, else as a program."""
        if not is_root():
            return decode(run_program(self, task).stdout)
        home = Home()
        fd = open_netns(f"/proc/{self.namespaces.pids[self.number]}/ns/net")
        try:
            with home.visiting(fd):
                return decode(encode(asyncio.run(Survey(task, host_root="/nonexistent").run())))
        finally:
            os.close(fd)
            home.close()

    def ip_command(self, *lines: str) -> None:
        self.namespaces.ip(self.number, *lines)

    def sysctl(self, values: dict[str, object]) -> None:
        self.namespaces.set_sysctls(self.number, values)

    def nft(self, rules: str) -> None:
        self.namespaces.run(self.number, "nft", "-f", "-", text=rules)


def run_program(node: Node, task: Task | str, *options: str) -> subprocess.CompletedProcess[str]:
    """`python -m bot.agent` on a node."""
    text = task if isinstance(task, str) else encode_task(task)
    command = [*node.namespaces.enter(node.number), sys.executable, "-m", "bot.agent", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=30)


def encode_task(task: Task) -> str:
    return msgspec.json.encode(task).decode() + "\n"


def decode(text: str) -> NodeReport:
    return msgspec.json.decode(text, type=NodeReport)


def pod_of(report: NodeReport, pod: Pod) -> PodReport:
    return next(one for one in report.pods if one.uid == pod.uid)


def one_test(report: NodeReport, source: str, **fields: object) -> Test:
    """The one test with these fields."""
    found = [
        test
        for test in report.tests
        if test.source == source and all(getattr(test, name) == value for name, value in fields.items())
    ]
    assert len(found) == 1, found or report.tests
    return found[0]


def uid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


@contextlib.contextmanager
def calico_node(pods: Sequence[dict[str, Any]] = ({}, {})) -> Generator[Node]:
    """One node as Calico lays it, behind a router: 169.254.1.1 by proxy ARP, /32 addresses, a blackholed block."""
    with Namespaces([{"tcp": [80], "dns": True}, {}, *pods]) as namespaces:
        _underlay(namespaces, [1])
        node = Node(namespaces=namespaces, number=1, ip="172.30.0.11", pods=_pods(pods, first=2, subnet=0))
        _calico_pods(node)
        yield node


@contextlib.contextmanager
def bridge_node(pods: Sequence[dict[str, Any]] = ({}, {})) -> Generator[Node]:
    """One node as flannel lays it: all pods on the bridge cni0, which is their gateway."""
    with Namespaces([{"tcp": [80], "dns": True}, {}, *pods]) as namespaces:
        _underlay(namespaces, [1])
        node = Node(namespaces=namespaces, number=1, ip="172.30.0.11", pods=_pods(pods, first=2, subnet=0))
        _bridge_pods(node, "10.42.0.1/24")
        yield node


@contextlib.contextmanager
def two_nodes(pods: Sequence[dict[str, Any]] = ({},), mtu: int = 1450) -> Generator[tuple[Node, Node]]:
    """Two flannel-like nodes joined by VXLAN, pods with the tunnel's MTU (or another)."""
    members = [{"tcp": [80]}, {}, {}, *pods, *pods]
    with Namespaces(members) as namespaces:
        _underlay(namespaces, [1, 2])
        first = Node(namespaces=namespaces, number=1, ip="172.30.0.11", pods=_pods(pods, first=3, subnet=0))
        second = Node(
            namespaces=namespaces, number=2, ip="172.30.0.12", pods=_pods(pods, first=3 + len(pods), subnet=1)
        )
        for at, node in enumerate((first, second)):
            _bridge_pods(node, f"10.42.{at}.1/24", mtu)
            _vxlan(node, at, 1 - at)
        yield first, second


def _pods(specs: Sequence[dict[str, Any]], *, first: int, subnet: int) -> list[Pod]:
    return [
        Pod(
            number=first + at,
            name=f"pod-{at}",
            ip=f"10.42.{subnet}.{10 + at}",
            link=f"cali{at}",
            uid=uid_of(first + at),
            tcp=spec.get("tcp", []),
        )
        for at, spec in enumerate(specs)
    ]


def _underlay(namespaces: Namespaces, nodes: Iterable[int]) -> None:
    lines = [
        "link add name under0 type bridge",
        f"addr add {ROUTER}/24 dev under0",
        "addr add 198.51.100.10/32 dev under0",
        "link set under0 up",
        "link set lo up",
    ]
    for at, number in enumerate(nodes):
        lines += [
            f"link add name port{at} type veth peer name eth0 netns {namespaces.pids[number]}",
            f"link set port{at} master under0 up",
        ]
    lines += ["route add 10.42.0.0/16 dev under0"]
    namespaces.ip(0, *lines)
    for at, number in enumerate(nodes):
        namespaces.ip(
            number,
            "link set lo up",
            f"addr add 172.30.0.{11 + at}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {ROUTER}",
        )
        namespaces.set_sysctls(number, {"ipv4.ip_forward": 1, "ipv4.conf.all.rp_filter": 0})
        namespaces.ip(0, f"route replace 10.42.{at}.0/24 via 172.30.0.{11 + at}")


def _calico_pods(node: Node) -> None:
    namespaces = node.namespaces
    lines = ["route add blackhole 10.42.0.0/26"]
    sysctls: dict[str, object] = {}
    for pod in node.pods:
        lines += [
            f"link add name {pod.link} address {HOST_MAC} type veth peer name eth0 netns {namespaces.pids[pod.number]}",
            f"link set {pod.link} up",
            f"route add {pod.ip}/32 dev {pod.link} scope link",
        ]
        sysctls |= {
            f"ipv4.conf.{pod.link}.proxy_arp": 1,
            f"ipv4.conf.{pod.link}.rp_filter": 1,
            f"ipv4.conf.{pod.link}.route_localnet": 1,
            f"ipv4.neigh.{pod.link}.proxy_delay": 0,
        }
    namespaces.ip(node.number, *lines)
    namespaces.set_sysctls(node.number, sysctls)
    for pod in node.pods:
        namespaces.ip(
            pod.number,
            "link set lo up",
            f"addr add {pod.ip}/32 dev eth0",
            "link set eth0 up",
            f"route add {GATEWAY} dev eth0 scope link",
            f"route add default via {GATEWAY} dev eth0",
        )


def _bridge_pods(node: Node, gateway: str, mtu: int = 1500) -> None:
    namespaces = node.namespaces
    lines = [
        "link add name cni0 type bridge",
        f"addr add {gateway} dev cni0",
        f"link set cni0 mtu {mtu} up",
    ]
    for pod in node.pods:
        lines += [
            f"link add name {pod.link} type veth peer name eth0 netns {namespaces.pids[pod.number]}",
            f"link set {pod.link} mtu {mtu} master cni0 up",
        ]
    namespaces.ip(node.number, *lines)
    for pod in node.pods:
        namespaces.ip(
            pod.number,
            "link set lo up",
            f"addr add {pod.ip}/24 dev eth0",
            f"link set eth0 mtu {mtu} up",
            f"route add default via {gateway.partition('/')[0]}",
        )


def vtep_mac(at: int) -> str:
    return f"02:00:00:00:00:0{at + 1}"


def _vxlan(node: Node, at: int, other: int) -> None:
    node.ip_command(
        f"link add name flannel.1 address {vtep_mac(at)} type vxlan id 1 dstport 8472 local {node.ip} nolearning",
        f"addr add 10.42.{at}.0/32 dev flannel.1",
        "link set flannel.1 mtu 1450 up",
        f"neigh add 10.42.{other}.0 lladdr {vtep_mac(other)} dev flannel.1 nud permanent",
        f"route add 10.42.{other}.0/24 via 10.42.{other}.0 dev flannel.1 onlink",
    )
    peer = f"172.30.0.{11 + other}"
    node.namespaces.run(
        node.number, "bridge", "fdb", "add", vtep_mac(other), "dev", "flannel.1", "dst", peer, "self", "permanent"
    )
