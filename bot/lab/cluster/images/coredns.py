"""CoreDNS with its ``kubernetes`` plugin: it learns Services and endpoints from the API through 10.43.0.1.

So everything that cuts CoreDNS off from the API really does. It answers A, PTR-less, SRV for named ports; names of
headless Services resolve to their pods; other names go to the outside resolver. Until the first listing it is not ready
and answers SERVFAIL, as the real one does.
Source: https://coredns.io/plugins/kubernetes/
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Final

from bot.lab.cluster.images import dns_wire
from bot.lab.cluster.images.registry import Container, Image
from bot.lab.cluster.images.serving import forever, go_error, in_background, serve_http
from bot.lab.cluster.names import CLUSTER_DOMAIN, OUTSIDE_HOST, Json

_ACCOUNT: Final = Path("/run/secrets/kubernetes.io/serviceaccount")
_COREFILE: Final = Path("/etc/coredns/Corefile")
_PATHS: Final = {"services": "/api/v1/services", "slices": "/apis/discovery.k8s.io/v1/endpointslices"}
_TTL_S: Final = 5
_FORWARD_TIMEOUT_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 5.0
_RETRY_S: Final = 1.0


_SERVED: Final = re.compile(r"^\s*kubernetes\s+([a-z0-9.-]+)", re.MULTILINE)


def zone_of(corefile: str) -> str:
    """The first zone of the ``kubernetes`` plugin."""
    found = _SERVED.search(corefile)
    return found[1].rstrip(".") if found else CLUSTER_DOMAIN


class Zone:
    """The Services' zone as the API describes it, under the name that the Corefile gives it."""

    def __init__(self, name: str = CLUSTER_DOMAIN) -> None:
        self.name = name
        self.objects: dict[str, dict[str, Json]] = {}
        self._lock = threading.Lock()
        self._services: dict[tuple[str, str], Json] = {}
        self._slices: dict[tuple[str, str], list[Json]] = {}

    @property
    def is_synced(self) -> bool:
        """Has everything been listed once?"""
        return len(self.objects) == len(_PATHS)

    def replace(self, kind: str, items: dict[str, Json]) -> None:
        """The outcome of a list."""
        with self._lock:
            self.objects[kind] = items
            self._index()

    def change(self, kind: str, event: str, item: Json) -> None:
        """One event of a watch."""
        with self._lock:
            items = dict(self.objects[kind])
            key = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
            if event == "DELETED":
                items.pop(key, None)
            else:
                items[key] = item
            self.objects[kind] = items
            self._index()

    def _index(self) -> None:
        services: dict[tuple[str, str], Json] = {}
        for one in self.objects.get("services", {}).values():
            services[one["metadata"]["namespace"], one["metadata"]["name"]] = one
        slices: dict[tuple[str, str], list[Json]] = {}
        for one in self.objects.get("slices", {}).values():
            labels: dict[str, str] = one["metadata"].get("labels") or {}
            owner = labels.get("kubernetes.io/service-name", "")
            slices.setdefault((one["metadata"]["namespace"], owner), []).append(one)
        self._services, self._slices = services, slices

    def addresses(self, labels: list[str]) -> list[str] | None:
        """A records below ``svc.ZONE``; None when the name does not exist."""
        host, (name, namespace) = labels[:-2], labels[-2:]
        service = self._services.get((namespace, name))
        if service is None:
            return None
        cluster_ip = service["spec"].get("clusterIP", "")
        if cluster_ip not in {"None", ""}:
            return None if host and not host[0].startswith("_") else [cluster_ip]
        found = [
            address
            for one in self._slices.get((namespace, name), ())
            for endpoint in one.get("endpoints") or ()
            if _is_ready(endpoint) and (not host or endpoint.get("hostname") == host[0])
            for address in endpoint["addresses"]
        ]
        return found or None

    def alias(self, labels: list[str]) -> str:
        """The name that a Service of type ExternalName stands for; "" for any other."""
        service = self._services.get((labels[-1], labels[-2])) if len(labels) == 2 else None
        return str(service["spec"].get("externalName", "")).rstrip(".").lower() if service else ""

    def ports(self, name: str, namespace: str) -> dict[tuple[str, str], int]:
        """(protocol, port name) to port number."""
        service = self._services.get((namespace, name), {"spec": {}})
        return {
            (f"_{one.get('protocol', 'TCP').lower()}", f"_{one.get('name', '')}"): one["port"]
            for one in service["spec"].get("ports") or ()
        }


def _is_ready(endpoint: Json) -> bool:
    conditions: Json = endpoint.get("conditions") or {}
    return conditions.get("ready", True) is not False


def answer(zone: Zone, data: bytes) -> bytes:
    """The reply to one query; raises MalformedError."""
    query = dns_wire.parse(data)
    if query.name != zone.name and not query.name.endswith("." + zone.name):
        return _forward(query, data)
    if not zone.is_synced:
        return dns_wire.reply(query, rcode=dns_wire.SERVFAIL)
    suffix = ".svc." + zone.name
    labels = query.name.removesuffix(suffix).split(".") if query.name.endswith(suffix) else []
    if alias := zone.alias(labels):
        return dns_wire.aliased(query, alias, lambda asked: answer(zone, asked))
    return _of_service(zone, query, labels)


