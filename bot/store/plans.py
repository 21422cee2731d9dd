"""Plans, their journals and the lease of each cluster.

A change of a plan and its line in the audit are one script: there is no moment with one and without the other. Whoever
executes holds the cluster's lease; each line of a journal is taken only from the present holder, by its number (the
fence), and only as the next line. Each script may arrive twice, for the client sends again what a broken connection
left unanswered: the second time changes nothing and answers the same. Time is Redis's alone.

Kept for 90 days after the last change: `plan:ID`, `journal:ID`; the ids of the newest 1,000 in `plans`. Kept for ever:
`audit`, `audit:head`, and one number a cluster in `fence:CLUSTER`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec
import structlog

from bot.domain.errors import BotError, bounded
from bot.domain.plan import Person, canonical
from bot.domain.plan_journal import AuditEntry, JournalEntry
from bot.domain.plan_life import PlanRecord, Refusal
from bot.store.audit import Audit, Head, sealed
from bot.store.connection import Connection
from bot.store.keys import DAY_S

log = structlog.get_logger()

KEPT_S = 90 * DAY_S
"""How long a plan is kept after its last change. The audit is kept for ever."""
LEASE_S = 30.0

# KEYS: plan, all plans, audit, audit's head. ARGV: expected revision ('' when it is new), data, revision, how long
# kept, id, when made, expected head, entry, head. Answer: 1; 0: the plan has another revision; -1: the audit went on.
_CHANGE = """
local stands = redis.call('HGET', KEYS[1], 'revision') or ''
if stands ~= ARGV[1] then return redis.call('HGET', KEYS[1], 'data') == ARGV[2] and 1 or 0 end
if (redis.call('GET', KEYS[4]) or '') ~= ARGV[7] then return -1 end
redis.call('HSET', KEYS[1], 'data', ARGV[2], 'revision', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[5])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1001)
redis.call('RPUSH', KEYS[3], ARGV[8])
redis.call('SET', KEYS[4], ARGV[9])
return 1
"""

# KEYS: lease, journal, audit, audit's head. ARGV: holder, expected length, line, how long kept, expected head, entry,
# head. Answer: 1; 0: the lease is another's; -1: the audit went on; -2: the journal went on.
_WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then
  return redis.call('LINDEX', KEYS[2], ARGV[2]) == ARGV[3] and 1 or -2
end
if (redis.call('GET', KEYS[4]) or '') ~= ARGV[5] then return -1 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('RPUSH', KEYS[3], ARGV[6])
redis.call('SET', KEYS[4], ARGV[7])
return 1
"""

# KEYS: lease, fence. ARGV: who, plan, how long in ms. Answer: the holder as it is kept, or 0 and who holds it.
_LEASE = """
local held = redis.call('GET', KEYS[1])
local us = ' ' .. ARGV[2] .. ' ' .. ARGV[1]
if held then return {string.sub(held, -string.len(us)) == us and 1 or 0, held} end
local holder = redis.call('INCR', KEYS[2]) .. us
redis.call('SET', KEYS[1], holder, 'PX', ARGV[3])
return {1, holder}
"""

# KEYS: stop, audit, audit's head. ARGV: the stop ('' releases it), expected head, entry, head. Answer: 1; -1: the audit
# went on.
_STOP = """
local head = redis.call('GET', KEYS[3]) or ''
if head == ARGV[4] then return 1 end
if head ~= ARGV[2] then return -1 end
if ARGV[1] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
return 1
"""

# KEYS: lease. ARGV: holder, how long in ms (0: give it back).
_KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class UnknownPlanError(BotError):
    """No such plan, or it has been forgotten since."""

    def __init__(self, plan_id: str) -> None:
        super().__init__(
            f"There is no plan {bounded(plan_id, 40)!r}, or it is no longer kept. `cnibot plan list` shows all."
        )
        self.plan_id = plan_id


class BusyError(BotError):
    """Another plan has the cluster in hand."""

    def __init__(self, cluster: str, plan_id: str) -> None:
        super().__init__(f"Plan {bounded(plan_id, 40)} is at work on {bounded(cluster, 80)}: one at a time.")
        self.plan_id = plan_id


