"""Alerts of incidents: which fire for which, since when, and how often they came and went.

`alerts:INCIDENT` is a hash from fingerprint to `IncidentAlert` (JSON), `alerts-of:INCIDENT` holds its counts, and
`alert:CLUSTER FINGERPRINT` leads to the incident.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import msgspec
import structlog

from bot.domain.alert import AlertStatus
from bot.store.connection import Connection
from bot.store.keys import DAY_S

log = structlog.get_logger()

KEPT_S = 30 * DAY_S
MOST_ALERTS = 10_000
"""Of one incident; further ones are counted with it, and not kept one by one."""

# KEYS: the incident's alerts, which incident the alert belongs to, the incident's counts. ARGV: fingerprint, the alert
# (JSON), incident, how long kept, most alerts. Answer: {new, changed, whether of a new kind, how many fire}
_PUT = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
local alert = cjson.decode(ARGV[2])
local is_new, changed, was = 0, 1, ''
if before then
  local known = cjson.decode(before)
  was = known.status
  alert.first_at, alert.times = known.first_at, known.times
  if alert.subject == '' then alert.subject = known.subject end -- its end is not located again
  if was == alert.status then
    alert.since = known.since
    changed = 0
  elseif alert.status == 'firing' then
    alert.times = known.times + 1
  end
else
  is_new = 1
end
local is_kept = before or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[5])
if is_kept then redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(alert)) end
if not is_kept then redis.call('HINCRBY', KEYS[3], 'beyond', 1) end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'changes', changed)
local fires = 0
if is_kept and alert.status == 'firing' and was ~= 'firing' then fires = 1 end
if was == 'firing' and alert.status ~= 'firing' then fires = -1 end
local firing = redis.call('HINCRBY', KEYS[3], 'firing', fires)
local is_new_kind = 0
if changed == 1 and alert.status == 'firing' then
  is_new_kind = redis.call('HSETNX', KEYS[3], 'kind ' .. alert.name .. ' ' .. alert.severity, 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[4])
return {is_new, changed, is_new_kind, firing}
"""


# KEYS: the incident's alerts, its counts. All alerts in one answer, a line each: ten thousand answers of their own take
# the client a tenth of a second, in which nobody else is answered.
_OF = """
local counts = redis.call('HMGET', KEYS[2], 'changes', 'beyond')
return {table.concat(redis.call('HVALS', KEYS[1]), '\\n'), counts[1] or '0', counts[2] or '0'}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAlert:
    """One alert as an incident knows it."""

    fingerprint: str
    name: str
    severity: str = ""
    status: AlertStatus
    subject: str = ""
    """What it speaks of, kind and name: "pod shop/web-0"; "" for nothing exact."""
    starts_at: str = ""
    """As Alertmanager writes it."""
    since: float
    """Since when it has this status, Unix time."""
    first_at: float
    """When it was first received."""
    times: int = 1
    """How often it began to fire."""


_DECODER = msgspec.json.Decoder(IncidentAlert)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPut:
    """What became of an alert that was put."""

    is_new: bool
    """The incident did not know it."""
    is_changed: bool
    """It is new, fires again or has ended."""
    is_new_kind: bool
    """No alert of this name and severity fired for the incident before."""
    firing: int
    """How many of the incident's alerts fire now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsOf:
    """All alerts of one incident."""

    alerts: tuple[IncidentAlert, ...] = ()
    """Firing ones first, then by when they were first received."""
    beyond: int = 0
    """Further ones, which are not kept one by one."""
    changes: int = 0
    """How often one of them began or ended."""


class Alerts:
    """Alerts of all incidents. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(self, connection: Connection, *, most: int = MOST_ALERTS) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._most = most
        self._putting, self._reading = connection.script(_PUT), connection.script(_OF)

    async def put(self, cluster: str, incident_id: str, alert: IncidentAlert) -> AlertPut:
        """Keep the alert's state with its incident. The same state again changes nothing."""
        keys = [
            self._keys.of("alerts", incident_id),
            self._of(cluster, alert.fingerprint),
            self._keys.of("alerts-of", incident_id),
        ]
        arguments = [alert.fingerprint, msgspec.json.encode(alert), incident_id, KEPT_S, self._most]
        async with self._connection.client():
            new, changed, new_kind, firing = cast("list[int]", await self._putting(keys=keys, args=arguments))
        return AlertPut(is_new=bool(new), is_changed=bool(changed), is_new_kind=bool(new_kind), firing=firing)

    async def are_known(self, incident_id: str) -> bool:
        """Whether any alert ever belonged to the incident."""
        async with self._connection.client() as client:
            return bool(await client.exists(self._keys.of("alerts-of", incident_id)))

    async def count_scope(self, cluster: str, scope: str, *, now: float, window_s: float) -> int:
        """How many scopes were new within the window, this one included."""
        key = self._keys.digest("alert-scopes", cluster)
        async with self._connection.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(key, "-inf", now - window_s)
            pipe.zadd(key, {scope: now}, nx=True)
            pipe.zcard(key)
            pipe.expire(key, int(window_s))
            answers = cast("list[int]", await pipe.execute())
        return answers[2]

    async def incident_of(self, cluster: str, fingerprint: str) -> str | None:
        """The id of the incident that this alert last belonged to."""
        async with self._connection.client() as client:
            found = cast("bytes | None", await client.get(self._of(cluster, fingerprint)))
        return found.decode() if found else None

    async def of(self, incident_id: str) -> AlertsOf:
        """The incident's alerts."""
        keys = [self._keys.of("alerts", incident_id), self._keys.of("alerts-of", incident_id)]
        async with self._connection.client():
            values, changes, beyond = cast("list[bytes]", await self._reading(keys=keys))
        alerts = sorted(_decoded(values), key=lambda one: (one.status != "firing", one.first_at, one.fingerprint))
        return AlertsOf(alerts=tuple(alerts), changes=int(changes), beyond=int(beyond))

    async def firing(self, incident_id: str) -> int:
        """How many of the incident's alerts fire."""
        async with self._connection.client() as client:
            found = cast("bytes | None", await client.hget(self._keys.of("alerts-of", incident_id), "firing"))
        return int(found or 0)

    def _of(self, cluster: str, fingerprint: str) -> str:
        return self._keys.digest("alert", f"{cluster} {fingerprint}")


def _decoded(lines: bytes) -> list[IncidentAlert]:
    """Those that can be read."""
    try:
        return _DECODER.decode_lines(lines)
    except msgspec.MsgspecError:
        return list(_readable(lines))


def _readable(lines: bytes) -> Iterator[IncidentAlert]:
    for line in lines.splitlines():
        try:
            yield _DECODER.decode(line)
        except msgspec.MsgspecError as error:  # of another release
            log.warning("store.unreadable", what="alert", why=str(error))
