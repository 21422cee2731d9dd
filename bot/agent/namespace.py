"""One network namespace as it stands: everything that is read synchronously, in one visit."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from bot.agent.counters import POD_COUNTERS, growth, read_counters
from bot.agent.links import LinkRecord, read_links, with_growth
from bot.agent.listeners import read_listeners
from bot.agent.netlink import NetlinkSocket
from bot.agent.report import Missing, Neighbour, NetnsState
from bot.agent.rtnetlink import read_addresses, read_fdb, read_neighbours, read_routes, read_rules
from bot.agent.sysctls import read_pod_sysctls, read_root_sysctls

LIST_LIMIT = 10_000
"""Entries of one kind: a node of a cluster of 5,000 nodes has a route, a neighbour and an FDB entry for each."""

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Reading:
    """A namespace's state and what is needed to go on with it."""

    state: NetnsState
    records: tuple[LinkRecord, ...]
    missing: list[Missing] = field(default_factory=list[Missing])

    @property
    def names(self) -> dict[int, str]:
        """Names of the devices by ifindex."""
        return {record.link.ifindex: record.link.name for record in self.records}


def read_namespace(netlink: NetlinkSocket, label: str, *, is_root: bool) -> Reading:
    """All that the thread's namespace shows. `label` prefixes what is missing.

    OSError only when not even its links can be read; everything else that fails is named in `missing`.
    """
    records = read_links(netlink)
    names = {record.link.ifindex: record.link.name for record in records}
    missing: list[Missing] = []

    def tried(what: str, values: Iterable[T]) -> tuple[T, ...]:
        return _bounded(values, f"{label}.{what}", missing)

    state = NetnsState(
        links=tuple(record.link for record in records),
        addresses=tried("addresses", read_addresses(netlink, names)),
        routes=tried("routes", read_routes(netlink, names)),
        rules=tried("rules", read_rules(netlink)),
        neighbours=tried("neighbours", read_neighbours(netlink, names)),
        fdb=tried("fdb", read_fdb(netlink, names)) if is_root else (),
        sysctls=read_root_sysctls(records) if is_root else read_pod_sysctls(records),
    )
    try:
        state = replace(state, counters=read_counters(None if is_root else POD_COUNTERS))
    except OSError as error:
        missing.append(Missing(what=f"{label}.counters", why=str(error)))
    try:
        state = replace(state, listeners=read_listeners())
    except OSError as error:
        missing.append(Missing(what=f"{label}.listeners", why=str(error)))
    return Reading(state=state, records=records, missing=missing)


def read_again(netlink: NetlinkSocket, reading: Reading, *, is_root: bool) -> NetnsState:
    """The state with what grew while the tests ran, and the neighbours that they made.

    Neighbours that stood before keep their state: a test of ours must not turn a FAILED into INCOMPLETE.
    """
    state = reading.state
    after = {record.link.ifindex: record.link for record in read_links(netlink)}
    counters_delta: dict[str, int] = {}
    with contextlib.suppress(OSError):
        counters_delta = growth(state.counters, read_counters(None if is_root else POD_COUNTERS))
    return replace(
        state,
        links=tuple(with_growth(link, after.get(link.ifindex)) for link in state.links),
        counters_delta=counters_delta,
        neighbours=_merged(state.neighbours, tuple(read_neighbours(netlink, reading.names))),
    )


def _merged(before: Sequence[Neighbour], after: Sequence[Neighbour]) -> tuple[Neighbour, ...]:
    known = {(entry.dev, entry.ip) for entry in before}
    return (*before, *(entry for entry in after if (entry.dev, entry.ip) not in known))[:LIST_LIMIT]


def _bounded(values: Iterable[T], what: str, missing: list[Missing]) -> tuple[T, ...]:
    try:
        found = tuple(islice(values, LIST_LIMIT + 1))
    except OSError as error:
        missing.append(Missing(what=what, why=str(error)))
        return ()
    if len(found) > LIST_LIMIT:
        missing.append(Missing(what=what, why=f"only the first {LIST_LIMIT} are here"))
        return found[:LIST_LIMIT]
    return found
