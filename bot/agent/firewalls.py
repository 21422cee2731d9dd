"""The packet filters of a namespace: what there is is asked of the kernel, and only that is read with tools.

So a pod without any rule costs no process, and no tool loads a table that was not there.
"""

import errno
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bot.agent.counters import NET
from bot.agent.files import read_text
from bot.agent.iptables_save import Backend, parse_iptables_save, saved_chains
from bot.agent.netlink import NETLINK_NETFILTER, NetlinkSocket, attributes, nested, text
from bot.agent.netns import Home
from bot.agent.nft_json import NftError, parse_nft
from bot.agent.report import Missing
from bot.agent.rules import RuleSet
from bot.agent.tools import ToolError, find_tool, run_tool
from bot.aio.groups import TaskGroup

NFT_MSG_GETTABLE = 10 << 8 | 1
NFT_MSG_GETCHAIN = 10 << 8 | 4
NFTA_TABLE_NAME = 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK = 1, 3, 4
NFTA_HOOK_DEV, NFTA_HOOK_DEVS = 3, 4
NFGENMSG = struct.Struct("!BBH")
NFT_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NO_NFTABLES = frozenset({errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
IPTABLES_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
IPTABLES_CHAINS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
TOOL_LIMIT_S = 3.0
TABLES_LIMIT = 16

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
    beside_iptables: frozenset[tuple[str, str]] = frozenset()
    """Tables that bear a name of iptables' and have a hook's chain that iptables does not know: its tool hides that."""
    devices: Mapping[tuple[str, str, str], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, str, str], tuple[str, ...]]
    )
    """Of chains that hang on devices, by family, table and chain: which; older nft does not print it as JSON."""
    legacy: tuple[str, ...] = ()
    """Families with iptables-legacy (arptables-legacy) tables."""
    missing: tuple[Missing, ...] = ()

    @property
    def others(self) -> list[tuple[str, str]]:
        """Tables that iptables did not write."""
        families = {family for family, _ in IPTABLES_NFT}
        return sorted(one for one in self.nft if one[0] not in families or one[1] not in IPTABLES_TABLES)

    @property
    def is_empty(self) -> bool:
        """No packet filter at all."""
        return not (self.nft or self.legacy or self.missing)


@dataclass(slots=True, kw_only=True)
class RawRules:
    """What the tools printed; parsed later, when no test is waiting for the processor."""

    nft: list[bytes] = field(default_factory=list[bytes])
    saves: list[tuple[Backend, str, bytes]] = field(default_factory=list[tuple[Backend, str, bytes]])
    """(backend, family, text)."""
    missing: list[Missing] = field(default_factory=list[Missing])
    took_s: float = 0.0


def find_tables(label: str) -> Present:
    """The tables of the namespace that the thread is in. No process is started."""
    missing: list[Missing] = []
    nft: tuple[tuple[str, str], ...] = ()
    devices: Mapping[tuple[str, str, str], tuple[str, ...]] = {}
    beside: frozenset[tuple[str, str]] = frozenset()
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            nft = tuple(_nft_tables(netlink))
            chains = list(_nft_base_chains(netlink)) if nft else []
            devices = {(family, table, chain): on for family, table, chain, on in chains if on}
            beside = frozenset((family, table) for family, table, chain, _ in chains if chain not in IPTABLES_CHAINS)
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
    return Present(nft=nft, beside_iptables=beside, devices=devices, legacy=tuple(legacy), missing=tuple(missing))


