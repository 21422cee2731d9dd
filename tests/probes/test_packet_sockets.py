"""Sockets of the target that have no room for probe packets: named by what counts and by what shows, or not at all."""

from typing import Any

import pytest

from bot.agent.report import Listener
from bot.agent.traced import CounterMove, Refusals
from tests.probes.traced import A, N, Traced, arrived

OVERFLOWS, DROPS, NO_BUFFER = "TcpExt.ListenOverflows", "TcpExt.ListenDrops", "Udp.RcvbufErrors"
FULL, EMPTY = {"backlog": 4, "queued": 5}, {"backlog": 4, "queued": 0}


def listening(**queues: dict[str, int]) -> dict[str, Any]:
    """Listeners by port: p80=FULL."""
    ports = ((int(name.removeprefix("p")), queue) for name, queue in queues.items())
    return {"listeners": tuple(Listener(protocol="tcp", ip="0.0.0.0", port=port, **queue) for port, queue in ports)}


def counted(name: str, count: int, netns: str = "uid-c") -> dict[str, Any]:
    return {"refusals": (Refusals(netns=netns, name=name, count=count),)}


def exactly(name: str) -> dict[str, Any]:
    return {"counters": (CounterMove(flow=1, netns="uid-c", name=name),), "refusals": ()}


QUEUE = "the full queue of port 80 of shop/c"


@pytest.mark.parametrize(
    ("traced", "state", "culprit"),
    [
        (counted(OVERFLOWS, 3 * N), {"listeners": None}, QUEUE),
        (counted(OVERFLOWS, N - 1), listening(p80=FULL), f"{QUEUE} (backlog 4)"),
        (counted(OVERFLOWS, N), listening(p80=EMPTY), QUEUE),
        ({}, listening(p80=FULL), f"{QUEUE} (backlog 4)"),
        (counted(OVERFLOWS, 3), listening(p80=FULL), ""),
        (counted(OVERFLOWS, 3 * N, netns="node"), listening(p80=EMPTY), ""),
        (counted(OVERFLOWS, 3 * N), listening(p80=EMPTY, p81=FULL), ""),
        (counted(OVERFLOWS, 3 * N), listening(p81=FULL), ""),
        ({"refusals": ()}, listening(p80=FULL), ""),
        (exactly(OVERFLOWS), listening(p80=EMPTY), QUEUE),
        (exactly(DROPS), listening(p80=EMPTY), ""),
    ],
    ids=[
        "others are turned away, too",
        "one came before it was full",
        "it was not full before",
        "an older agent counts less",
        "turned away too few",
        "of another namespace",
        "another socket is full",
        "a socket that does not listen there",
        "turned nobody away meanwhile",
        "just as many",
        "connections that found no way back count as well",
    ],
)
def test_a_full_queue_of_connections(traced: dict[str, Any], state: dict[str, Any], culprit: str) -> None:
    series = arrived(Traced())
    series.fields["node-2"] = traced
    series.cluster.inside(series.c, **state)

    assert series.fate().culprit == culprit


def test_a_full_queue_behind_a_node_that_passes_packets_on_is_nobodys() -> None:
    series = Traced().saw("node-1", "a:eth0>", "cali1<")
    series.fields["node-1"] = counted(OVERFLOWS, N, netns="node")
    series.cluster.root("node-1", **listening(p80=FULL))

    assert "queue" not in series.fate().culprit


@pytest.mark.parametrize(("instrument", "is_named"), [("none", True), ("bpf", False)])
def test_a_full_buffer_where_the_kernel_cannot_tell_drops(instrument: str, is_named: bool) -> None:  # noqa: FBT001
    """Where it can, and tells none, the counter is others' doing."""
    series = arrived(Traced("udp"))
    series.fields["node-2"] = {"instrument": instrument} | counted(NO_BUFFER, 2 * N)

    assert series.fate().culprit == ("the full receive buffer of UDP port 80 of shop/c" if is_named else "")


def test_a_full_buffer_by_the_kernel_s_word() -> None:
    series = arrived(Traced("udp")).died("node-2", "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", "eth0", netns="uid-c")

    fate = series.fate()

    assert (fate.hop, fate.culprit) == ("application", "the full receive buffer of UDP port 80 of shop/c")


def test_a_senders_buffer_has_no_port_that_is_known() -> None:
    series = arrived(Traced("udp"))
    series.died("node-1", "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", "eth0", netns="uid-a", leg="reply", dst=A)

    assert series.fate().culprit == ""
