"""Does a namespace reach itself? Connections inside it, to the ports on which it listens.

What a pod sends to 127.0.0.1, to ::1 or to its own address passes the device lo. With lo down, without the address, or
behind a rule that drops there, such connections fail, while everything else of the pod is well. Measured on Linux 6.18:
of IPv4 the kernel says nothing and the connection waits; without a route to ::1 it says ENETUNREACH at once.
"""

from collections.abc import Iterator
from itertools import islice

from bot.agent.attempts import tcp_connect
from bot.agent.connections import is_loopback
from bot.agent.report import Listener, NetnsState, SelfTest
from bot.agent.sources import Source
from bot.agent.waiting import Patience
from bot.aio.groups import TaskGroup

LIMIT = 16
"""Connections inside one pod."""


async def try_itself(source: Source, state: NetnsState, patience_s: float) -> tuple[SelfTest, ...] | None:
    """Each once, all at the same time; None where it is not known who listens."""
    if state.listeners is None:
        return None
    ends = list(islice(dict.fromkeys(_ends(source.ip, state.listeners)), LIMIT))
    patience = Patience(first_s=patience_s, more_s=patience_s, is_unresolved=lambda: False)
    async with TaskGroup() as group:
        tries = [group.create_task(tcp_connect(source.make_socket, ip, port, patience)) for ip, port in ends]
    return tuple(
        SelfTest(ip=ip, port=port, outcome=one.result().outcome, icmp=one.result().icmp)
        for (ip, port), one in zip(ends, tries, strict=True)
    )


def _ends(own_ip: str, listeners: tuple[Listener, ...]) -> Iterator[tuple[str, int]]:
    """Those that only the pod itself can dial first. A full accept queue drops SYNs: nothing is learnt there."""
    for listener in sorted(listeners, key=lambda one: not is_loopback(_plain(one.ip))):
        if listener.protocol != "tcp" or _is_full(listener):
            continue
        match _plain(listener.ip):
            case "0.0.0.0" | "::" as every:
                ways = ("127.0.0.1", own_ip, *(("::1",) if every == "::" else ()))
                yield from ((ip, listener.port) for ip in ways if ip)
            case ip if is_loopback(ip) or ip == own_ip:
                yield ip, listener.port
            case _:
                pass


def _plain(ip: str) -> str:
    return ip.removeprefix("::ffff:")


def _is_full(listener: Listener) -> bool:
    return listener.queued is not None and listener.backlog is not None and listener.queued > listener.backlog
