"""The approval that is being carried out, as a ConfigMap in the cluster, for an admission policy to read.

The policy (deploy/chart/cnibot, `admissionPolicy`) lets the executor's account write only what this names. So whoever
gets hold of that account alone can change nothing while no plan runs, and only the plan's objects while one does.
The account that looks writes it, never the executor's own.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path, attributes
from bot.domain.errors import BotError, ConflictError, NotFoundError
from bot.domain.plan import Create, Delete, Evict, HelmRollback, Plan, Recheck, Remove, Replace, Restart, Target

NAME = "cnibot-approval"
NOTICED_S = 2.0
"""API servers learn of the ConfigMap by a watch, and refuse until then."""

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
"""Of a ConfigMap. An object with another name cannot be named there, and so is not made."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def named(plan: Plan) -> dict[str, str]:
    """By the uid of each object what may be done with it: `delete`, `evict`, and fields that may be changed.

    Objects that the plan makes have no uid yet, and stand there by their names.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for step in (*plan.steps, *plan.back):
        match step.do:
            case Create(target=target) | Remove(target=target):
                found[_made(target)].add("made")
            case Delete(target=target, is_eviction=is_eviction):
                found[target.uid].add("evict" if is_eviction else "delete")
            case Replace(target=target, field=("spec",)) as change:
                found[target.uid] |= {f"spec.{part}" for part in _other_parts(change.before or {}, change.after or {})}
            case Replace(target=target, field=field):
                found[target.uid].add(".".join(field[:2]) if field[0] in {"metadata", "spec"} else field[0])
            case Recheck() | Restart() | Evict():
                pass  # which pods is not known yet, so the policy lets none of them go
            case HelmRollback():
                pass  # Helm's own writes bear no mark: it is carried out by an account that the policy does not hold
    return {key: ",".join(sorted(what)) for key, what in found.items() if _KEY.fullmatch(key)}


def _other_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {part for part in {*before, *after} if before.get(part) != after.get(part)}


def _made(target: Target) -> str:
    asked = attributes("GET", target.path)
    return f"made.{asked.resource}.{asked.namespace}.{asked.name}"


@asynccontextmanager
async def announced(api: Api, plan: Plan, namespace: str, *, noticed_s: float = NOTICED_S) -> AsyncGenerator[None]:
    """While it lasts, the cluster knows that this plan is being carried out. Errors: `BotError`: it does not."""
    path = api_path("configmaps", namespace=namespace)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "cnibot"}},
        "data": {"plan": plan.id, "digest": plan.digest, **named(plan)},
    }
    await _withdraw(api, namespace)  # of a process that was killed
    try:
        await api.create(path, body, dict[str, Any])
    except ConflictError:  # its deletion takes a moment
        await asyncio.sleep(noticed_s)
        await api.create(path, body, dict[str, Any])
    try:
        await asyncio.sleep(noticed_s)
        yield
    finally:
        try:
            await _withdraw(api, namespace)
        except BotError as error:
            log.warning("plan.approval_not_withdrawn", plan=plan.id, namespace=namespace, why=str(error))


async def _withdraw(api: Api, namespace: str) -> None:
    try:
        await api.delete(api_path("configmaps", namespace=namespace, name=NAME))
    except NotFoundError:
        return
