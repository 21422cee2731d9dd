"""`status` and `incidents`: what there is to see, for those who may read it."""

from collections.abc import Iterable
from importlib.metadata import version

from bot.aio.each import each
from bot.domain.authorization import Action, Scope, authorize
from bot.domain.checks import Check
from bot.domain.incident import Incident
from bot.incidents.service import ClusterState
from bot.slack import views
from bot.slack.caller import Caller, ephemeral, is_allowed
from bot.slack.handlers.runs import permalink
from bot.slack.services import Services

MOST_SHOWN = 25
VERSION = version("cnibot")
NO_STATE = views.StatusModel(version=VERSION)
"""For those who may not see it."""


async def status(services: Services, caller: Caller) -> None:
    """Whether clusters answer, what runs and waits, and how Slack reaches us."""
    if await is_allowed(services, caller, Action.READ):
        state = await state_of(services, caller.user, caller.channel)
        await ephemeral(services, caller, "status", views.status(state))


async def incidents(services: Services, caller: Caller) -> None:
    """The open incidents that the caller may read, newest first, with links to their threads."""
    if not await is_allowed(services, caller, Action.READ):
        return
    shown = await readable(services, caller.user, caller.channel, await services.store.incidents.open_ones())
    links = await permalinks(services, shown[:MOST_SHOWN])
    await ephemeral(services, caller, "incidents", views.incident_list(shown, links))


async def state_of(services: Services, user: str, channel: str) -> views.StatusModel:
    """How the bot is doing; of clusters and namespaces no more than this person may read here."""
    principal = await services.people.principal(user)

    def may(cluster: str, namespace: str | None = None) -> bool:
        scope = Scope(cluster=cluster, namespace=namespace, channel=channel)
        return authorize(principal, Action.READ, scope, services.grants).allowed

    checks = [_check(state) for state in await services.service.states() if may(state.name)]
    queue = await services.outbox.state()
    return views.StatusModel(
        version=VERSION,
        checks=tuple(checks),
        connections=services.connections(),
        running=services.service.running,
        waiting=services.service.waiting,
        unsent=queue.waiting,
        open_incidents=len(await readable(services, user, channel, await services.store.incidents.open_ones())),
        watches=tuple(one for one in await services.store.watches.all() if may(one.cluster, one.namespace)),
    )


def _check(state: ClusterState) -> Check:
    name = f"Cluster {state.name}"
    if state.is_reachable:
        return Check(name=name, says="its API server answers")
    return Check(name=name, state="failed", problem=state.sentence, remedy="Run `cnibot doctor` for details.")


async def readable(services: Services, user: str, channel: str, found: Iterable[Incident]) -> tuple[Incident, ...]:
    """Those that this person may read here."""
    principal = await services.people.principal(user)

    def may(incident: Incident) -> bool:
        scope = Scope(cluster=incident.cluster, namespace=incident.namespace, channel=channel)
        return authorize(principal, Action.READ, scope, services.grants).allowed

    return tuple(filter(may, found))


async def permalinks(services: Services, shown: Iterable[Incident]) -> dict[str, str]:
    """Addresses of threads by incident; those that Slack returned."""
    listed = tuple(shown)

    async def link(incident: Incident) -> str:
        return await permalink(services, incident)

    found = await each(listed, link, limit=5)
    return {incident.id: address for incident, address in zip(listed, found, strict=True) if address}
