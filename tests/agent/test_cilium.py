"""Cilium's pinned maps: real maps of the kernel, filled with what a node of Cilium 1.20 held."""

import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from bot.agent import bpf
from bot.agent.cilium import GLOBALS, CiliumWatch, growth
from bot.agent.report import ServicePort
from bot.agent.report_ebpf import (
    BpfProgram,
    Cilium,
    CiliumDrop,
    CiliumEndpoint,
    CiliumPeer,
    CiliumService,
    CiliumTunnelEnd,
)

SAMPLES = Path(__file__).parent / "data" / "cilium-maps.txt"
MAP_CREATE, MAP_UPDATE, PROG_LOAD, OBJ_PIN, LINK_CREATE = 0, 2, 5, 6, 28
SCHED_CLS, TCX_INGRESS, CLONE_NEWNET = 3, 46, 0x40000000
RETURN_NEXT = struct.pack("=BBhi", 0xB7, 0, 0, -1) + struct.pack("=BBhi", 0x95, 0, 0, 0)
"""r0 = TCX_NEXT; exit."""
NO_PREALLOC = 1
TRIE, PER_CPU_HASH, ARRAY, HASH = 11, 5, 2, 1
WEB = ServicePort(name="shop/web:80", ip="10.96.143.249", port=80, protocol="tcp")
DNS = ServicePort(name="kube-system/kube-dns:53", ip="10.96.0.10", port=53, protocol="udp")
NEW = ServicePort(name="shop/new:80", ip="10.96.99.99", port=80, protocol="tcp")


