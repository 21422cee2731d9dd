"""Opening the store."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from redis.asyncio import Redis

from bot.domain.errors import ConfigurationError
from bot.store.alerts import Alerts
from bot.store.anchors import Anchors
from bot.store.audit import Audit
from bot.store.connection import Connection, connect, is_refusal
from bot.store.errors import StoreUnavailableError
from bot.store.inbox.inbox import Inbox
from bot.store.incidents import Incidents
from bot.store.keys import Keys
from bot.store.noted_issues import IssueNotes
from bot.store.outbox import OutboxQueue
from bot.store.people import Feedback, Watches
from bot.store.plans import Plans
from bot.store.seen_alerts import SeenAlerts
from bot.store.server.address import SETTING, Address, parse
from bot.store.server.server import StoreServer
from bot.store.timeline import Timeline

log = structlog.get_logger()

_ALIVE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything that outlives the process."""

    where: str
    """Its address, without secrets."""
    inbox: Inbox
    incidents: Incidents
    alerts: Alerts
    anchors: Anchors
    seen_alerts: SeenAlerts
    noted_issues: IssueNotes
    timeline: Timeline
    watches: Watches
    feedback: Feedback
    outbox: OutboxQueue
    plans: Plans
    audit: Audit
    connection: Connection = field(repr=False)
    warnings: tuple[str, ...] = ()
    """What about this store may lose what was accepted, in sentences."""

    async def ping(self) -> None:
        """Whether it answers. Errors: `StoreUnavailableError`."""
        async with self.connection.client() as client:
            await client.ping()  # pyright: ignore[reportUnknownMemberType] untyped arguments

    async def prove_writable(self) -> None:
        """Whether it takes writes, which a replica, a full memory or a full disk does not. Errors as `ping`."""
        async with self.connection.client() as client:
            await client.set(self.connection.keys.of("alive"), time.time(), ex=_ALIVE_S)


@asynccontextmanager
async def open_store(
    url: str | None,
    state_dir: Path,
    *,
    prefix: str = "cnibot",
    lease_s: float = 15.0,
    server: StoreServer | None = None,
) -> AsyncGenerator[Store]:
    """The store at `url`; None: a redis-server of our own with its data in `state_dir`/store.

    `prefix` begins every key. `lease_s`: an entry of the inbox whose process has been silent for so long is
    handled again. `server` replaces the usual one of our own. Errors: `ConfigurationError`, `StoreInUseError`,
    `NoServerError`, `StoreUnavailableError`.
    """
    if url:
        address = parse(url)
        connection = connect(address, keys=Keys(prefix))
        is_guarded = address.kind == "sentinel"
        async with _opened(connection, lease_s=lease_s, is_ours=False, is_guarded=is_guarded) as store:
            yield store
        return
    server = server or StoreServer(state_dir / "store")
    try:
        await server.start()
        address = Address(kind="unix", where=server.where, path=server.socket)
        connection = connect(address, keys=Keys(prefix), revive=server.revive)
        async with _opened(connection, lease_s=lease_s, is_ours=True) as store:
            yield store
    finally:
        await server.stop()


@asynccontextmanager
async def _opened(
    connection: Connection, *, lease_s: float, is_ours: bool, is_guarded: bool = False
) -> AsyncGenerator[Store]:
    try:
        warnings = await _examine(connection, is_guarded=is_guarded)
        audit = Audit(connection)
        for sentence in () if is_ours else warnings:
            log.warning("store.may_forget", where=connection.where, why=sentence)
        yield Store(
            where=connection.where,
            inbox=Inbox(connection, lease_s=lease_s, is_alone=is_ours),
            incidents=Incidents(connection),
            alerts=Alerts(connection),
            anchors=Anchors(connection),
            seen_alerts=SeenAlerts(connection),
            noted_issues=IssueNotes(connection),
            timeline=Timeline(connection),
            watches=Watches(connection),
            feedback=Feedback(connection),
            outbox=OutboxQueue(connection, is_alone=is_ours),
            plans=Plans(connection, audit),
            audit=audit,
            connection=connection,
            warnings=() if is_ours else warnings,
        )
    finally:
        await connection.close()


async def _examine(connection: Connection, *, is_guarded: bool) -> tuple[str, ...]:
    """What about the server may lose what it took. Errors: `ConfigurationError` when it can never serve us."""
    try:
        async with connection.client(5.0) as client:
            said = await _info(client)
    except StoreUnavailableError as error:
        if is_refusal(error):
            raise ConfigurationError(SETTING, f"the store at {connection.where}: {error.why}") from None
        raise
    version = re.match(r"(\d+)\.(\d+)", said.get("redis_version", ""))
    if version and (int(version[1]), int(version[2])) < (6, 2):
        why = f"the store at {connection.where} is Redis {version[0]}, and 6.2 is the oldest that works"
        raise ConfigurationError(SETTING, why)
    return tuple(_risks(said, is_guarded=is_guarded))


async def _info(client: Redis) -> dict[str, str]:
    said: object = await client.info()  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(said, dict)
    return {str(name): str(value) for name, value in said.items()}


def _risks(said: dict[str, str], *, is_guarded: bool) -> list[str]:
    found: list[str] = []
    if said.get("aof_enabled") == "0":
        found.append("It keeps no append-only file: what came since its last snapshot is lost when it restarts.")
    policy = said.get("maxmemory_policy", "noeviction")
    if said.get("maxmemory", "0") != "0" and policy != "noeviction":
        found.append(f"It may throw entries away when its memory is full (maxmemory-policy {policy}; use noeviction).")
    if said.get("role") == "slave":
        found.append("It is a replica: it takes no writes until it is promoted.")
    if is_guarded and "min_slaves_good_slaves" not in said:  # written only where the setting asks for replicas
        found.append(
            "A failover loses what its replicas had not got yet, and all that a primary takes while it is cut off from "
            "them (set min-replicas-to-write 1, with min-replicas-max-lag 10: then it is moments)."
        )
    return found
