"""The applications of the lab's workloads: they listen where the real ones listen and dial what the real ones dial."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bot.lab.cluster.images.registry import SHELL, TOOLS, Container, Image
from bot.lab.cluster.images.serving import (
    Dependencies,
    Route,
    forever,
    in_background,
    now,
    serve_http,
    serve_tcp,
)

_KUBE_PROXY_CONFIG: Final = Path("/var/lib/kube-proxy/config.conf")
_CILIUM_DBG: Final = """#!/bin/sh
test "$*" = "status -o json" && exec cat "/run/cilium/state/$HOSTNAME.json"
echo "Error: unknown command \\"$*\\" for \\"cilium-dbg\\"" >&2
exit 1
"""


def _targets(container: Container) -> dict[str, tuple[str, int]]:
    """``DEPENDS_ON="db=postgres:5432 …"``: what the application dials for ever."""
    found: dict[str, tuple[str, int]] = {}
    for word in container.env.get("DEPENDS_ON", "").split():
        name, _, address = word.partition("=")
        host, _, port = address.rpartition(":")
        found[name] = (host, int(port))
    return found


def _log(name: str, error: str | None) -> None:
    level, text = ("error", error) if error else ("info", "connected")
    print(f'time="{now()}" level={level} dependency={name} msg="{text}"')


def _application(container: Container) -> None:
    """An HTTP service on ``PORT`` that is ready when everything it depends on answers."""
    dependencies = Dependencies(_targets(container))

    def ready() -> tuple[int, str]:
        if dependencies.failing:
            return 503, "".join(f"{name}: {why}\n" for name, why in dependencies.failing.items())
        return 200, "ok\n"

    routes: Mapping[str, Route] = {
        "/ready": ready,
        "/-/ready": ready,
        "/-/healthy": lambda: (200, "ok\n"),
        "/health": lambda: (200, "OK"),  # MLflow's
        "/api/health": lambda: (200, '{"database": "ok"}'),  # Grafana's
        "*": lambda: (200, f"{container.env.get('HOSTNAME', '')}\n"),
    }
    for port in container.env.get("PORT", "8080").split():
        serve_http(int(port), routes)
    for port in container.env.get("TCP_PORTS", "").split():
        serve_tcp(int(port))
    if dependencies.targets:
        in_background(lambda: dependencies.watch(_log))
    forever()


def _postgres(_: Container) -> None:
    """Answers a PostgreSQL SSLRequest with ``N`` and any start-up packet with an authentication request."""
    server = socket.create_server(("0.0.0.0", 5432), backlog=64)
    print("LOG:  database system is ready to accept connections")

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            if connection.recv(8)[4:8] == (80877103).to_bytes(4, "big"):
                connection.sendall(b"N")
                connection.recv(1024)
            connection.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")
            connection.recv(1024)

    while True:
        peer, _address = server.accept()
        in_background(lambda peer=peer: talk(peer))


def _agent(port: int, path: str) -> None:
    """A data plane agent's health server; what it programs is done by the lab (`bot.lab.cluster.supervisor.agents`)."""
    with contextlib.suppress(OSError):  # hostNetwork: another one of its kind may still be ending
        serve_http(port, {path: lambda: (200, "ok\n")})
    forever()


def _kube_proxy(_: Container) -> int | None:
    """Reads its configuration as the real one does, and refuses a mode that does not exist."""
    found = re.search(r"^mode:\s*(\S*)", _KUBE_PROXY_CONFIG.read_text(), re.MULTILINE)
    mode = found[1] if found else ""
    if mode not in {"", "nftables", "iptables", "ipvs"}:
        print(f'E "Error running ProxyServer" err="invalid configuration: mode: Invalid value: \\"{mode}\\""')
        return 1
    return _agent(10256, "/healthz")


IMAGES = (
    Image(name="ghcr.io/mlflow/mlflow", main=_application, programs=SHELL),
    Image(name="minio/minio", main=_application, programs=SHELL),
    Image(name="postgres", main=_postgres, programs=(*SHELL, "bash")),
    Image(name="quay.io/argoproj/workflow-controller", main=_application),
    Image(name="quay.io/argoproj/argocli", main=_application),
    Image(name="quay.io/prometheus/prometheus", main=_application, programs=SHELL),
    Image(name="quay.io/prometheus/alertmanager", main=_application, programs=SHELL),
    Image(name="grafana/grafana", main=_application, programs=(*SHELL, "bash")),
    Image(name="ghcr.io/shop/web", main=_application, programs=(*SHELL, "ip")),
    Image(name="ghcr.io/shop/api", main=_application),
    Image(name="calico/node", main=lambda _: _agent(9099, "/readiness"), programs=TOOLS),
    Image(name="calico/kube-controllers", main=_application),
    Image(name="registry.k8s.io/kube-proxy", main=_kube_proxy, programs=TOOLS),
    Image(
        name="quay.io/cilium/cilium",
        main=lambda _: _agent(9879, "/healthz"),
        programs=TOOLS,
        scripts={"cilium-dbg": _CILIUM_DBG},
    ),
    Image(name="ghcr.io/flannel-io/flannel", main=lambda _: forever()),
    Image(name="quay.io/cilium/operator-generic", main=_application),
)
