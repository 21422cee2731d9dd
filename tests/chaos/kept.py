"""What stands in the store, read from beside: how much waits, what became of incidents, which keys live for ever."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

BOUNDED = {
    "inbox": "the stream of what waits; 50,000 entries at most",
    "inbox:dead": "the last 1,000 that were given up",
    "scopes": "the open incident of each scope, until it is closed",
    "open": "the open incidents",
    "watches": "what people asked for",
    "feedback": "what people said",
    "noted-issues": "one entry a cluster",
    "audit": "for ever: that is what it is for",
    "outbox:(seq|bytes)": "one number each",
    "outbox:bucket:(update|react)": "one budget for each method",
}
"""Keys that are meant to live, and what bounds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is not done yet."""

    inbox: int
    outbox: int

    @property
    def is_nothing(self) -> bool:
        return not (self.inbox or self.outbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a report says in the end."""

    incident: str
    status: str
    cause: str | None
    confidence: str | None
    because: tuple[str, ...] = ()
    """The findings that something fails, the leading cause's gaps and what was not seen: why it is no surer."""


async def waiting(store: Redis) -> Waiting | None:
    """How much waits; None while the store does not tell."""
    redis: Any = store
    try:
        return Waiting(inbox=await redis.xlen("cnibot:inbox"), outbox=await redis.zcard("cnibot:outbox:waiting"))
    except (RedisError, OSError):
        return None


async def given_up(store: Redis) -> list[str]:
    """Why each entry and each message was given up that was."""
    redis: Any = store
    entries = await redis.xrange("cnibot:inbox:dead")
    messages = await redis.lrange("cnibot:outbox:dead", 0, -1)
    return [*(fields[b"error"].decode() for _, fields in entries), *(json.loads(each)["reason"] for each in messages)]


async def unfinished(store: Redis) -> list[str]:
    """Incidents that say that they are being diagnosed."""
    found = list[str]()
    async for key in _keys(store, "cnibot:incident:*"):
        if await cast("Any", store).hget(key, "status") == b"diagnosing":
            found.append(key.rpartition(":")[2])
    return found


async def verdicts(store: Redis) -> list[Verdict]:
    """Of every report that is kept."""
    found = list[Verdict]()
    async for key in _keys(store, "cnibot:report:*"):
        report = json.loads(zlib.decompress(await cast("Any", store).get(key)))
        verdict = report["verdict"]
        found.append(
            Verdict(
                incident=key.split(":")[2],
                status=verdict["status"],
                cause=verdict["cause"],
                confidence=verdict["confidence"],
                because=tuple(_reasons(report)),
            )
        )
    return found


def _reasons(report: dict[str, Any]) -> Iterator[str]:
    """Why a verdict is no surer than it is."""
    yield report["verdict"]["summary"]
    for finding in report["findings"]:
        if finding["severity"] in {"fail", "inconclusive"}:
            yield f"{finding['severity']} {finding['symptom']} {finding['subject']}: {finding['sentence']}"
    for cause in report["causes"][:1]:
        yield from cause["unobserved"]
        yield from cause["look_alikes"]
    for each in report["coverage"]["unobserved"]:
        yield f"not seen: {each['what']}: {each['why']}"


async def unbounded(store: Redis) -> list[str]:
    """Keys without an expiry that nothing else bounds."""
    meant = re.compile(f"cnibot:(?:{'|'.join(BOUNDED)})")
    everything = [key async for key in _keys(store, "*")]
    return [key for key in everything if not meant.fullmatch(key) and await cast("Any", store).ttl(key) == -1]


async def _keys(store: Redis, pattern: str) -> AsyncIterator[str]:
    async for key in cast("Any", store).scan_iter(pattern, count=1000):
        yield cast("bytes", key).decode()
