"""Holds network namespaces open: one child for each, with small servers in it, until stdin ends.

Run as a program: `holder.py SPEC`. SPEC is JSON: {"rootless": bool, "members": [{"tcp": [port], "full": [port],
"udp": [port], "terse": [port], "tcp6": [port], "udp6": [port], "silent": [port], "deaf": [port], "dns": bool}]}.
Prints one line: the children's process ids. All end with the process that holds the other end of stdin, however that
ends.
"""

import contextlib
import ctypes
import json
import os
import selectors
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def unshare(kind: int) -> None:
    if libc.unshare(kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become_root_of_own_users() -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def main() -> None:
    spec: dict[str, Any] = json.loads(sys.argv[1])
    if spec["rootless"]:
        become_root_of_own_users()
    pids: list[int] = []
    for member in spec["members"]:
        ready, signal_to = os.pipe()
        pid = os.fork()
        if pid == 0:
            hold(member, signal_to)
            os._exit(0)
        os.close(signal_to)
        if os.read(ready, 1) != b"+":
            raise SystemExit("a namespace could not be made")
        os.close(ready)
        pids.append(pid)
    print(*pids, flush=True)
    sys.stdin.buffer.read()
    for pid in pids:
        os.waitpid(pid, 0)


def hold(member: dict[str, Any], signal_to: int) -> None:  # noqa: C901
    unshare(CLONE_NEWNET)
    selector = selectors.DefaultSelector()
    kept: list[Any] = []

    def serve(
        kind: socket.SocketKind,
        port: int,
        handle: Callable[[socket.socket], None],
        backlog: int = 128,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> None:
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(backlog)
        selector.register(sock, selectors.EVENT_READ, handle)

    def accept(sock: socket.socket) -> None:
        kept.append(sock.accept()[0])

    def accept_dns(sock: socket.socket) -> None:
        connection, _ = sock.accept()
        kept.append(connection)
        selector.register(connection, selectors.EVENT_READ, answer_dns_stream)

    def answer_dns_stream(connection: socket.socket) -> None:
        data = connection.recv(4096)
        if len(data) < 2:
            selector.unregister(connection)
            return
        reply = dns_reply(data[2:])
        connection.send(len(reply).to_bytes(2, "big") + reply)

    for port in member.get("tcp", []):
        serve(socket.SOCK_STREAM, port, accept)
    for port in member.get("full", []):  # Listens, and never accepts.
        serve(socket.SOCK_STREAM, port, lambda _: None, 0)
        kept.append(list(selector.get_map().values())[-1].fileobj)
        selector.unregister(kept[-1])
    for port in member.get("udp", []):
        serve(socket.SOCK_DGRAM, port, echo)
    for port in member.get("terse", []):
        serve(socket.SOCK_DGRAM, port, answer_ok)
    for port in member.get("tcp6", []):
        serve(socket.SOCK_STREAM, port, accept, family=socket.AF_INET6)
    for port in member.get("udp6", []):
        serve(socket.SOCK_DGRAM, port, echo, family=socket.AF_INET6)
    for port in member.get("silent", []):
        serve(socket.SOCK_DGRAM, port, swallow)
    for port in member.get("deaf", []):  # Reads nothing, and has hardly any room.
        serve(socket.SOCK_DGRAM, port, swallow)
        kept.append(list(selector.get_map().values())[-1].fileobj)
        kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        selector.unregister(kept[-1])
    if member.get("dns"):
        serve(socket.SOCK_DGRAM, 53, echo_dns)
        serve(socket.SOCK_STREAM, 53, accept_dns)
    os.write(signal_to, b"+")
    selector.register(0, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            with contextlib.suppress(OSError):
                key.data(key.fileobj)


def swallow(sock: socket.socket) -> None:
    sock.recv(4096)


def echo(sock: socket.socket) -> None:
    data, address = sock.recvfrom(4096)
    sock.sendto(data, address)


def answer_ok(sock: socket.socket) -> None:
    _, address = sock.recvfrom(4096)
    sock.sendto(b"ok", address)


def echo_dns(sock: socket.socket) -> None:
    data, address = sock.recvfrom(4096)
    sock.sendto(dns_reply(data), address)


def dns_reply(query: bytes) -> bytes:
    """10.42.9.9 for names with "yes" in them, SERVFAIL for "broken", NXDOMAIN for the rest."""
    question = query[12:]
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + bytes([10, 42, 9, 9]) if b"yes" in question else b""
    rcode = 0 if answer else 2 if b"broken" in question else 3
    return query[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, 1 if answer else 0, 0, 0) + question + answer


if __name__ == "__main__":
    main()
