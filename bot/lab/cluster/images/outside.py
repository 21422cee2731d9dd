"""The host outside the cluster: a web server on 80 and 443, a resolver on 53."""

from __future__ import annotations

import socket
import threading

from bot.lab.cluster.images import dns_wire
from bot.lab.cluster.images.registry import TOOLS, Container, Image
from bot.lab.cluster.images.serving import forever, serve_http, serve_tcp
from bot.lab.cluster.names import OUTSIDE_HOST


def answer(data: bytes) -> bytes:
    """The DNS outside of the cluster: ``example.com`` and its subdomains exist, nothing else does."""
    query = dns_wire.parse(data)
    if query.name != "example.com" and not query.name.endswith(".example.com"):
        return dns_wire.reply(query, rcode=dns_wire.NXDOMAIN)
    return dns_wire.reply(query, addresses=[OUTSIDE_HOST] if query.kind == "A" else [], ttl_s=300)


def _resolver_udp() -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 53))
    while True:
        data, peer = server.recvfrom(4096)
        server.sendto(answer(data), peer)


def _resolver_tcp() -> None:
    server = socket.create_server(("0.0.0.0", 53))
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            size = int.from_bytes(connection.recv(2), "big")
            reply = answer(connection.recv(size))
            connection.sendall(len(reply).to_bytes(2, "big") + reply)


def _serve_names(_: Container) -> None:
    serve_http(80, {"*": lambda: (200, "outside\n")})
    serve_tcp(443)
    threading.Thread(target=_resolver_udp, daemon=True).start()
    threading.Thread(target=_resolver_tcp, daemon=True).start()
    forever()


IMAGES = (Image(name="lab.invalid/outside", main=_serve_names, programs=TOOLS),)