class LeaseLostError(BotError):
    """Another process has taken the cluster over: whatever it does, we write nothing more."""

    def __init__(self, cluster: str) -> None:
        super().__init__(f"Another process has taken over the plan that is at work on {bounded(cluster, 80)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to change one cluster for one plan, until it runs out."""

    cluster: str
    holder: str
    fence: int


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """The kill switch, thrown."""

    person: Person
    at: float
    reason: str = ""


class Plans:
    """All plans. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    def __init__(self, connection: Connection, audit: Audit, *, lease_s: float = LEASE_S) -> None:
        self._connection = connection
        self._keys = connection.keys
        self.audit = audit
        self.lease_s = lease_s
        self._all, self._stop = self._keys.of("plans"), self._keys.of("plans", "stop")
        self._changing, self._writing = connection.script(_CHANGE), connection.script(_WRITE)
        self._leasing, self._keeping = connection.script(_LEASE), connection.script(_KEEP)
        self._stopping = connection.script(_STOP)

    async def add(self, record: PlanRecord, entry: AuditEntry) -> None:
        """Keep a new plan. The same plan a second time changes nothing."""
        if await self.find(record.plan.id) is None and not await self._change(None, record, entry):
            log.info("plan.known", plan=record.plan.id)

    async def get(self, plan_id: str) -> PlanRecord:
        """The plan. Errors: `UnknownPlanError`."""
        found = await self.find(plan_id)
        if found is None:
            raise UnknownPlanError(plan_id)
        return found

    async def find(self, plan_id: str) -> PlanRecord | None:
        """The plan, or None."""
        async with self._connection.client() as client:
            raw = cast("bytes | None", await client.hget(self._key(plan_id), "data"))
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=PlanRecord)
        except msgspec.MsgspecError as error:  # of another release: it is not executed, and not lost
            log.warning("store.unreadable", plan=plan_id, why=str(error))
            return None

    async def recent(self, most: int = 200) -> tuple[PlanRecord, ...]:
        """The newest plans first."""
        async with self._connection.client() as client:
            ids = cast("list[bytes]", await client.zrange(self._all, 0, most - 1, desc=True))  # pyright: ignore[reportUnknownMemberType]
        found = [await self.find(one.decode()) for one in ids]
        return tuple(one for one in found if one is not None)

    async def decide(
        self,
        plan_id: str,
        decision: Callable[[PlanRecord], PlanRecord | Refusal],
        entry: Callable[[PlanRecord], AuditEntry],
    ) -> PlanRecord | Refusal:
        """The plan after a decision that was made once, by compare and set; or why there is none.

        Errors: `UnknownPlanError`.
        """
        while True:
            stands = await self.get(plan_id)
            changed = decision(stands)
            if isinstance(changed, Refusal):
                return changed
            changed = msgspec.structs.replace(changed, revision=stands.revision + 1)
            if await self._change(stands, changed, entry(changed)):
                return changed

    async def _change(self, stands: PlanRecord | None, changed: PlanRecord, entry: AuditEntry) -> bool:
        """Whether this was still the next change of the plan."""
        plan = changed.plan
        keys = [self._key(plan.id), self._all, self.audit.key, self.audit.head_key]
        while True:
            head, seal = await self._sealed(entry)
            arguments = [
                "" if stands is None else stands.revision,
                msgspec.json.encode(changed),
                changed.revision,
                KEPT_S,
                plan.id,
                repr(plan.made_at),
                *head,
                *seal,
            ]
            async with self._connection.client():
                answer = cast("int", await self._changing(keys=keys, args=arguments))
            if answer != -1:
                return bool(answer)

    async def _sealed(self, entry: AuditEntry) -> tuple[tuple[str], tuple[bytes, str]]:
        """The audit's present head, then the entry that follows it and the head with it."""
        head = await self.audit.head()
        following = sealed(entry, head)
        new = Head(number=following.number, hash=following.hash)
        return (str(head) if head.number else "",), (canonical(following), str(new))

    async def lease(self, cluster: str, plan_id: str, who: str) -> Lease:
        """The cluster, for this plan. Errors: `BusyError`."""
        keys = [self._keys.of("lease", cluster), self._keys.of("fence", cluster)]
        async with self._connection.client():
            is_ours, raw = cast(
                "tuple[int, bytes]", await self._leasing(keys=keys, args=[who, plan_id, int(self.lease_s * 1000)])
            )
        holder = raw.decode()
        fence, by, _ = holder.split(" ", 2)
        if not is_ours:
            raise BusyError(cluster, by)
        return Lease(cluster=cluster, holder=holder, fence=int(fence))

    async def keep(self, lease: Lease) -> None:
        """Hold the lease for its whole time again. Errors: `LeaseLostError`."""
        if not await self._keep(lease, int(self.lease_s * 1000)):
            raise LeaseLostError(lease.cluster)

    async def release(self, lease: Lease) -> None:
        """Let others have the cluster."""
        await self._keep(lease, 0)

    async def _keep(self, lease: Lease, ms: int) -> bool:
        async with self._connection.client():
            keys = [self._keys.of("lease", lease.cluster)]
            return bool(cast("int", await self._keeping(keys=keys, args=[lease.holder, ms])))

    async def journal(self, plan_id: str) -> tuple[JournalEntry, ...]:
        """What was done of the plan, oldest first."""
        async with self._connection.client() as client:
            lines = cast("list[bytes]", await client.lrange(self._keys.of("journal", plan_id), 0, -1))
        return tuple(msgspec.json.decode(line, type=JournalEntry) for line in lines)

    async def write(self, lease: Lease, plan_id: str, place: int, line: JournalEntry, entry: AuditEntry) -> None:
        """The journal's line number `place` (from 0), written before or after what it is about.

        Errors: `LeaseLostError`: nothing may be done any more.
        """
        keys = [self._keys.of("lease", lease.cluster), self._keys.of("journal", plan_id)]
        keys += [self.audit.key, self.audit.head_key]
        while True:
            head, seal = await self._sealed(entry)
            arguments = [lease.holder, place, msgspec.json.encode(line), KEPT_S, *head, *seal]
            async with self._connection.client():
                answer = cast("int", await self._writing(keys=keys, args=arguments))
            if answer == 1:
                return
            if answer != -1:
                raise LeaseLostError(lease.cluster)

    async def stop_all(self, stop: Stop | None, entry: AuditEntry) -> None:
        """Throw the kill switch, or (None) release it."""
        keys = [self._stop, self.audit.key, self.audit.head_key]
        answer = -1
        while answer == -1:
            head, seal = await self._sealed(entry)
            arguments = ["" if stop is None else msgspec.json.encode(stop), *head, *seal]
            async with self._connection.client():
                answer = cast("int", await self._stopping(keys=keys, args=arguments))

    async def stopped(self) -> Stop | None:
        """Who threw the kill switch; None when nobody did."""
        async with self._connection.client() as client:
            raw = cast("bytes | None", await client.get(self._stop))
        return None if raw is None else msgspec.json.decode(raw, type=Stop)

    def _key(self, plan_id: str) -> str:
        return self._keys.of("plan", plan_id)
