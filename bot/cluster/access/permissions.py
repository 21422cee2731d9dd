"""Asking a cluster what each part of the bot is allowed."""

from collections.abc import Sequence

from bot.aio.each import each
from bot.cluster.client.api import Api
from bot.cluster.snapshot.scope import CONFIG_MAPS
from bot.domain.access import Need
from bot.domain.errors import BotError, UnauthorizedError, UnreachableError
from bot.domain.permissions import Answer, Part, Permission

EXEC = "pods/exec"


async def permissions(api: Api, parts: Sequence[Part]) -> list[Permission]:
    """What the cluster allows of each part. Errors: `UnauthorizedError`, `UnreachableError`."""
    needs = tuple(dict.fromkeys(_bare(need) for part in parts for need in part.needs))
    answers = dict(zip(needs, await each(needs, lambda need: _answer(api, need), limit=8), strict=True))
    return [_permission(part, answers) for part in parts]


def _permission(part: Part, answers: dict[Need, Answer]) -> Permission:
    by = {need: answers[_bare(need)] for need in part.needs}
    denied = tuple(need for need, answer in by.items() if answer == "denied")
    execs = [need for need in part.needs if need.resource == EXEC]
    if execs and denied == tuple(need for need in execs if need.verb == "get"):
        denied = ()  # servers since 1.35 ask for "create" only
    return Permission(part=part, denied=denied, unknown=tuple(need for need, it in by.items() if it == "unknown"))


def _bare(need: Need) -> Need:
    """The permission itself, without why and for whom."""
    return Need(verb=need.verb, resource=need.resource, group=need.group, namespace=need.namespace)


async def _answer(api: Api, need: Need) -> Answer:
    try:
        return "allowed" if await _is_allowed(api, need) else "denied"
    except (UnauthorizedError, UnreachableError):
        raise
    except BotError:
        return "unknown"


async def _is_allowed(api: Api, need: Need) -> bool:
    """ConfigMaps are granted by name: one of those that we know there stands for all."""
    names = [""]
    if need.resource == "configmaps":
        names += sorted({name for namespace, name in CONFIG_MAPS if need.namespace in {"", namespace}})
    for name in names:
        if await api.can_i(need.verb, need.resource, namespace=need.namespace, group=need.group, name=name):
            return True
    return False
