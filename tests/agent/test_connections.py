"""Whom a namespace dials: not whom it serves, and nothing that is gone a moment later."""

import os
import socket
import subprocess
import sys

import pytest

from bot.agent.connections import lasting, parse_proc_table, read_connections
from bot.agent.discovery import sockets_of
from bot.agent.report import Connection

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0A002A0A:9C40 0500FA0A:1538 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0A002A0A:9C42 0700FA0A:0050 02 00000001:00000000 01:000000A0 00000003     0        0 3
   3: 0A002A0A:1F90 0900FA0A:9C44 01 00000000:00000000 00:00000000 00000000     0        0 4
   4: 0A002A0A:9C46 0700FA0A:0050 06 00000000:00000000 03:000000A0 00000000     0        0 5
   5: 0100007F:9C48 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 6
 bad row
"""


def test_rows_of_proc_that_were_dialled_from_here():
    assert list(parse_proc_table(TABLE, {0x1F90})) == [
        Connection(ip="10.250.0.5", port=5432, state="established"),
        Connection(ip="10.250.0.7", port=80, state="syn-sent"),
    ]


def test_only_the_sockets_that_are_asked_for():
    assert [one.port for one in parse_proc_table(TABLE, set(), {3, 4})] == [80, 40004]


def test_the_sockets_of_processes_are_known_by_their_inodes():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        assert inode in sockets_of([gone.pid, os.getpid()])

    assert inode not in sockets_of([os.getpid()])
    with pytest.raises(OSError, match="fd"):
        sockets_of([gone.pid])


def test_the_kernel_is_asked_for_these_sockets_alone():
    with socket.socket() as made, socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        inode = os.fstat(made.fileno()).st_ino
        with socket.create_connection(server.getsockname()):
            made.setblocking(False)
            made.connect_ex(server.getsockname())  # the queue is full: it waits

            own = [one.state for one in read_connections(set(), {inode})]
            others = read_connections(set(), {inode + 1})

    assert own == ["syn-sent"]
    assert others == ()


def test_only_what_both_looks_show_is_kept():
    held = Connection(ip="10.0.0.1", port=80, state="established")
    tried = Connection(ip="10.0.0.2", port=80, state="syn-sent")

    assert lasting((held, tried), (held,)) == (held,)


def test_the_second_look_says_whether_a_connection_is_stalled():
    first = Connection(ip="10.0.0.1", port=80, state="established")
    later = Connection(ip="10.0.0.1", port=80, state="established", is_stalled=True)

    assert lasting((first,), (later,)) == (later,)


@pytest.mark.parametrize(
    ("timer", "again", "is_stalled"),
    [("01", 5, True), ("01", 1, False), ("02", 5, False)],
    ids=["sent again and again", "one packet lost", "a keepalive"],
)
def test_an_established_connection_whose_data_nobody_acknowledges(timer: str, again: int, is_stalled: bool):  # noqa: FBT001
    heading = TABLE.splitlines()[0]
    row = f"   1: 0A002A0A:9C40 0500FA0A:1538 01 00000104:00000000 {timer}:000000A0 {again:08X}     0        0 2"

    assert [each.is_stalled for each in parse_proc_table(f"{heading}\n{row}\n", set())] == [is_stalled]


def test_the_kernel_is_asked_without_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]

        assert all(one.port != port for one in read_connections(set()))
