"""The packet filters of a namespace: what there is is asked of the kernel, and only that is read with tools.

So a pod without any rule costs no process, and no tool loads a table that was not there.
"""

import asyncio
import errno
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field

from bot.agent.counters import NET
from bot.agent.files import read_text
from bot.agent.iptables_save import parse_iptables_save
from bot.agent.netlink import NETLINK_NETFILTER, NetlinkSocket, attributes, text
from bot.agent.netns import Home
from bot.agent.nft_json import NftError, parse_nft
from bot.agent.report import Missing
from bot.agent.rules import RuleSet
from bot.agent.tools import ToolError, find_tool, run_tool

NFT_MSG_GETTABLE = 10 << 8 | 1
NFTA_TABLE_NAME = 1
NFGENMSG = struct.Struct("!BBH")
NFT_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NO_NFTABLES = frozenset({errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
IPTABLES_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
TOOL_LIMIT_S = 1.5

LEGACY = (
    ("ip_tables_names", "ip", ("iptables-legacy-save", "iptables-save")),
    ("ip6_tables_names", "ip6", ("ip6tables-legacy-save", "ip6tables-save")),
    ("arp_tables_names", "arp", ("arptables-legacy-save", "arptables-save")),
)
IPTABLES_NFT = (
    ("ip", ("iptables-nft-save", "iptables-save")),
    ("ip6", ("ip6tables-nft-save", "ip6tables-save")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What packet filters a namespace has, by the kernel's word."""

    nft: tuple[tuple[str, str], ...] = ()
    """(family, table)."""
    legacy: tuple[str, ...] = ()
    """Families with iptables-legacy (arptables-legacy) tables."""
    missing: tuple[Missing, ...] = ()

    @property
    def is_empty(self) -> bool:
        """No packet filter at all."""
        return not (self.nft or self.legacy or self.missing)


@dataclass(slots=True, kw_only=True)
class RawRules:
    """What the tools printed; parsed later, when no test is waiting for the processor."""

    nft: bytes | None = None
    saves: list[tuple[str, str, bytes]] = field(default_factory=list[tuple[str, str, bytes]])
    """(backend, family, text)."""
    missing: list[Missing] = field(default_factory=list[Missing])
    took_s: float = 0.0


def find_tables(label: str) -> Present:
    """The tables of the namespace that the thread is in. No process is started."""
    missing: list[Missing] = []
    nft: tuple[tuple[str, str], ...] = ()
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            nft = tuple(_nft_tables(netlink))
    except OSError as error:
        if error.errno not in NO_NFTABLES:
            missing.append(Missing(what=f"{label}.firewall.nft", why=str(error)))
    legacy: list[str] = []
    for name, family, _ in LEGACY:
        with suppress(FileNotFoundError):
            try:
                if read_text(f"{NET}/{name}").strip():
                    legacy.append(family)
            except PermissionError as error:
                missing.append(Missing(what=f"{label}.firewall.{family}-legacy", why=str(error)))
    return Present(nft=nft, legacy=tuple(legacy), missing=tuple(missing))


async def read_rules(home: Home, netns_fd: int, present: Present, label: str, threads: Executor) -> RawRules:
    """What the tools print about the tables that are there, all tools side by side."""
    raw = RawRules(missing=list(present.missing))
    began = time.monotonic()

    async def read(what: str, names: Sequence[str], *arguments: str) -> bytes | None:
        try:
            return await run_tool(home, netns_fd, (find_tool(*names), *arguments), TOOL_LIMIT_S, threads)
        except (ToolError, OSError) as error:
            raw.missing.append(Missing(what=f"{label}.firewall.{what}", why=str(error)))
            return None

    async def read_nft() -> None:
        raw.nft = await read("nft", ["nft"], "-j", "list", "ruleset")

    async def read_save(backend: str, family: str, names: Sequence[str]) -> None:
        arguments = () if family == "arp" else ("-c",)
        if (output := await read(f"{backend}.{family}", names, *arguments)) is not None:
            raw.saves.append((backend, family, output))

    async with asyncio.TaskGroup() as group:
        if present.nft:
            group.create_task(read_nft())
        for backend, family, names in _saves(present):
            group.create_task(read_save(backend, family, names))
    raw.took_s = time.monotonic() - began
    return raw


def parse_rules(raw: RawRules, label: str, *, with_steps: bool) -> RuleSet:
    """All backends' rules together; what could not be parsed is added to `raw.missing`."""
    found = RuleSet()
    skip: set[tuple[str, str]] = set()
    for backend, family, output in raw.saves:
        kind = "iptables-nft" if backend == "iptables-nft" else "iptables-legacy"
        printed = output.decode("utf-8", "replace")
        found.merge(parse_iptables_save(printed, kind, family, with_steps=with_steps))
        if kind == "iptables-nft":
            skip |= {(family, line[1:]) for line in printed.splitlines() if line.startswith("*")}
    if raw.nft is not None:
        try:
            found.merge(parse_nft(raw.nft, skip, with_steps=with_steps))
        except NftError as error:
            raw.missing.append(Missing(what=f"{label}.firewall.nft", why=str(error)))
    return found


def _saves(present: Present) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(backend, family, tools' names) of the iptables tables that are there."""
    for family, names in IPTABLES_NFT:
        if any(one == family and table in IPTABLES_TABLES for one, table in present.nft):
            yield "iptables-nft", family, names
    for _, family, names in LEGACY:
        if family in present.legacy:
            yield "iptables-legacy", family, names


def _nft_tables(netlink: NetlinkSocket) -> Iterator[tuple[str, str]]:
    for _, body in netlink.dump(NFT_MSG_GETTABLE, NFGENMSG.pack(0, 0, 0)):
        family = NFT_FAMILIES.get(body[0], str(body[0]))
        yield family, text(attributes(body, NFGENMSG.size).get(NFTA_TABLE_NAME))
