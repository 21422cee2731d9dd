"""The access ladder: which rung the credentials allow.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bot.aio.each import each
from bot.cluster.access.agent_pod import SELECTOR
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.objects import Namespace, Pod
from bot.cluster.snapshot.scope import CONNECTIVITY_NAMESPACES
from bot.domain.access import Need
from bot.domain.errors import BotError, ForbiddenError, NotFoundError, UnauthorizedError, UnreachableError
from bot.domain.facts import Rung

REVIEWS_S = 5.0

LADDER = (Rung.API, Rung.EXEC, Rung.CNI_AGENT, Rung.AGENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RungDecision:
    """The rung to use, and why not a higher one."""

    rung: Rung
    why: str
    cannot: tuple[str, ...] = ()
    """One sentence for each rung that was considered and is not possible, with what is missing. Highest first."""


def rung_needs(rung: Rung, *, namespace: str = "", bot_namespace: str = "cnibot") -> tuple[Need, ...]:
    """The permissions that a rung uses, beside those of the snapshot. `namespace` is the diagnosed one ("": any)."""
    match rung:
        case Rung.API:
            return ()
        case Rung.EXEC:
            return _exec(namespace, why="read-only commands in suspect pods")
        case Rung.CNI_AGENT:
            return _exec("", why="read-only commands in the CNI's agents")
        case Rung.AGENT:
            return (
                *(_in(bot_namespace, verb, "pods", "node agents") for verb in ("create", "delete", "list", "watch")),
                *_exec(bot_namespace, why="asking node agents for their report"),
                Need(verb="get", resource="namespaces", is_optional=True, why="whether our own namespace is there"),
                Need(verb="create", resource="namespaces", is_optional=True, why="making our own namespace"),
            )


def _exec(namespace: str, *, why: str) -> tuple[Need, ...]:
    """Both verbs: a WebSocket's GET needed "get" before Kubernetes 1.35 and needs "create" since."""
    return _in(namespace, "create", "pods/exec", why), _in(namespace, "get", "pods/exec", why)


def _in(namespace: str, verb: str, resource: str, why: str) -> Need:
    return Need(verb=verb, resource=resource, namespace=namespace, why=why)


async def choose_rung(
    api: Api,
    wanted: Rung | None,
    *,
    namespace: str,
    bot_namespace: str = "cnibot",
    deadline_s: float = REVIEWS_S,
) -> RungDecision:
    """The highest rung allowed, at most `wanted` (None: as high as possible).

    Reviews that fail or take too long count as not allowed, with the reason. Errors: `UnauthorizedError`,
    `UnreachableError`.
    """
    highest = LADDER.index(wanted or Rung.AGENT)
    cannot: list[str] = []
    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline:
            for rung in reversed(LADDER[: highest + 1]):
                why_not = await _why_not(api, rung, namespace, bot_namespace)
                if why_not is None:
                    how = "as asked" if rung is wanted else "the highest that is allowed"
                    return RungDecision(rung=rung, why=f"looking by rung {rung}, {how}", cannot=tuple(cannot))
                cannot.append(f"Rung {rung} is not possible: {why_not}.")
    except TimeoutError:
        if not deadline.expired():
            raise
        cannot.append(f"What is allowed was not known within {deadline_s:.3g} s.")
    return RungDecision(rung=Rung.API, why="reading API objects only", cannot=tuple(cannot))


async def _why_not(api: Api, rung: Rung, namespace: str, bot_namespace: str) -> str | None:
    """Why this rung is not possible; None when it is."""
    try:
        match rung:
            case Rung.API:
                return None
            case Rung.EXEC:
                return _lacking(await _denied(api, rung_needs(rung, namespace=namespace)))
            case Rung.CNI_AGENT:
                return await _why_no_cni_agent(api)
            case Rung.AGENT:
                return await _why_no_agent(api, bot_namespace)
    except (UnauthorizedError, UnreachableError):
        raise
    except BotError as error:
        return str(error).rstrip(".")


async def _why_no_cni_agent(api: Api) -> str | None:
    """One namespace of CNIs where commands are allowed is enough."""
    denied = await each(CONNECTIVITY_NAMESPACES, lambda each: _denied(api, _exec(each, why="")))
    return None if not all(denied) else _lacking(denied[0])


async def _why_no_agent(api: Api, bot_namespace: str) -> str | None:
    needs = [need for need in rung_needs(Rung.AGENT, bot_namespace=bot_namespace) if not need.is_optional]
    denied = await _denied(api, needs)
    making = {"create", "delete", "watch"}
    if denied and all(need.resource == "pods" and need.verb in making for need in denied):
        return None if await _has_standing_agents(api, bot_namespace) else _lacking(denied)
    if denied:
        return _lacking(denied)
    return await _why_no_namespace(api, bot_namespace)


async def _has_standing_agents(api: Api, bot_namespace: str) -> bool:
    """Whether a DaemonSet's agents are there: then nothing has to be made."""
    path = api_path("pods", namespace=bot_namespace)
    listed = await api.list_all(path, Pod, max_items=1, labelSelector=SELECTOR)
    return any(pod.is_ready for pod in listed.items)


async def _why_no_namespace(api: Api, bot_namespace: str) -> str | None:
    try:
        await api.get(api_path("namespaces", name=bot_namespace), Namespace)
    except ForbiddenError:
        return None  # unknown: creating the first agent will tell
    except NotFoundError:
        if not await api.can_i("create", "namespaces"):
            return f"there is no namespace {bot_namespace}, and create namespaces is not allowed"
    return None


async def _denied(api: Api, needs: Sequence[Need]) -> list[Need]:
    """Those of the needs that are not allowed (or could not be asked about)."""

    async def is_allowed(need: Need) -> bool:
        try:
            return await api.can_i(need.verb, need.resource, namespace=need.namespace, group=need.group)
        except ForbiddenError:
            return False

    allowed = await each(needs, is_allowed)
    denied = [need for need, may in zip(needs, allowed, strict=True) if not may]
    execs = [need for need in needs if need.resource == "pods/exec"]
    if execs and denied == [need for need in execs if need.verb == "get"]:
        return []  # servers since 1.35 ask for "create" only
    return denied


def _lacking(denied: Sequence[Need]) -> str | None:
    """What is not allowed, the verbs of one resource together."""
    if not denied:
        return None
    verbs: dict[str, list[str]] = {}
    for need in denied:
        verbs.setdefault(str(need).partition(" ")[2], []).append(need.verb)
    return "not allowed to " + " or ".join(f"{'/'.join(some)} {resource}" for resource, some in verbs.items())