def _of_service(zone: Zone, query: dns_wire.Query, labels: list[str]) -> bytes:
    found = zone.addresses(labels) if len(labels) >= 2 else None
    if found is None:
        return dns_wire.reply(query, rcode=dns_wire.NXDOMAIN)
    if query.kind == "A":
        return dns_wire.reply(query, addresses=found, ttl_s=_TTL_S)
    if query.kind == "SRV" and len(labels) == 4:
        port = zone.ports(labels[2], labels[3]).get((labels[1], labels[0]))
        if port is not None:
            target = ".".join(labels[2:]) + ".svc." + zone.name
            return dns_wire.reply(query, targets=[(port, target)], ttl_s=_TTL_S)
    return dns_wire.reply(query)


def _forward(query: dns_wire.Query, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.settimeout(_FORWARD_TIMEOUT_S)
        try:
            upstream.connect((OUTSIDE_HOST, 53))
            upstream.send(data)
            return upstream.recv(4096)
        except OSError as error:
            words = go_error(OUTSIDE_HOST, 53, error).replace("dial tcp", "read udp")
            print(f"[ERROR] plugin/errors: 2 {query.name}. {query.kind}: {words}")
            return dns_wire.reply(query, rcode=dns_wire.SERVFAIL, authoritative=False)


class _Api:
    """Lists and watches one collection for ever."""

    def __init__(self, zone: Zone, kind: str, host: str) -> None:
        self._zone = zone
        self._kind = kind
        self._host = host

    def follow(self) -> None:
        while True:
            try:
                self._watch(self._list())
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                words = go_error(self._host, 443, error) if isinstance(error, OSError) else str(error)
                url = f"https://{self._host}:443{_PATHS[self._kind]}"
                print(f'[ERROR] plugin/kubernetes: Unhandled Error: failed to list: Get "{url}": {words}')
                time.sleep(_RETRY_S)

    def _connection(self, timeout_s: float | None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        connection = http.client.HTTPSConnection(self._host, 443, timeout=_CONNECT_TIMEOUT_S, context=context)
        connection.connect()
        connection.sock.settimeout(timeout_s)
        return connection

    def _get(self, connection: http.client.HTTPSConnection, query: str = "") -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}", "Accept": "application/json"}
        connection.request("GET", _PATHS[self._kind] + query, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}: {response.read(300).decode(errors='replace')}")
        return response

    def _list(self) -> str:
        with contextlib.closing(self._connection(_CONNECT_TIMEOUT_S)) as connection:
            listed: Any = json.loads(self._get(connection).read())
        items = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in listed["items"]}
        self._zone.replace(self._kind, items)
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        with contextlib.closing(self._connection(None)) as connection:
            response = self._get(connection, f"?watch=true&resourceVersion={version}&timeoutSeconds=300")
            while line := response.readline():
                event: Any = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._zone.change(self._kind, event["type"], event["object"])


def _serve_udp(zone: Zone) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 53))
    while True:
        data, peer = server.recvfrom(4096)
        if _is_local(zone, data):
            _reply_udp(server, zone, data, peer)
        else:
            in_background(lambda data=data, peer=peer: _reply_udp(server, zone, data, peer))


def _is_local(zone: Zone, data: bytes) -> bool:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in zone.name.split("."))
    return labels + b"\0" in data.lower()


def _reply_udp(server: socket.socket, zone: Zone, data: bytes, peer: tuple[str, int]) -> None:
    with contextlib.suppress(dns_wire.MalformedError, OSError):
        server.sendto(answer(zone, data), peer)


def _serve_tcp(zone: Zone) -> None:
    server = socket.create_server(("0.0.0.0", 53), backlog=64)
    while True:
        connection, _ = server.accept()
        in_background(lambda peer=connection: _reply_tcp(zone, peer))


def _reply_tcp(zone: Zone, connection: socket.socket) -> None:
    with connection, contextlib.suppress(dns_wire.MalformedError, OSError):
        connection.settimeout(10)
        stream = connection.makefile("rwb")
        while len(head := stream.read(2)) == 2:
            reply = answer(zone, stream.read(int.from_bytes(head, "big")))
            stream.write(len(reply).to_bytes(2, "big") + reply)
            stream.flush()


def _coredns(container: Container) -> None:
    corefile = ""
    with contextlib.suppress(OSError):
        corefile = _COREFILE.read_text()
    zone = Zone(zone_of(corefile))
    host = container.env.get("KUBERNETES_SERVICE_HOST", "10.43.0.1")
    for kind in _PATHS:
        in_background(_Api(zone, kind, host).follow)
    in_background(lambda: _serve_udp(zone))
    in_background(lambda: _serve_tcp(zone))
    serve_http(9153, {"/metrics": lambda: (200, 'coredns_build_info{version="1.12.1"} 1\n')})
    serve_http(8080, {"/health": lambda: (200, "OK")})
    serve_http(8181, {"/ready": lambda: (200, "OK") if zone.is_synced else (503, "kubernetes")})
    print(".:53\nCoreDNS-1.12.1\nlinux/amd64, go1.24.1")
    forever()


IMAGES = (
    Image(name="registry.k8s.io/coredns/coredns", main=_coredns),
    Image(name="rancher/mirrored-coredns-coredns", main=_coredns),
)
