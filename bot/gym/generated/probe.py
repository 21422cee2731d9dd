"""The oracle's own eyes: a program that asks with plain sockets, run inside a pod's namespaces. Standard library only.

    python3 -IS -c "$(cat probe.py)" '[{"id": "x", "kind": "connect", "host": "10.43.51.131", "port": 80, "tries": 9}]'

Prints {"x": {"ok": 9, "of": 9, "slow": 0, "error": ""}}.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

_CONNECT_S = 0.9  # below the second after which a lost SYN is sent again: every loss shows
_LARGE_S = 3.0
_LOOKUP_S = 7.0
_SLOW_S = 2.0
_SIZE = 24_000


def _connect(check: Mapping[str, Any]) -> None:
    with socket.create_connection((check["host"], check["port"]), timeout=_CONNECT_S):
        pass


def _echo(check: Mapping[str, Any]) -> None:
    """Much data there and back."""
    with socket.create_connection((check["host"], check["port"]), timeout=_LARGE_S) as connection:
        connection.sendall(b"x" * _SIZE)
        got = 0
        while got < _SIZE:
            data = connection.recv(65536)
            if not data:
                raise ConnectionResetError("closed early")
            got += len(data)


def _lookup(check: Mapping[str, Any]) -> None:
    socket.getaddrinfo(check["host"], None, socket.AF_INET, socket.SOCK_STREAM)


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"connect": _connect, "echo": _echo, "lookup": _lookup}
_LIMITS = {"connect": _CONNECT_S + 0.5, "echo": _LARGE_S + 1.0, "lookup": _LOOKUP_S}


def _word(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "no such host" if error.errno == socket.EAI_NONAME else "lookup failed"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else type(error).__name__


class _Tries:
    """The tries of one check, all at once."""

    def __init__(self, check: Mapping[str, Any]) -> None:
        self.check = check
        self.ok = 0
        self.slow = 0
        self.errors: list[str] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._once, daemon=True) for _ in range(check["tries"])]

    def start(self) -> None:
        for one in self._threads:
            one.start()

    def _once(self) -> None:
        began = time.monotonic()
        try:
            _KINDS[self.check["kind"]](self.check)
        except OSError as error:
            with self._lock:
                self.errors.append(_word(error))
            return
        with self._lock:
            self.ok += 1
            self.slow += time.monotonic() - began > _SLOW_S

    def result(self, began: float) -> dict[str, Any]:
        for one in self._threads:
            one.join(max(0.0, began + _LIMITS[self.check["kind"]] - time.monotonic()))
        with self._lock:
            errors = sorted(self.errors, key=self.errors.count)
            error = errors[-1] if errors else ("" if self.ok == self.check["tries"] else "timeout")
            return {"ok": self.ok, "of": self.check["tries"], "slow": self.slow, "error": error}


def main(checks: list[dict[str, Any]]) -> None:
    """Ask everything at once; print what came of it and end, whoever still waits."""
    tries = {check["id"]: _Tries(check) for check in checks}
    began = time.monotonic()
    for one in tries.values():
        one.start()
    print(json.dumps({name: one.result(began) for name, one in tries.items()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
