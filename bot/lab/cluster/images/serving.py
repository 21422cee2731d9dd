"""Small servers and clients that the images share, with errors worded as Go words them.

Source: https://pkg.go.dev/net#OpError (``dial tcp 10.43.51.131:9004: i/o timeout``)
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, TypeAlias

_EAGER_S: Final = 0.2
Reply: TypeAlias = tuple[int, str]
Route: TypeAlias = Callable[[], Reply]

_GO_WORDS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.EINVAL: "invalid argument",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ECONNRESET: "connection reset by peer",
}


def now() -> str:
    """The time as Go programs log it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017 - datetime.UTC is the same


def go_error(host: str, port: int, error: OSError) -> str:
    """``dial tcp HOST:PORT: connect: connection refused`` and its siblings."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return f"dial tcp {host}:{port}: i/o timeout"
    words = _GO_WORDS.get(error.errno or 0, (error.strerror or str(error)).lower())
    return f"dial tcp {host}:{port}: connect: {words}"


def go_lookup_error(name: str, error: socket.gaierror, server: str = "10.43.0.10") -> str:
    """A failed name lookup; EAI_AGAIN is all that the C library says of an unreachable server."""
    if error.errno == socket.EAI_AGAIN:
        return f"dial tcp: lookup {name} on {server}:53: i/o timeout"
    return f"dial tcp: lookup {name} on {server}:53: no such host"


def dial(host: str, port: int, timeout_s: float) -> None:
    """Connect and close; raises OSError."""
    with socket.create_connection((host, port), timeout=timeout_s):
        pass


def resolve(name: str) -> str:
    """The first IPv4 address; raises socket.gaierror."""
    return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


def http_server(port: int, routes: Mapping[str, Route], host: str = "0.0.0.0") -> ThreadingHTTPServer:
    """A server on this port with GET routes by path; ``*`` answers the rest. Not started yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0]) or routes.get("*")
            status, body = route() if route else (404, "404 page not found\n")
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - the base class's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing: probes come every second."""

    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 128
    return ThreadingHTTPServer((host, port), Handler)


def in_background(work: Callable[[], object]) -> None:
    """Run for as long as the container lives."""
    threading.Thread(target=work, daemon=True).start()


def serve_http(port: int, routes: Mapping[str, Route]) -> None:
    """Serve in the background."""
    in_background(http_server(port, routes).serve_forever)


def serve_tcp(port: int, host: str = "0.0.0.0") -> None:
    """Accept connections in the background, echo what comes, and close after the peer does."""

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            _echo(connection)

    _serve(port, host, talk)


def _serve(port: int, host: str, talk: Callable[[socket.socket], None]) -> None:
    server = socket.create_server((host, port), backlog=128, reuse_port=False)

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            in_background(lambda peer=connection: talk(peer))

    in_background(accept)


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_UNIMPLEMENTED: Final = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0212"
"""Header fields (RFC 7541): :status 200, content-type, grpc-status 12."""


def serve_grpc(port: int, host: str = "0.0.0.0") -> None:
    """A gRPC server that knows no method: each call ends with UNIMPLEMENTED. To who speaks otherwise it echoes."""

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            begun = b""
            while len(begun) < len(_PREFACE) and _PREFACE.startswith(begun):
                data = connection.recv(len(_PREFACE) - len(begun))
                if not data:
                    return
                begun += data
            if begun != _PREFACE:
                connection.sendall(begun)
                _echo(connection)
                return
            connection.sendall(_SETTINGS)
            _end_calls(connection)

    _serve(port, host, talk)


def _end_calls(connection: socket.socket) -> None:
    stream = connection.makefile("rb")
    while len(head := stream.read(9)) == 9:
        stream.read(int.from_bytes(head[:3], "big"))
        kind, flags, call = head[3], head[4], head[5:]
        if kind == 1:  # HEADERS: end of stream and of headers at once
            size = len(_UNIMPLEMENTED).to_bytes(3, "big")
            connection.sendall(size + bytes((1, 0x1 | 0x4)) + call + _UNIMPLEMENTED)
        elif kind == 4 and not flags & 1:
            connection.sendall(_SETTINGS[:4] + b"\x01" + _SETTINGS[5:])


def forever() -> None:
    """Keep the container running while its threads work."""
    while True:
        time.sleep(3600)


class Dependencies:
    """Dials a set of (name, port) for ever and remembers which answered; the application's idea of being ready."""

    def __init__(self, targets: Mapping[str, tuple[str, int]], *, every_s: float = 1.0, timeout_s: float = 2.0) -> None:
        self.targets = targets
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._addresses: dict[str, str] = {}
        self.failing: dict[str, str] = dict.fromkeys(targets, "not tried yet")

    def watch(self, log: Callable[[str, str | None], None]) -> None:
        """Dial each target, call ``log(target, error or None)`` after every failure and every recovery, repeat.

        Until all have answered once it tries more often: a lab should be up in seconds.
        """
        was_complete = False
        while True:
            for name, (host, port) in self.targets.items():
                error = self._try(host, port)
                if error is not None:
                    self.failing[name] = error
                    log(name, error)
                elif self.failing.pop(name, None) is not None:
                    log(name, None)
            was_complete = was_complete or not self.failing
            time.sleep(self._every_s if was_complete else min(_EAGER_S, self._every_s))

    def _try(self, host: str, port: int) -> str | None:
        """As gRPC's resolver: an address once learnt is kept while lookups fail."""
        if host not in self._addresses:
            try:
                self._addresses[host] = resolve(host)
            except socket.gaierror as error:
                return go_lookup_error(host, error)
        address = self._addresses[host]
        try:
            dial(address, port, self._timeout_s)
        except OSError as error:
            return go_error(address, port, error)
        return None
