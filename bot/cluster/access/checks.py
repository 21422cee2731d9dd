"""Can a cluster be diagnosed from here? Reached, rights, and the rung of the access ladder that they allow."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.aio.each import each
from bot.cluster.access import choose_rung
from bot.cluster.kube import Api
from bot.domain.access import Need
from bot.domain.checks import Check
from bot.domain.errors import BotError, DeadlineError, ForbiddenError, UnauthorizedError, UnreachableError, bounded
from bot.domain.facts import Rung

EXAMINE_S = 15.0

_DEPLOY = "kubectl apply --kustomize deploy"
_OF_CNIS = (".calico.org", "projectcalico.org", "operator.tigera.io", "cilium.io", "policy.networking.k8s.io")
"""API groups that only some clusters serve: not being allowed to read what is not there costs nothing."""


async def examine(
    name: str,
    kubeconfig: Path | None,
    context: str | None,
    *,
    needs: Sequence[Need],
    bot_namespace: str,
    within_s: float = EXAMINE_S,
) -> list[Check]:
    """What works with this cluster. `needs`: what the probes and the snapshot read. Never raises for what it does."""
    deadline = asyncio.timeout(within_s)
    try:
        async with deadline, Api.connect(kubeconfig, context) as api:
            return await _examined(api, name, _common(needs), bot_namespace)
    except TimeoutError:
        if not deadline.expired():
            raise
        error = DeadlineError("The cluster did not tell", within_s)
        return [_unreached(name, error, "Is the API server overloaded, or the way to it slow?")]
    except UnauthorizedError as error:
        return [_unreached(name, error, "Log in again, or give the bot a new token.")]
    except UnreachableError as error:
        return [_unreached(name, error, "Reach it from here with kubectl first.")]
    except BotError as error:
        return [_unreached(name, error, f"Check CNIBOT_CLUSTERS and the kubeconfig ({kubeconfig or 'as kubectl'}).")]


async def _examined(api: Api, name: str, needs: Sequence[Need], bot_namespace: str) -> list[Check]:
    missing = await _missing(api, needs)
    decision = await choose_rung(api, None, namespace="", bot_namespace=bot_namespace)
    says = f"{api.server}, rung {decision.rung}"
    return [_rights(name, missing, says), _rung(name, decision.rung, decision.cannot)]


async def _missing(api: Api, needs: Sequence[Need]) -> list[Need]:
    async def may(need: Need) -> bool:
        try:
            return await api.can_i(need.verb, need.resource, namespace=need.namespace, group=need.group)
        except ForbiddenError:
            return False

    allowed = await each(needs, may, limit=8)
    return [need for need, is_allowed in zip(needs, allowed, strict=True) if not is_allowed]


def _rights(name: str, missing: Sequence[Need], says: str) -> Check:
    title = f"Cluster {name}: rights"
    if not missing:
        return Check(name=title, says=says)
    is_fatal = any(not need.is_optional for need in missing)
    some = "; ".join(str(need) for need in missing[:4])
    more = f"; and {len(missing) - 4} more" if len(missing) > 4 else ""
    problem = f"Not allowed to {some}{more}."
    remedy = f"Grant what deploy/rbac.yaml grants ({_DEPLOY})."
    return Check(name=title, state="failed" if is_fatal else "warning", says=says, problem=problem, remedy=remedy)


def _rung(name: str, rung: Rung, cannot: Sequence[str]) -> Check:
    title = f"Cluster {name}: access"
    if rung is Rung.AGENT:
        return Check(name=title, says="node agents: everything can be seen")
    remedy = f"Allow node agents in the bot's namespace ({_DEPLOY})."
    return Check(name=title, state="warning", says=f"rung {rung}", problem=cannot[0] if cannot else "", remedy=remedy)


def _unreached(name: str, error: BotError, remedy: str) -> Check:
    return Check(name=f"Cluster {name}", state="failed", problem=bounded(str(error)), remedy=remedy)


def _common(needs: Iterable[Need]) -> list[Need]:
    """Those that mean something in every cluster, each once; who names it first says whether it is optional."""
    once: dict[tuple[str, ...], Need] = {}
    for need in needs:
        once.setdefault((need.verb, need.group, need.resource, need.namespace), need)
    return [need for need in once.values() if not need.group.endswith(_OF_CNIS) and need.resource != "configmaps"]
