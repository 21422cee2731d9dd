"""resolv.conf: that of a pod, and that of the node."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.agent.files import read_foreign_text
from bot.agent.sources import is_ipv4

RESOLV_LIMIT = 8
NODE_FILES = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf")
"""The second where the first names nobody but systemd's stub on the node itself."""
RESOLVERS = 2
OPTIONS_LIMIT = 10


def parse_resolv_conf(text: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """(nameservers, search domains, ndots) as the resolver reads them: the last search line counts."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                nameservers.append(address[:64])
            case ["search" | "domain", *names]:
                search = tuple(name[:255] for name in names[:RESOLV_LIMIT])
            case ["options", *options]:
                ndots = next(_ndots(options), ndots)
            case _:
                pass
    return tuple(nameservers[:RESOLV_LIMIT]), search, ndots


def resolver_options(text: str) -> tuple[str, ...]:
    """The options of a resolv.conf as they stand, bounded."""
    found = [word[:40] for line in text.splitlines() for word in line.split()[1:] if line.split()[0] == "options"]
    return tuple(found[:OPTIONS_LIMIT])


def _ndots(options: Sequence[str]) -> Iterator[int]:
    for option in options:
        name, _, number = option.partition(":")
        if name == "ndots" and number.isascii() and number.isdecimal() and len(number) < 4:
            yield int(number)


def read_node_resolver(root: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(nameservers, search domains) that the node's own processes use; empty where no file could be read."""
    for name in NODE_FILES:
        try:
            nameservers, search, _ = parse_resolv_conf(read_foreign_text(str(Path(root) / name)))
        except OSError:
            continue
        return nameservers, search
    return (), ()


def read_resolvers(root: str) -> tuple[str, ...]:
    """The first IPv4 nameservers of the node that are not the node itself; empty where there are none."""
    for name in NODE_FILES:
        try:
            nameservers, _, _ = parse_resolv_conf(read_foreign_text(str(Path(root) / name)))
        except OSError:
            continue
        others = tuple(one for one in nameservers if is_ipv4(one) and not one.startswith("127."))
        if others:
            return others[:RESOLVERS]
    return ()
