"""Where the API server of the cluster that we run in is reached when its Service is not.

A pod is given a ClusterIP (KUBERNETES_SERVICE_HOST), which leads nowhere on a node whose service rules are what is
broken. The server itself listens elsewhere: at the endpoints of that Service, which are learned while things work and
kept in the state directory, and on some distributions behind a balancer on the node's own loopback.
"""

import ipaddress
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

import msgspec
import structlog

from bot.cluster.objects import EndpointSlice

log = structlog.get_logger()

LOCAL = ("127.0.0.1:6444", "127.0.0.1:6443", "127.0.0.1:8132")
"""K3s' balancer on agents and its server (RKE2's as well), and k0s'."""
MOST = 16
MAX_BYTES = 4096
STALE_S = 600.0
SHUNNED_S = 30.0
"""How long an address that failed is tried after all others."""
FILE_NAME = "api-addresses.json"

_ADDRESS = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class ApiAddresses:
    """The addresses (HOST:PORT) that are known, in the order in which they are tried."""

    def __init__(self, configured: Sequence[str] = (), directory: Path | None = None) -> None:
        self.configured = tuple(configured)
        self.directory = directory
        self._learned: tuple[str, ...] | None = None
        self._learned_at = 0.0
        self._failed_at: dict[str, float] = {}

    def candidates(self, service: str) -> tuple[str, ...]:
        """Configured ones, learned ones, those of local balancers, the Service's; what just failed comes last."""
        known = dict.fromkeys((*self.configured, *self.learned, *LOCAL, service))
        now = time.monotonic()
        return tuple(sorted(known, key=lambda each: now - self._failed_at.get(each, -SHUNNED_S) < SHUNNED_S))

    async def choose(self, service: str, is_serving: Callable[[str], Awaitable[bool]]) -> str | None:
        """The first address where the server answers; None when it answers nowhere."""
        for address in self.candidates(service):
            if await is_serving(address):
                self._failed_at.pop(address, None)
                return address
            self.shun(address)
        return None

    def shun(self, address: str) -> None:
        """Remember that nobody answered there."""
        self._failed_at[address] = time.monotonic()

    @property
    def learned(self) -> tuple[str, ...]:
        """The endpoints of the Service as they were last seen, by this process or one before it."""
        if self._learned is None:
            self._learned = tuple(self._read())
        return self._learned

    @property
    def is_stale(self) -> bool:
        """Whether it is time to learn again."""
        return not self._learned_at or time.monotonic() - self._learned_at > STALE_S

    def learn(self, slices: Sequence[EndpointSlice]) -> None:
        """Keep the endpoints of the `kubernetes` Service. Where nothing can be written, this process still knows."""
        found = tuple(dict.fromkeys(_addresses(slices)))[:MOST]
        if not found:
            return  # a Service without endpoints is no news about where the servers are
        self._learned_at = time.monotonic()
        if found != self.learned:
            self._learned = found
            self._write(found)

    def _read(self) -> Iterator[str]:
        if self.directory is None:
            return
        try:
            found = msgspec.json.decode((self.directory / FILE_NAME).read_bytes()[:MAX_BYTES], type=list[str])
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("api.addresses_unreadable", file=FILE_NAME, why=str(error))
            return
        yield from (each for each in found[:MOST] if is_address(each))

    def _write(self, found: Sequence[str]) -> None:
        if self.directory is None:
            return
        path = self.directory / FILE_NAME
        beside = path.with_suffix(f".{os.getpid()}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(found))
            beside.replace(path)
        except OSError as error:
            log.info("api.addresses_not_kept", file=str(path), why=error.strerror or str(error))


def is_address(text: str) -> bool:
    """Whether it is HOST:PORT."""
    return _ADDRESS.fullmatch(text) is not None and 0 < int(text.rpartition(":")[2]) < 65536


def _addresses(slices: Sequence[EndpointSlice]) -> Iterator[str]:
    for each in slices:
        ports = [port.port for port in each.ports if port.port]
        for endpoint in each.endpoints:
            for text in endpoint.addresses:
                for port in ports:
                    try:
                        host = ipaddress.ip_address(text)
                    except ValueError:
                        continue  # a name needs DNS, which may be what is broken
                    yield f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


_in_use: ContextVar[ApiAddresses | None] = ContextVar("api_addresses", default=None)


def use_addresses(addresses: ApiAddresses) -> None:
    """What this process knows from here on."""
    _in_use.set(addresses)


def addresses_in_use() -> ApiAddresses:
    """What this process knows; nothing where nobody said so."""
    return _in_use.get() or ApiAddresses()