class Maps:
    """Maps in a bpf file system of our own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.globals = root / "sys/fs/bpf" / GLOBALS
        self._fds: dict[str, tuple[int, int]] = {}

    def make(self, name: str, kind: int, key: int, value: int) -> None:
        flags = NO_PREALLOC if kind == TRIE else 0
        fd = bpf._bpf(MAP_CREATE, struct.pack("=IIIII", kind, key, value, 512, flags))  # pyright: ignore[reportPrivateUsage]
        path = ctypes.create_string_buffer(os.fsencode(self.globals / name))
        bpf._bpf(OBJ_PIN, struct.pack("=QI", ctypes.addressof(path), fd))  # pyright: ignore[reportPrivateUsage]
        self._fds[name] = fd, kind

    def put(self, name: str, key: bytes, value: bytes) -> None:
        fd, kind = self._fds[name]
        if kind == PER_CPU_HASH:
            cpus = bpf._possible_cpus()  # pyright: ignore[reportPrivateUsage]
            value = (value + bytes(16 * cpus))[: 16 * cpus]
        key_at, value_at = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
        attr = struct.pack("=I4xQQQ", fd, ctypes.addressof(key_at), ctypes.addressof(value_at), 0)
        bpf._bpf(MAP_UPDATE, attr)  # pyright: ignore[reportPrivateUsage]

    def fill(self) -> None:
        """All samples of which we know the layout."""
        name = ""
        for line in SAMPLES.read_text().splitlines():
            words = line.split()
            if line.startswith("## "):
                name = words[1] if words[1] != "cilium_runtime_config" else ""
                if name and name.startswith(("cilium_metrics", "cilium_ipcache", "cilium_lxc", "cilium_lb4_")):
                    self.make(name, int(words[3]), int(words[5]), int(words[7]))
            elif name in self._fds and not line.startswith("#"):
                self.put(name, *(bytes.fromhex(word) for word in words))

    def attach(self, device: str, program: str) -> None:
        """A program that lets everything pass, linked to the device and pinned as Cilium does it."""
        code, licence = ctypes.create_string_buffer(RETURN_NEXT), ctypes.create_string_buffer(b"GPL")
        attr = struct.pack("=IIQQ", SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(licence))
        prog = bpf._bpf(PROG_LOAD, attr)  # pyright: ignore[reportPrivateUsage]
        link = bpf._bpf(LINK_CREATE, struct.pack("=III", prog, socket.if_nametoindex(device), TCX_INGRESS))  # pyright: ignore[reportPrivateUsage]
        where = self.root / "sys/fs/bpf/cilium/devices" / device / "links"
        where.mkdir(parents=True)
        path = ctypes.create_string_buffer(os.fsencode(where / program))
        bpf._bpf(OBJ_PIN, struct.pack("=QI", ctypes.addressof(path), link))  # pyright: ignore[reportPrivateUsage]
        os.close(prog)
        os.close(link)

    def close(self) -> None:
        for fd, _ in self._fds.values():
            os.close(fd)


@pytest.fixture
def maps(tmp_path: Path) -> Generator[Maps]:
    where = tmp_path / "sys/fs/bpf"
    where.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "bpf", "none", where], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no bpf file system can be mounted here: {mounted.stderr.strip()}")
    made = Maps(tmp_path)
    try:
        made.globals.mkdir(parents=True)
        try:
            made.make("cilium_probe", HASH, 4, 4)
        except OSError as error:
            pytest.skip(f"no maps can be made here: {error}")
        yield made
    finally:
        made.close()
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", where], check=True)


def looked(maps: Maps, ips: tuple[str, ...] = (), services: tuple[ServicePort, ...] = ()) -> tuple[Cilium, CiliumWatch]:
    watch = CiliumWatch(root=str(maps.root))
    watch.begin()
    found = watch.result(ips, services)
    assert found
    return found, watch


def test_the_ipcache_finds_the_longest_prefix(maps: Maps):
    maps.fill()

    found, _ = looked(maps, ("10.245.1.188", "10.245.1.99", "10.245.0.38", "192.0.2.1"))

    assert found.peers == (
        CiliumPeer(ip="10.245.1.188", identity=8002, tunnel_end="10.90.0.12"),
        CiliumPeer(ip="10.245.1.99", identity=2, tunnel_end="10.90.0.12"),
        CiliumPeer(ip="10.245.0.38", identity=2936),
        CiliumPeer(ip="192.0.2.1", identity=2),
    )
    assert found.tunnel_ends
    [end] = found.tunnel_ends
    assert (end.ip, end.entries, len(end.prefixes)) == ("10.90.0.12", 9, 8)


def test_a_stale_tunnel_end_is_named_with_its_addresses(maps: Maps):
    maps.fill()
    key = struct.pack("=IHBB", 64, 0, 0, 1) + bytes((10, 245, 1, 188)) + bytes(12)
    maps.put("cilium_ipcache_v2", key, struct.pack("=I", 8002) + bytes((10, 90, 0, 99)) + bytes(15) + b"\x02")

    found, _ = looked(maps, ("10.245.1.188",))

    assert found.peers == (CiliumPeer(ip="10.245.1.188", identity=8002, tunnel_end="10.90.0.99"),)
    assert CiliumTunnelEnd(ip="10.90.0.99", entries=1, prefixes=("10.245.1.188/32",)) in (found.tunnel_ends or ())


def test_other_clusters_tunnels_are_not_counted(maps: Maps):
    maps.fill()
    key = struct.pack("=IHBB", 64, 0, 0, 1) + bytes((10, 9, 1, 1)) + bytes(12)
    maps.put("cilium_ipcache_v2", key, struct.pack("=I", 8002) + bytes((192, 0, 2, 9)) + bytes(15) + b"\x0a")

    found, _ = looked(maps)

    assert [end.ip for end in found.tunnel_ends or ()] == ["10.90.0.12"]


def test_the_nodes_own_pods(maps: Maps):
    maps.fill()

    found, _ = looked(maps)

    assert found.endpoints
    assert CiliumEndpoint(ip="10.245.0.38", id=871, ifindex=251, mac="86:59:8c:98:6f:f2") in found.endpoints
    assert {each.ip for each in found.endpoints if each.is_host} == {"10.245.0.131", "10.90.0.11"}


def test_services_and_their_backends(maps: Maps):
    maps.fill()
    maps.put("cilium_lb4_services_v2", bytes((10, 96, 143, 249)) + struct.pack("!H", 81) + b"\0\0\6\0\0\0", bytes(12))
    empty = ServicePort(name="shop/empty:81", ip="10.96.143.249", port=81, protocol="tcp")

    found, _ = looked(maps, services=(WEB, DNS, NEW, empty))

    assert found.services
    web, dns, new, none = found.services
    assert (web.is_known, web.count, len(web.backends)) == (True, 2, 2)
    assert dns.is_known
    assert all(backend.endswith(":53") for backend in dns.backends)
    assert new == CiliumService(name="shop/new:80", ip="10.96.99.99", port=80, protocol="tcp")
    assert (none.is_known, none.count, none.backends) == (True, 0, ())


def test_what_was_dropped_while_the_tests_ran(maps: Maps):
    maps.fill()
    watch = CiliumWatch(root=str(maps.root))
    watch.begin()
    maps.put("cilium_metrics", bytes.fromhex("8501d40802000000"), struct.pack("=QQ", 63 + 67 + 17, 1253))
    maps.put("cilium_metrics", bytes.fromhex("b502fd0502000000"), struct.pack("=QQ", 3, 99))
    maps.put("cilium_metrics", bytes.fromhex("0002b70171000000"), struct.pack("=QQ", 10_000_000, 99))

    found = watch.result((), ())

    assert found
    assert found.drops == (
        CiliumDrop(reason=133, direction="ingress", packets=17),
        CiliumDrop(reason=181, direction="egress", packets=3),
    )


def test_the_agents_heartbeat(maps: Maps):
    maps.make("cilium_runtime_config", ARRAY, 4, 8)
    ago = time.monotonic_ns() - 9_000_000_000
    maps.put("cilium_runtime_config", struct.pack("=I", 1), struct.pack("=Q", ago))

    found, watch = looked(maps)

    assert found.heartbeat_age_s is not None
    assert 9 <= found.heartbeat_age_s < 60
    assert found.peers is None
    assert "cilium.ipcache" in {each.what for each in watch.missing}


def test_another_layout_is_not_guessed_at(maps: Maps):
    maps.make("cilium_lxc", HASH, 20, 64)
    maps.make("cilium_ipcache_v2", TRIE, 24, 12)

    found, watch = looked(maps, ("10.0.0.1",))

    assert (found.endpoints, found.peers, found.tunnel_ends) == (None, None, None)
    assert {each.why for each in watch.missing} >= {
        "cilium_lxc has another layout than we know (key 20, value 64 bytes)",
        "cilium_ipcache_v2 has another layout than we know (key 24, value 12 bytes)",
    }


def test_a_node_without_cilium_says_nothing(tmp_path: Path):
    watch = CiliumWatch(root=str(tmp_path))
    watch.begin()

    assert watch.result(("10.0.0.1",), (WEB,)) is None
    assert watch.missing == []
    watch.is_expected = True
    assert watch.result((), ()) is None
    assert [each.what for each in watch.missing] == ["cilium"]


def test_a_program_without_its_device_is_detached(maps: Maps):
    found: list[Cilium] = []

    def in_a_namespace_of_its_own() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            return
        subprocess.run(["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"], check=True)
        try:
            maps.attach("d0", "cil_from_overlay")
        except OSError:  # before Linux 6.6 there are no such links
            return
        found.append(looked(maps)[0])
        subprocess.run(["ip", "link", "del", "d0"], check=True)
        found.append(looked(maps)[0])

    thread = threading.Thread(target=in_a_namespace_of_its_own)
    thread.start()
    thread.join()
    if not found:
        pytest.skip("no program can be linked to a device here")

    assert [each.programs for each in found] == [
        (BpfProgram(name="cil_from_overlay", place="d0", is_attached=True),),
        (BpfProgram(name="cil_from_overlay", place="d0", is_attached=False),),
    ]


@pytest.mark.parametrize(
    ("before", "after", "dropped"),
    [
        ({(133, 1): 5}, {(133, 1): 5}, []),
        ({}, {(133, 1): 2, (0, 1): 900, (14, 2): 3}, [(133, "ingress", 2)]),
        ({(151, 1): 9}, {(151, 1): 10, (133, 2): 4}, [(133, "egress", 4), (151, "ingress", 1)]),
        ({(133, 1): 9}, {(133, 1): 1}, []),
    ],
    ids=["nothing new", "forwarding is no drop", "most first", "counted anew"],
)
def test_growth(before: dict[tuple[int, int], int], after: dict[tuple[int, int], int], dropped: list[object]):
    assert [(each.reason, each.direction, each.packets) for each in growth(before, after)] == dropped
