"""What Cilium's programs keep: counted drops, where addresses live, its pods, Services, and whether they are attached.

All of it lies in maps and links pinned below /sys/fs/bpf. Layouts are those of Cilium 1.16 to 1.20; of a map whose key
or value has another size nothing is reported. The kernel's own tables say nothing about what these programs do.

Source: https://github.com/cilium/cilium/blob/main/bpf/lib/common.h, metrics.h, eps.h, lb.h
"""

import re
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bot.agent.bpf import PinnedMap, pinned_link, pinned_map
from bot.agent.report import Missing, ServicePort
from bot.agent.report_ebpf import (
    BpfProgram,
    Cilium,
    CiliumDrop,
    CiliumEndpoint,
    CiliumPeer,
    CiliumService,
    CiliumTunnelEnd,
)

BPFFS = "sys/fs/bpf"
GLOBALS = "tc/globals"
FIRST_DROP = 130
"""Reasons below are counters of what was forwarded."""
LISTED = 32
EXAMPLES = 8
MOST_ENTRIES = 20_000
MOST_BACKENDS = 64
MOST_PROGRAMS = 2048
HAS_TUNNEL = 2
IS_REMOTE_CLUSTER = 8
IS_HOST = 1
IPV4 = 1
ADDRESS_BITS = 64
"""Of an ipcache key: what stands before the address, and all of it."""
PROTOCOLS = {"tcp": 6, "udp": 17}
STATES = {0: "active", 1: "terminating", 2: "quarantined", 3: "maintenance"}
DIRECTIONS = {1: "ingress", 2: "egress"}
ENDPOINT_PROGRAM = "cil_from_container"

