"""One network namespace as it stands: everything that is read synchronously, in one visit."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from bot.agent.attached import read_attached
from bot.agent.connections import lasting, read_connections
from bot.agent.counters import POD_COUNTERS, growth, read_counters
from bot.agent.ipsec import read_ipsec, read_ipsec_counters
from bot.agent.links import LinkRecord, read_links, with_growth
from bot.agent.listeners import read_listeners
from bot.agent.netlink import NetlinkSocket
from bot.agent.report import Connection, Filter, Missing, Neighbour, NetnsState
from bot.agent.rtnetlink import read_addresses, read_fdb, read_neighbours, read_routes, read_rules
from bot.agent.sysctls import read_pod_sysctls, read_root_sysctls
from bot.agent.traffic_control import filters_with_growth, queues_with_growth, read_filters, read_qdiscs

ROOT = "root"
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
    state = _with_traffic_control(netlink, state, names, label, missing)
    try:
        state = replace(state, ipsec=tuple(islice(read_ipsec(), LIST_LIMIT)))
    except OSError as error:
        missing.append(Missing(what=f"{label}.ipsec", why=str(error)))
    try:
        state = replace(state, counters=_counters(is_root=is_root))
    except OSError as error:
        missing.append(Missing(what=f"{label}.counters", why=str(error)))
    try:
        state = replace(state, listeners=read_listeners())
    except OSError as error:
        missing.append(Missing(what=f"{label}.listeners", why=str(error)))
    if not is_root:
        try:
            state = replace(state, connections=read_connections(listening_ports(state)))
        except OSError as error:
            missing.append(Missing(what=f"{label}.connections", why=str(error)))
    return Reading(state=state, records=records, missing=missing)


QUEUE_COUNTERS = ("TcpExt.ListenOverflows", "TcpExt.ListenDrops")


def queue_counters() -> dict[str, int] | None:
    """The counters of accept queues of the thread's namespace; None when they cannot be read."""
    try:
        return read_counters(QUEUE_COUNTERS)
    except OSError:
        return None


def read_again(netlink: NetlinkSocket, reading: Reading, *, is_root: bool) -> NetnsState:
    """The state with what grew while the tests ran, and the neighbours that they made.

    Neighbours that stood before keep their state: a test of ours must not turn a FAILED into INCOMPLETE.
    """
    state = reading.state
    after = {record.link.ifindex: record.link for record in read_links(netlink)}
    counters_delta: dict[str, int] = {}
    with contextlib.suppress(OSError):
        counters_delta = growth(state.counters, _counters(is_root=is_root))
    with contextlib.suppress(OSError):
        state = _with_taken_packets(netlink, state, reading.names)
    connections: tuple[Connection, ...] | None = None
    if state.connections is not None:
        with contextlib.suppress(OSError):
            connections = lasting(state.connections, read_connections(listening_ports(state)))
    return replace(
        state,
        connections=connections,
        links=tuple(with_growth(link, after.get(link.ifindex)) for link in state.links),
        counters_delta=counters_delta,
        neighbours=_merged(state.neighbours, tuple(read_neighbours(netlink, reading.names))),
    )


def _counters(*, is_root: bool) -> dict[str, int]:
    return read_counters(None if is_root else POD_COUNTERS) | read_ipsec_counters()


def _with_traffic_control(
    netlink: NetlinkSocket, state: NetnsState, names: dict[int, str], label: str, missing: list[Missing]
) -> NetnsState:
    """The state with its queues and filters. A kernel without traffic control has none: then they are not read."""
    try:
        qdiscs = tuple(islice(read_qdiscs(netlink, names), LIST_LIMIT))
        state = replace(state, qdiscs=qdiscs)
        filters = tuple(islice(read_filters(netlink, names, qdiscs), LIST_LIMIT))
    except OSError as error:
        missing.append(Missing(what=f"{label}.traffic_control", why=str(error)))
        return state
    return _with_programs(state, filters, missing, is_root=label == ROOT)


def _with_programs(
    state: NetnsState, filters: tuple[Filter, ...], missing: list[Missing], *, is_root: bool
) -> NetnsState:
    """The state with its filters and with the programs that hang on its devices otherwise."""
    programs: list[Filter] = []
    try:
        programs += islice(read_attached(state.links), LIST_LIMIT)
    except OSError as error:
        if is_root:  # what is refused here is refused for every pod, too: said once
            missing.append(Missing(what=f"{ROOT}.programs", why=str(error)))
        return replace(state, filters=(*filters, *programs), has_all_programs=False)
    return replace(state, filters=(*filters, *programs), has_all_programs=True)


def _with_taken_packets(netlink: NetlinkSocket, state: NetnsState, names: dict[int, str]) -> NetnsState:
    """What queues and filters took while the tests ran. Read again only where somebody wrote any."""
    written = [one for one in state.qdiscs or () if one.is_written]
    if not written:
        return state
    filters = (
        filters_with_growth(state.filters, read_filters(netlink, names, written)) if state.filters else state.filters
    )
    return replace(state, qdiscs=queues_with_growth(state.qdiscs or (), read_qdiscs(netlink, names)), filters=filters)


def listening_ports(state: NetnsState) -> frozenset[int]:
    """The TCP ports that are served there."""
    return frozenset(one.port for one in state.listeners or () if one.protocol == "tcp")


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
