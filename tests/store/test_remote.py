"""A store that others run: over TLS, and behind sentinels."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.store import Entry, Inbox, StoreUnavailableError, open_store
from tests.redis import RedisServer, find_server
from tests.store.inbox_workers import Book, at_work


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def has_tls() -> bool:
    """Whether the redis-server that tests use speaks TLS; the one in the wheel does not."""
    said = subprocess.run([find_server(), "--tls-port", "x"], capture_output=True, text=True, check=False)
    return "Bad directive" not in said.stderr + said.stdout


def certificate(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "redis.crt", directory / "redis.key"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_over_tls(tmp_path: Path) -> None:
    """The certificate is checked, and so is its name."""
    if not has_tls():
        pytest.skip("this redis-server was built without TLS")
    port = free_port()
    crt, key = certificate(tmp_path)
    server = RedisServer(
        "--tls-port", str(port), "--tls-cert-file", str(crt), "--tls-key-file", str(key), "--tls-auth-clients", "no",
        "--tls-ca-cert-file", str(crt), "--bind", "127.0.0.1",
    )  # fmt: skip
    with server:
        async with open_store(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={crt}", tmp_path) as store:
            assert await store.inbox.accept("Ev1", "event", {})
        with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            async with open_store(f"rediss://127.0.0.1:{port}", tmp_path):
                pass
        with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            async with open_store(f"rediss://localhost:{port}/0?ssl_ca_certs={crt}", tmp_path):
                pass
        async with open_store(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none", tmp_path) as store:
            assert (await store.inbox.counts()).waiting == 1


class Guarded:
    """Two servers, and a sentinel that knows which is the master."""

    def __init__(self, stack: ExitStack, *more: str) -> None:
        self.ports = [free_port(), free_port()]
        self.sentinel_port = free_port()
        first, second = map(str, self.ports)
        common = ("--bind", "127.0.0.1", "--masterauth", "secret", *more)
        replica = ("--replicaof", "127.0.0.1", first, "--repl-diskless-sync-delay", "0")
        self.servers = [
            stack.enter_context(RedisServer(*common, *options, password="secret"))
            for options in (("--port", first), ("--port", second, *replica))
        ]
        sentinel = RedisServer("--port", str(self.sentinel_port), "--bind", "127.0.0.1", is_sentinel=True)
        (sentinel.directory / "sentinel.conf").write_text(
            f"sentinel monitor main 127.0.0.1 {first} 1\nsentinel auth-pass main secret\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
            encoding="ascii",
        )
        stack.enter_context(sentinel)

    @property
    def url(self) -> str:
        return f"redis+sentinel://:secret@127.0.0.1:{self.sentinel_port}/main"


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with ExitStack() as stack:
        yield Guarded(stack)


async def ask(port: int, command: str) -> bytes:
    """Redis's answer, as it stands on the wire."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(command.encode() + b"\r\n")
        return await reader.read(65536)
    finally:
        writer.close()
        await writer.wait_closed()


async def accepted(inbox: Inbox, name: str) -> None:
    """As Slack does it: again until it is acknowledged."""
    while True:
        try:
            await inbox.accept(name, "event", {})
        except StoreUnavailableError:
            await asyncio.sleep(0.1)
        else:
            return


async def until_answered(port: int, command: str, expected: str) -> None:
    """Until the answer holds what is expected; sentinels tell nobody by themselves."""
    while expected.encode() not in await ask(port, command):  # noqa: ASYNC110 - another program's state
        await asyncio.sleep(0.1)


async def test_behind_sentinels_a_failover_is_followed(guarded: Guarded, tmp_path: Path) -> None:
    sentinel = guarded.sentinel_port
    book = Book()
    async with asyncio.timeout(60):
        await until_answered(sentinel, "SENTINEL MASTER main", "num-slaves\r\n$1\r\n1")
        async with open_store(guarded.url, tmp_path) as store, at_work(store.inbox.work(book)):
            assert store.where == f"redis+sentinel://127.0.0.1:{sentinel}/main/0"
            await store.inbox.accept("before", "event", {})
            await book.until(lambda handled: len(handled) == 1)
            await until_answered(sentinel, "SENTINEL FAILOVER main", "+OK")
            await until_answered(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main", str(guarded.ports[1]))
            await accepted(store.inbox, "after")
            await book.until(lambda handled: len({entry.id for entry in handled}) == 2)


async def refused(inbox: Inbox) -> None:
    """Until the store takes nothing more."""
    number = 0
    while True:
        number += 1
        try:
            await inbox.accept(f"while it falls {number}", "event", {})
        except StoreUnavailableError:
            return


def names(handled: list[Entry]) -> list[str]:
    return [str(entry.body["name"]) for entry in handled if "name" in entry.body]


async def test_what_the_replica_had_outlives_the_primary(guarded: Guarded, tmp_path: Path) -> None:
    """kill -9: what was acknowledged and replicated is handled, once; in between it is refused, so it is sent again."""
    sentinel, book = guarded.sentinel_port, Book()
    kept = [f"kept {number}" for number in range(200)]
    async with asyncio.timeout(60):
        await until_answered(sentinel, "SENTINEL MASTER main", "num-slaves\r\n$1\r\n1")
        async with open_store(guarded.url, tmp_path) as store:
            for name in kept:
                assert await store.inbox.accept(name, "event", {"name": name})
            async with store.connection.client() as client:
                replicas: object = await client.wait(1, 1000)  # pyright: ignore[reportUnknownMemberType] untyped
                assert replicas == 1
            guarded.servers[0].stop(signal.SIGKILL)
            await refused(store.inbox)
            await accepted(store.inbox, "afterwards")
            assert [await store.inbox.accept(name, "event", {}) for name in kept] == [False] * len(kept)
            async with at_work(store.inbox.work(book)):
                await book.until(lambda handled: set(kept) <= set(names(handled)))

    assert Counter(names(book.handled)) & Counter(kept) == Counter(kept)
    assert max(Counter(names(book.handled)).values()) == 1


@pytest.mark.parametrize(("more", "times"), [((), 1), (("--min-replicas-to-write", "1"), 0)])
async def test_what_a_failover_may_lose_is_said(more: tuple[str, ...], times: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        guarded = Guarded(stack, *more)
        async with asyncio.timeout(60):
            await until_answered(guarded.sentinel_port, "SENTINEL MASTER main", "num-slaves\r\n$1\r\n1")
            async with open_store(guarded.url, tmp_path) as store:
                reported = [each for each in store.warnings if each.startswith("A failover loses what its replicas")]

    assert len(reported) == times
