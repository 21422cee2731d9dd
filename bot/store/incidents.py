"""Incidents, their runs and their reports.

An incident is a hash: `data` (JSON), beside it what scripts change or ask for (`run`, `status`, `updated_at`, `scope`,
`assignee`). `scopes` leads from a scope to its open incident, `open` holds the ids of all open ones.
"""

import secrets
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import cast, get_args

import msgspec
import structlog

from bot.domain.errors import TooLargeError
from bot.domain.incident import Incident, IncidentStatus
from bot.store.connection import Connection
from bot.store.errors import UnknownIncidentError
from bot.store.keys import DAY_S

log = structlog.get_logger()

ATTACH_S = DAY_S
"""An incident in which nothing has happened for so long takes up nobody any more: it is closed, a new one is opened."""
KEPT_S = 30 * DAY_S
"""How long incidents and reports are kept after their last change."""
_FIELDS = ("data", "run", "status", "updated_at", "assignee")
KEPT_RUNS = 20
"""How many reports of one incident are kept."""
MOST_REPORT_BYTES = 32 * 2**20
_DEDUP_S = 7 * DAY_S

# KEYS: dedup, scopes, open, the new incident. ARGV: id, scope, now, how old one may be to attach, how long kept, how
# long the answer is remembered, data, prefix of incidents' keys. Answer: {id, whether new}, or 0 when the id is taken.
_OPEN = """
local known = redis.call('HMGET', KEYS[1], 'id', 'new')
if known[1] then return known end
local function answer(id, new)
  redis.call('HSET', KEYS[1], 'id', id, 'new', new)
  redis.call('EXPIRE', KEYS[1], ARGV[6])
  return {id, new}
end
if redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
local id = redis.call('HGET', KEYS[2], ARGV[2])
if id then
  local key = ARGV[8] .. id
  local stands = redis.call('HMGET', key, 'status', 'updated_at')
  local is_open = stands[1] and stands[1] ~= 'closed'
  if is_open and tonumber(ARGV[3]) - tonumber(stands[2]) <= tonumber(ARGV[4]) then return answer(id, '0') end
  if is_open then redis.call('HSET', key, 'status', 'closed') end
  redis.call('SREM', KEYS[3], id)
end
redis.call('HSET', KEYS[4], 'data', ARGV[7], 'run', 0, 'status', 'diagnosing', 'updated_at', ARGV[3], 'scope', ARGV[2])
redis.call('EXPIRE', KEYS[4], ARGV[5])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
return answer(ARGV[1], '1')
"""

# KEYS: scopes. ARGV: scope, prefix of incidents' keys.
_IS_OPEN = """
local id = redis.call('HGET', KEYS[1], ARGV[1])
local status = id and redis.call('HGET', ARGV[2] .. id, 'status')
return (status and status ~= 'closed') and 1 or 0
"""

# KEYS: the incident, scopes, open. ARGV: id, data, run, status, updated_at, how long kept.
_SAVE = """
local stands = redis.call('HMGET', KEYS[1], 'run', 'scope')
if not stands[1] or tonumber(stands[1]) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[2], 'status', ARGV[4], 'updated_at', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
if ARGV[4] == 'closed' then
  redis.call('SREM', KEYS[3], ARGV[1])
  if redis.call('HGET', KEYS[2], stands[2]) == ARGV[1] then redis.call('HDEL', KEYS[2], stands[2]) end
else
  redis.call('SADD', KEYS[3], ARGV[1])
  redis.call('HSETNX', KEYS[2], stands[2], ARGV[1])
end
return 1
"""

# KEYS: dedup, the incident. ARGV: how long the answer is remembered, now, the run that must be the latest or "".
# Answer: the run; 0 when there is no incident, -1 when another run has begun since.
_BEGIN_RUN = """
local known = redis.call('GET', KEYS[1])
if known then return tonumber(known) end
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'run') ~= ARGV[3] then return -1 end
if redis.call('HGET', KEYS[2], 'status') ~= 'closed' then -- opening it again is `save`'s
  redis.call('HSET', KEYS[2], 'status', 'diagnosing', 'updated_at', ARGV[2])
end
local run = redis.call('HINCRBY', KEYS[2], 'run', 1)
redis.call('SET', KEYS[1], run, 'EX', ARGV[1])
return run
"""

