"""Sockets of the target that take no more: a full queue of connections, a full receive buffer.

Of a SYN that finds the queue full the kernel tells no drop. It counts it, by namespace and not by socket, with those of
others; the socket itself shows that it is full.
"""

from bot.agent.report import Listener, NetnsState
from bot.agent.traced import NodeTrace, TraceFlow, split_address
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.traced import namespace_of
from bot.probes.packet_trace.way import Ends, Seen, is_arrival, owner_of

OF_A_FULL_QUEUE = frozenset({"TcpExt.ListenOverflows", "TcpExt.TCPReqQFullDrop"})
"""Not ListenDrops, which counts connections that found no way back, too."""
OF_A_FULL_BUFFER = frozenset({"Udp.RcvbufErrors"})


def socket_without_room(evidence: Evidence, flow: TraceFlow, ends: Ends, lost: int, last: Seen) -> str:
    """The target's socket that turned most of the packets away where they were seen last; "" for none."""
    one = last.sighting
    if one.leg != "request" or one.is_out or one.tunnel or not is_arrival(last, ends):
        return ""
    trace, port = evidence.traces[last.node], split_address(one.dst)[1] or str(flow.port)
    place, state = owner_of(evidence, last.node, one.netns), namespace_of(evidence, last.node, one.netns)
    if flow.protocol == "tcp":
        known = _listeners(state, "tcp")
        mine = [each for each in known or () if str(each.port) == port]
        is_full = any(map(_is_full, mine))
        if _turned_away(trace, flow, one.netns, OF_A_FULL_QUEUE, lost, unknown=is_full) and (
            is_full or not _is_anothers(known, mine)
        ):
            return f"the full queue of port {port} of {place}{_backlog(mine)}"
    # Of a buffer the kernel tells each drop, if anybody hears it.
    is_counted = _turned_away(trace, flow, one.netns, OF_A_FULL_BUFFER, lost, unknown=False)
    if flow.protocol == "udp" and trace.instrument == "none" and is_counted:
        return full_buffer(port, place)
    return ""


def full_buffer(port: str, place: str) -> str:
    """In words."""
    return f"the full receive buffer of UDP port {port} of {place}"


def is_answered_by_kernel(state: NetnsState, port: str) -> bool:
    """Whether a SYN to this port gets its answer without any process: somebody listens, and the queue has room."""
    mine = [one for one in _listeners(state, "tcp") or () if str(one.port) == port]
    return bool(mine) and not any(map(_is_full, mine))


def _turned_away(
    trace: NodeTrace, flow: TraceFlow, netns: str, names: frozenset[str], lost: int, *, unknown: bool
) -> bool:
    """Whether these counters grew by most of what was lost. `unknown`: the answer where nobody counted."""
    if any(one.name in names and (one.netns, one.flow) == (netns, flow.number) for one in trace.counters):
        return True
    if trace.refusals is None:
        return unknown
    return any(one.name in names and one.netns == netns and one.count * 2 >= lost for one in trace.refusals)


def _is_anothers(known: list[Listener] | None, mine: list[Listener]) -> bool:
    """Whether it is another socket's queue that is full, or nobody listens on that port."""
    return known is not None and (not mine or any(_is_full(one) for one in known))


def _listeners(state: NetnsState | None, protocol: str) -> list[Listener] | None:
    """None where they were not read."""
    if state is None or state.listeners is None:
        return None
    return [one for one in state.listeners if one.protocol == protocol]


def _is_full(one: Listener) -> bool:
    """The kernel takes one more than the backlog."""
    return one.queued is not None and one.backlog is not None and one.queued > one.backlog


def _backlog(mine: list[Listener]) -> str:
    known = {one.backlog for one in mine if _is_full(one)}
    return f" (backlog {known.pop()})" if len(known) == 1 else ""