Counts = dict[tuple[int, int], int]
"""Packets by reason and direction."""
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class CiliumWatch:
    """Cilium's data plane of a node before and after the tests."""

    root: str
    is_expected: bool = False
    """Devices of Cilium's are there: maps that are not pinned are worth a word."""
    missing: list[Missing] = field(default_factory=list[Missing])
    _before: Counts | None = None

    @property
    def _bpffs(self) -> Path:
        return Path(self.root) / BPFFS

    @property
    def is_here(self) -> bool:
        """Whether Cilium has ever laid its maps on this node."""
        return any(name.startswith("cilium_") for name in _names(self._bpffs / GLOBALS))

    def begin(self) -> None:
        """Read the counters before the tests."""
        if self.is_here:
            self._before = self._tried("metrics", partial(self._read, r"cilium_metrics", 8, 16, read_counts))

    def result(self, ips: Sequence[str], services: Sequence[ServicePort]) -> Cilium | None:
        """What the maps hold now about these addresses and Services; None where there is no Cilium."""
        if not self.is_here:
            if self.is_expected:
                self.missing.append(Missing(what="cilium", why=f"no maps of Cilium's are pinned below /{BPFFS}"))
            return None
        return Cilium(
            heartbeat_age_s=self._tried("runtime_config", self._heartbeat_age),
            drops=self._drops(),
            peers=self._tried("ipcache", partial(self._read, r"cilium_ipcache(_v2)?", 24, 24, partial(peers, ips=ips))),
            tunnel_ends=self._tried("ipcache", partial(self._read, r"cilium_ipcache(_v2)?", 24, 24, tunnel_ends)),
            endpoints=self._tried("lxc", partial(self._read, r"cilium_lxc", 20, 48, endpoints)),
            services=self._tried("lb4", partial(self._services, services)),
            programs=self._tried("links", self._programs),
        )

    def _drops(self) -> tuple[CiliumDrop, ...] | None:
        if self._before is None:
            return None
        after = self._tried("metrics", partial(self._read, r"cilium_metrics", 8, 16, read_counts))
        return None if after is None else growth(self._before, after)

    def _tried(self, what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (OSError, ValueError) as error:
            entry = Missing(what=f"cilium.{what}", why=str(error))
            if entry not in self.missing:
                self.missing.append(entry)
            return None

    def _read(self, name: str, key_bytes: int, value_bytes: int, read: Callable[[PinnedMap], T]) -> T:
        """What is read from the newest map of this name. OSError without one, ValueError for another layout."""
        found = sorted(each for each in _names(self._bpffs / GLOBALS) if re.fullmatch(name, each))
        if not found:
            raise ValueError(f"no map {name} is pinned")
        with pinned_map(str(self._bpffs / GLOBALS / found[-1])) as table:
            sizes = (table.info.key_size, table.info.value_size)
            if sizes != (key_bytes, value_bytes):
                raise ValueError(
                    f"{found[-1]} has another layout than we know (key {sizes[0]}, value {sizes[1]} bytes)"
                )
            return read(table)

    def _heartbeat_age(self) -> float | None:
        return self._read(r"cilium_runtime_config", 4, 8, heartbeat_age)

    def _services(self, services: Sequence[ServicePort]) -> tuple[CiliumService, ...]:
        def with_backends(frontends: PinnedMap) -> tuple[CiliumService, ...]:
            read = partial(read_services, services, frontends)
            return self._read(r"cilium_lb4_backends_v3", 4, 12, read)

        return self._read(r"cilium_lb4_services_v2", 12, 12, with_backends)

    def _programs(self) -> tuple[BpfProgram, ...]:
        return tuple(islice(_read_programs(self._bpffs / "cilium"), MOST_PROGRAMS))


# Counters


def read_counts(table: PinnedMap) -> Counts:
    """Packets by reason and direction, all lines of code and CPUs together."""
    found: Counter[tuple[int, int]] = Counter()
    for key, value in table.items(MOST_ENTRIES):
        reason, direction = key[0], key[1]
        found[reason, direction] += sum(packets for packets, _ in struct.iter_unpack("=QQ", value))
    return dict(found)


def growth(before: Counts, after: Counts) -> tuple[CiliumDrop, ...]:
    """What was dropped meanwhile, most first."""
    grown = {key: packets - before.get(key, 0) for key, packets in after.items() if key[0] >= FIRST_DROP}
    drops = (
        CiliumDrop(reason=reason, direction=DIRECTIONS.get(direction, ""), packets=packets)
        for (reason, direction), packets in grown.items()
        if packets > 0
    )
    return tuple(sorted(drops, key=lambda drop: (-drop.packets, drop.reason)))[:LISTED]


def heartbeat_age(table: PinnedMap) -> float | None:
    """Seconds since the agent wrote that it lives; None when it never did."""
    value = table.lookup(struct.pack("=I", 1))
    at = struct.unpack("=Q", value)[0] if value else 0
    return round(max(0.0, time.monotonic() - at / 1e9), 3) if at else None


# Addresses


def ipcache_key(ip: str) -> bytes:
    """The key that finds the longest prefix around an address."""
    return struct.pack("=IHBB", ADDRESS_BITS, 0, 0, IPV4) + socket.inet_aton(ip).ljust(16, b"\0")


def peers(table: PinnedMap, ips: Iterable[str]) -> tuple[CiliumPeer, ...]:
    """What the ipcache says about each of these addresses."""
    return tuple(_peer(ip, table.lookup(ipcache_key(ip))) for ip in ips)


def _peer(ip: str, value: bytes | None) -> CiliumPeer:
    if value is None:
        return CiliumPeer(ip=ip)
    identity, tunnel = struct.unpack_from("=I4s", value)
    end = socket.inet_ntoa(tunnel) if value[23] & HAS_TUNNEL else ""
    return CiliumPeer(ip=ip, identity=identity, tunnel_end=end)


def tunnel_ends(table: PinnedMap) -> tuple[CiliumTunnelEnd, ...]:
    """Every address that packets are tunnelled to in this cluster, and how many entries name it."""
    prefixes: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for key, value in table.items(MOST_ENTRIES):
        if key[7] != IPV4 or value[23] & (HAS_TUNNEL | IS_REMOTE_CLUSTER) != HAS_TUNNEL:
            continue
        end = socket.inet_ntoa(value[4:8])
        counts[end] += 1
        if len(prefixes[end]) < EXAMPLES:
            length = struct.unpack_from("=I", key)[0] - (ADDRESS_BITS - 32)
            prefixes[end].append(f"{socket.inet_ntoa(key[8:12])}/{length}")
    return tuple(CiliumTunnelEnd(ip=ip, entries=counts[ip], prefixes=tuple(prefixes[ip])) for ip in sorted(counts))


def endpoints(table: PinnedMap) -> tuple[CiliumEndpoint, ...]:
    """The node's own pods, as the programs know them."""
    return tuple(_endpoint(key, value) for key, value in table.items(MOST_ENTRIES) if key[16] == IPV4)


def _endpoint(key: bytes, value: bytes) -> CiliumEndpoint:
    ifindex, number, flags = struct.unpack_from("=I2xHI", value)
    return CiliumEndpoint(
        ip=socket.inet_ntoa(key[:4]),
        id=number,
        ifindex=ifindex,
        is_host=bool(flags & IS_HOST),
        mac=value[16:22].hex(":"),
    )


# Services


def read_services(
    services: Sequence[ServicePort], frontends: PinnedMap, backends: PinnedMap
) -> tuple[CiliumService, ...]:
    """Each Service port as the programs know it."""
    return tuple(_service(each, frontends, backends) for each in services if ":" not in each.ip)


def frontend_key(ip: str, port: int, slot: int, protocol: int) -> bytes:
    """Slot 0 is the Service itself, the others its backends."""
    return socket.inet_aton(ip) + struct.pack("!H", port) + struct.pack("=HBB2x", slot, protocol, 0)


def _service(service: ServicePort, frontends: PinnedMap, backends: PinnedMap) -> CiliumService:
    plain = partial(CiliumService, name=service.name, ip=service.ip, port=service.port, protocol=service.protocol)
    for protocol in (PROTOCOLS[service.protocol], 0):  # 0: any, before Services were distinguished by protocol
        value = frontends.lookup(frontend_key(service.ip, service.port, 0, protocol))
        if value is None:
            continue
        count = struct.unpack_from("=H", value, 4)[0]
        slots = range(1, min(count, MOST_BACKENDS) + 1)
        found = (_backend(service, slot, protocol, frontends, backends) for slot in slots)
        return plain(is_known=True, count=count, backends=tuple(each for each in found if each))
    return plain()


def _backend(service: ServicePort, slot: int, protocol: int, frontends: PinnedMap, backends: PinnedMap) -> str:
    """The backend as "ip:port", with its state where that is not active; "" when the slot leads nowhere."""
    value = frontends.lookup(frontend_key(service.ip, service.port, slot, protocol))
    backend = backends.lookup(value[:4]) if value else None
    if backend is None:
        return ""
    state = STATES.get(backend[7], str(backend[7]))
    address = f"{socket.inet_ntoa(backend[:4])}:{struct.unpack_from('!H', backend, 4)[0]}"
    return address if state == "active" else f"{address} {state}"


# Programs


def _read_programs(root: Path) -> Iterator[BpfProgram]:
    """Those that Cilium pinned a link of: on devices, on pods' links, on the node's cgroup."""
    for device in _names(root / "devices"):
        yield from _programs_in(root / "devices" / device / "links", device)
    for number in _names(root / "endpoints"):
        yield from _programs_in(root / "endpoints" / number / "links", f"endpoint {number}")
    yield from _programs_in(root / "socketlb/links/cgroup", "cgroup")


def _programs_in(directory: Path, place: str) -> Iterator[BpfProgram]:
    for name in _names(directory):
        link = pinned_link(str(directory / name))
        if link is not None:
            yield BpfProgram(name=name, place=place, is_attached=link.target != 0)


def _names(directory: Path) -> Sequence[str]:
    try:
        return sorted(each.name for each in directory.iterdir())
    except OSError:
        return ()