class RulesReader:
    """Runs the tools that print the tables that are there, all side by side.

    Tables that iptables wrote are read with iptables-save, which is twice as fast as nft's JSON and knows the words
    of all its extensions; the others (and those that iptables-save is not there for, or leaves out) with nft.
    """

    def __init__(self, home: Home, netns_fd: int, present: Present, label: str, threads: Executor) -> None:
        self._home = home
        self._netns_fd = netns_fd
        self._present = present
        self._label = label
        self._threads = threads
        self._raw = RawRules()

    async def read(self) -> RawRules:
        """What they print, and what could not be read. Never raises for a tool's failure."""
        self._raw = RawRules(missing=list(self._present.missing))
        began = time.monotonic()
        others = self._present.others
        async with TaskGroup() as group:
            for backend, family, names in _saves(self._present):
                group.create_task(self._save(backend, family, names))
            for family, table in others[:TABLES_LIMIT]:
                group.create_task(self._list(family, table))
        if len(others) > TABLES_LIMIT:
            self._miss("nft", f"only the first {TABLES_LIMIT} tables were read")
        self._raw.took_s = time.monotonic() - began
        return self._raw

    async def _save(self, backend: Backend, family: str, names: Sequence[str]) -> None:
        arguments = () if family == "arp" else ("-c",)
        output = await self._run(f"{backend}.{family}", names, *arguments)
        if output is not None:
            self._raw.saves.append((backend, family, output))
        if backend == "iptables-nft":
            for table in sorted(table for one, table in self._present.nft if one == family):
                is_hidden = (family, table) in self._present.beside_iptables
                if table in IPTABLES_TABLES and (output is None or is_hidden or _is_left_out(table, output)):
                    await self._list(family, table)

    async def _list(self, family: str, table: str) -> None:
        if (output := await self._run("nft", ["nft"], "-j", "list", "table", family, table)) is not None:
            self._raw.nft.append(output)

    async def _run(self, what: str, names: Sequence[str], *arguments: str) -> bytes | None:
        try:
            command = (find_tool(*names), *arguments)
            return await run_tool(self._home, self._netns_fd, command, TOOL_LIMIT_S, self._threads)
        except (ToolError, OSError) as error:
            self._miss(what, str(error))
            return None

    def _miss(self, what: str, why: str) -> None:
        self._raw.missing.append(Missing(what=f"{self._label}.firewall.{what}", why=why))


def parse_rules(raw: RawRules, label: str, present: Present, *, with_steps: bool) -> RuleSet:
    """All backends' rules together; what could not be parsed is added to `raw.missing`."""
    found = RuleSet()
    for backend, family, output in raw.saves:
        found.merge(parse_iptables_save(output.decode("utf-8", "replace"), backend, family, with_steps=with_steps))
    # What iptables-save prints of a table it knows better than nft; beside it only the other chains count.
    by_nft = [(family, output) for backend, family, output in raw.saves if backend == "iptables-nft"]
    saved = {(family, *at) for family, output in by_nft for at in saved_chains(output)}
    for output in raw.nft:
        try:
            found.merge(parse_nft(output, with_steps=with_steps).beside(saved))
        except NftError as error:
            raw.missing.append(Missing(what=f"{label}.firewall.nft", why=str(error)))
    found.chains = [
        replace(chain, devices=present.devices.get((chain.family, chain.table, chain.chain), chain.devices))
        for chain in found.chains
    ]
    return found


def _is_left_out(table: str, output: bytes) -> bool:
    """Whether iptables-save does not print this table: nft wrote into it what iptables has no words for."""
    return f"\n*{table}\n".encode() not in b"\n" + output


def _saves(present: Present) -> Iterator[tuple[Backend, str, Sequence[str]]]:
    """(backend, family, tools' names) of the iptables tables that are there."""
    for family, names in IPTABLES_NFT:
        if any(one == family and table in IPTABLES_TABLES for one, table in present.nft):
            yield "iptables-nft", family, names
    for _, family, names in LEGACY:
        if family in present.legacy:
            yield "iptables-legacy", family, names


def _nft_base_chains(netlink: NetlinkSocket) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """(family, table, chain, devices) of each chain of a hook; devices only of those that hang on some."""
    for _, body in netlink.dump(NFT_MSG_GETCHAIN, NFGENMSG.pack(0, 0, 0)):
        found = attributes(body, NFGENMSG.size)
        if NFTA_CHAIN_HOOK not in found:
            continue
        hook = attributes(found[NFTA_CHAIN_HOOK])
        names = [hook.get(NFTA_HOOK_DEV, b""), *nested(hook.get(NFTA_HOOK_DEVS, b""))]
        devices = tuple(dict.fromkeys(name for name in map(text, names) if name))
        family = NFT_FAMILIES.get(body[0], str(body[0]))
        yield family, text(found.get(NFTA_CHAIN_TABLE)), text(found.get(NFTA_CHAIN_NAME)), devices


def _nft_tables(netlink: NetlinkSocket) -> Iterator[tuple[str, str]]:
    for _, body in netlink.dump(NFT_MSG_GETTABLE, NFGENMSG.pack(0, 0, 0)):
        family = NFT_FAMILIES.get(body[0], str(body[0]))
        yield family, text(attributes(body, NFGENMSG.size).get(NFTA_TABLE_NAME))