# KEYS: the incident. ARGV: the user.
_ASSIGN = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'assignee', ARGV[1])
return 1
"""


class Incidents:
    """All incidents. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(
        self,
        connection: Connection,
        *,
        new_id: Callable[[], str] = lambda: f"inc-{secrets.token_hex(4)}",
        attach_s: float = ATTACH_S,
    ) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._new_id = new_id
        self._attach_s = attach_s
        self._scopes, self._open = self._keys.of("scopes"), self._keys.of("open")
        self._opening, self._looking = connection.script(_OPEN), connection.script(_IS_OPEN)
        self._saving = connection.script(_SAVE)
        self._beginning = connection.script(_BEGIN_RUN)
        self._assigning = connection.script(_ASSIGN)

    async def open(  # noqa: PLR0913 - the facts of who asked about what
        self,
        *,
        cluster: str,
        namespace: str,
        pod: str | None,
        node: str | None = None,
        channel: str,
        thread: str | None,
        playbook: str = "",
        opened_by: str,
        now: float,
        dedup: str,
    ) -> tuple[Incident, bool]:
        """The open incident of this cluster, namespace, pod, node and channel, or a new one; and whether it is new.

        The same `dedup` gives the same answer again. An incident untouched for `ATTACH_S` is closed, not attached to.
        """
        scope = _scope(cluster, namespace, pod, node, channel)
        while True:
            new = self._new_id()
            incident = Incident(
                id=new, cluster=cluster, namespace=namespace, pod=pod, node=node, channel=channel, thread=thread,
                playbook=playbook, root_key=f"{new}:root", opened_at=now, opened_by=opened_by, updated_at=now,
            )  # fmt: skip
            keys = [self._keys.digest("opened", dedup), self._scopes, self._open, self._key(new)]
            arguments = [
                new,
                scope,
                repr(now),
                self._attach_s,
                KEPT_S,
                _DEDUP_S,
                msgspec.json.encode(incident),
                self._key(""),
            ]
            async with self._connection.client():
                answer = cast("list[bytes] | int", await self._opening(keys=keys, args=arguments))
            if isinstance(answer, int):
                continue  # the id is taken
            incident_id, is_new = answer[0].decode(), answer[1] == b"1"
            found = incident if incident_id == new else await self.get(incident_id)
            if found:
                return found, is_new
            await self._forget(keys[0], scope)  # it expired in the meantime, or cannot be read

    async def is_open(self, *, cluster: str, namespace: str, pod: str | None, node: str | None, channel: str) -> bool:
        """Whether there is an open incident of this scope and channel."""
        scope = _scope(cluster, namespace, pod, node, channel)
        async with self._connection.client():
            return bool(cast("int", await self._looking(keys=[self._scopes], args=[scope, self._key("")])))

    async def _forget(self, opened: str, scope: bytes) -> None:
        async with self._connection.client() as client:
            await client.delete(opened)
            await client.hdel(self._scopes, scope)

    async def get(self, incident_id: str) -> Incident | None:
        """The incident, or None."""
        async with self._connection.client() as client:
            raw = await client.hmget(self._key(incident_id), list(_FIELDS))
        return _decoded(incident_id, cast("list[bytes | None]", raw))

    async def save(self, incident: Incident) -> bool:
        """Keep its new state, all but `run` and `assignee`.

        False, and no change: a newer run has begun since, or it is gone.
        """
        keys = [self._key(incident.id), self._scopes, self._open]
        data = msgspec.json.encode(incident)
        arguments = [incident.id, data, incident.run, incident.status, repr(incident.updated_at), KEPT_S]
        async with self._connection.client():
            return bool(cast("int", await self._saving(keys=keys, args=arguments)))

    async def assign(self, incident_id: str, user: str) -> bool:
        """Note who takes care of it; "" for nobody. False: there is no such incident (any more)."""
        key = self._key(incident_id)
        async with self._connection.client():
            return bool(cast("int", await self._assigning(keys=[key], args=[user])))

    async def begin_run(self, incident_id: str, dedup: str, *, now: float, after: int | None = None) -> int | None:
        """The number of a new run, from 1; the same `dedup` gives the same number again.

        None: a run has begun since the one with the number `after`. Errors: `UnknownIncidentError`.
        """
        keys = [self._keys.digest("begun", f"{incident_id} {dedup}"), self._key(incident_id)]
        async with self._connection.client():
            arguments = [_DEDUP_S, repr(now), "" if after is None else after]
            run = cast("int", await self._beginning(keys=keys, args=arguments))
        if not run:
            raise UnknownIncidentError(incident_id)
        return run if run > 0 else None

    async def begun_run(self, incident_id: str, dedup: str) -> int | None:
        """The number of the run that this `dedup` began; None when it began none."""
        async with self._connection.client() as client:
            run = await client.get(self._keys.digest("begun", f"{incident_id} {dedup}"))
        return int(run) if run else None

    async def open_ones(self, cluster: str | None = None) -> tuple[Incident, ...]:
        """Incidents that are not closed, latest change first."""
        async with self._connection.client() as client:
            members = cast("set[bytes]", await client.smembers(self._open))
            ids = sorted(member.decode() for member in members)
            async with client.pipeline(transaction=False) as pipe:
                for incident_id in ids:
                    pipe.hmget(self._key(incident_id), list(_FIELDS))
                answers = cast("list[list[bytes | None]]", await pipe.execute())
            gone = [incident_id for incident_id, raw in zip(ids, answers, strict=True) if raw[0] is None]
            if gone:
                await client.srem(self._open, *gone)
        found = [_decoded(incident_id, raw) for incident_id, raw in zip(ids, answers, strict=True)]
        chosen = [one for one in found if one and one.is_open and cluster in {None, one.cluster}]
        return tuple(sorted(chosen, key=lambda one: (-one.updated_at, one.id)))

    async def mark_healthy(self, incident: Incident, at: float) -> None:
        """Remember when nothing was wrong with the incident's scope."""
        async with self._connection.client() as client:
            await client.set(self._healthy_key(incident), repr(at), ex=KEPT_S)

    async def healthy_at(self, incident: Incident) -> float | None:
        """When a diagnosis of the same scope last found nothing wrong, wherever it was asked for; None: not known."""
        async with self._connection.client() as client:
            at = await client.get(self._healthy_key(incident))
        return float(at) if at else None

    def _healthy_key(self, incident: Incident) -> str:
        scope = msgspec.json.encode((incident.cluster, incident.namespace, incident.pod))
        return self._keys.digest("healthy", scope.decode())

    async def put_report(self, incident_id: str, run: int, report_json: bytes) -> None:
        """Keep the report of a run; of each incident the last `KEPT_RUNS`. Errors: `TooLargeError`."""
        if len(report_json) > MOST_REPORT_BYTES:
            raise TooLargeError("The report", MOST_REPORT_BYTES)
        packed = zlib.compress(report_json, 1)
        async with self._connection.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.set(self._report_key(incident_id, run), packed, ex=KEPT_S)
            pipe.delete(self._report_key(incident_id, run - KEPT_RUNS))
            await pipe.execute()

    async def report(self, incident_id: str, run: int) -> bytes | None:
        """The report of a run; None when there is none (any more)."""
        async with self._connection.client() as client:
            packed = cast("bytes | None", await client.get(self._report_key(incident_id, run)))
        if packed is None:
            return None
        try:
            return _unpacked(packed)
        except zlib.error as error:
            log.warning("store.unreadable", report=incident_id, run=run, why=str(error))
            return None

    def _key(self, incident_id: str) -> str:
        return self._keys.of("incident", incident_id)

    def _report_key(self, incident_id: str, run: int) -> str:
        return self._keys.of("report", incident_id, run)


def _scope(cluster: str, namespace: str, pod: str | None, node: str | None, channel: str) -> bytes:
    """What two incidents that are open at the same time do not share."""
    return msgspec.json.encode((cluster, namespace, pod, channel, *([node] if node else [])))


def _unpacked(packed: bytes) -> bytes:
    """The bytes, never more of them than were allowed in."""
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(packed, MOST_REPORT_BYTES)
    if not unpacking.eof:
        raise zlib.error("it is cut short or too large")
    return found


def _decoded(incident_id: str, raw: list[bytes | None]) -> Incident | None:
    data, run, status, updated_at, assignee = raw
    if data is None or run is None or status is None or updated_at is None:
        return None
    try:
        incident = msgspec.json.decode(data, type=Incident)
        stands = status.decode()
        if stands not in get_args(IncidentStatus):
            log.warning("store.unreadable", incident=incident_id, status=stands[:20])
            return None
        return replace(
            incident,
            run=int(run),
            status=cast("IncidentStatus", stands),
            updated_at=float(updated_at),
            assignee=(assignee or b"").decode(),
        )
    except (msgspec.MsgspecError, ValueError) as error:  # of another release, or somebody else's
        log.warning("store.unreadable", incident=incident_id, why=str(error))
        return None
