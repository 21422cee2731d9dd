"""`diagnose NAMESPACE`: from a command, a mention, a button or a shortcut to an incident and its thread."""

from typing import Any

import structlog

from bot.domain.authorization import Action
from bot.domain.errors import UnknownNamespaceError
from bot.domain.incident import Incident
from bot.incidents.clusters import UnknownClusterError
from bot.incidents.desk import Asked
from bot.slack import saying, views
from bot.slack.asking import NOT_ANSWERED, why
from bot.slack.caller import Caller, is_allowed, is_present, whisper
from bot.slack.commands import Diagnose
from bot.slack.handlers.running import run
from bot.slack.services import Services

log = structlog.get_logger()

STALE_S = 900.0
"""A run that has not been heard of for so long is not waited for."""


async def diagnose(services: Services, caller: Caller, command: Diagnose) -> None:
    """Diagnose, unless the person may not, the namespace surely does not exist, or it is being diagnosed already."""
    cluster = await cluster_for(services, caller, Action.DIAGNOSE, command.cluster)
    if cluster is None:
        return
    if not await is_allowed(services, caller, Action.DIAGNOSE, cluster=cluster, namespace=command.namespace):
        return
    if not await is_present(services, caller) or not await exists(services, caller, cluster, command.namespace):
        return
    asked = Asked(
        cluster=cluster,
        namespace=command.namespace,
        pod=command.pod,
        channel=caller.channel,
        thread=caller.thread,
        by=caller.user,
    )
    incident, is_new = await services.desk.open(asked, dedup=caller.key)
    await take_up(services, caller, incident, is_new=is_new)


async def take_up(services: Services, caller: Caller, incident: Incident, *, is_new: bool) -> None:
    """A new run of the incident in its own thread, and a word to whoever asks elsewhere where that is."""
    if not is_new:
        is_running = await is_busy(services, incident, caller.key)
        if is_running or not await _is_in_thread(services, caller, incident):
            link = await permalink(services, incident)
            await whisper(services, caller, "attached", saying.attached(incident, link, is_running=is_running))
        if is_running:
            return
    incident = await services.desk.begin(incident, dedup=caller.key)
    outcome = await run(services, incident, asked_by=caller.user, response_url=caller.response_url)
    if isinstance(outcome, UnknownNamespaceError):  # not known in time to say so before anything was posted
        near = views.unknown_namespace(outcome.name, outcome.nearest, incident.cluster)
        await whisper(services, caller, "unknown-namespace", near)


async def _is_in_thread(services: Services, caller: Caller, incident: Incident) -> bool:
    """Whether the caller asks where the answer will appear."""
    return caller.thread == (incident.thread or await services.outbox.ts_of(incident.root_key))


async def cluster_for(services: Services, caller: Caller, action: Action, name: str | None) -> str | None:
    """The name of the cluster that is meant. None: there is none, and those who may know are told which there are."""
    try:
        return services.desk.clusters.named(name).name
    except UnknownClusterError as error:
        if await is_allowed(services, caller, action):
            await whisper(services, caller, "cluster", saying.plainly(str(error)))
        return None


async def exists(services: Services, caller: Caller, cluster: str, namespace: str) -> bool:
    """False: the namespace surely does not exist, and the caller is shown the nearest names."""
    check = await services.desk.check(cluster, namespace)
    if check.is_known is not False:
        return True
    content = (
        saying.on_other_clusters(namespace, cluster, check.elsewhere)
        if check.elsewhere
        else views.unknown_namespace(namespace, check.nearest, cluster)
    )
    await whisper(services, caller, "unknown-namespace", content)
    return False


async def is_busy(services: Services, incident: Incident, dedup: str) -> bool:
    """Whether another run of it is under way. One that `dedup` began was cut short, and is to be ended now."""
    if incident.status != "diagnosing" or services.now() - incident.updated_at >= STALE_S:
        return False
    return not await services.desk.has_begun(incident, dedup=dedup)


async def permalink(services: Services, incident: Incident) -> str:
    """The address of the incident's thread; "" where Slack did not tell, or the thread has not begun."""
    ts = incident.thread or await services.outbox.ts_of(incident.root_key)
    return await message_link(services, incident.channel, ts) if ts else ""


async def message_link(services: Services, channel: str, ts: str) -> str:
    """The address of a message; "" where Slack did not tell."""
    try:
        client: Any = services.client  # the SDK's methods are not fully annotated
        answer = await client.chat_getPermalink(channel=channel, message_ts=ts)
    except NOT_ANSWERED as error:
        log.warning("permalink.unknown", channel=channel, why=why(error))
        return ""
    return str(answer.get("permalink", ""))
