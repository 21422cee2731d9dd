"""`diagnose NAMESPACE`: from a command, a mention, a button or a shortcut to an incident and its thread."""

import structlog

from bot.domain.authorization import Action
from bot.domain.errors import UnknownNamespaceError, UnknownPodError
from bot.domain.incident import Incident
from bot.domain.report import Report
from bot.incidents.clusters import UnknownClusterError
from bot.incidents.service import DiagnosisRequest
from bot.slack import views
from bot.slack.caller import Caller, ephemeral, is_allowed, is_present, permitted
from bot.slack.commands import Diagnose
from bot.slack.handlers.firing import after_run
from bot.slack.handlers.runs import permalink, run
from bot.slack.services import Services
from bot.slack.views import notices

log = structlog.get_logger()

STALE_S = 900.0
"""A run that has been silent for so long is not waited for."""


async def diagnose(services: Services, caller: Caller, command: Diagnose) -> None:
    """Diagnose, unless the person may not, the namespace surely does not exist, or it is being diagnosed already."""
    cluster = await cluster_for(services, caller, Action.DIAGNOSE, command.cluster)
    if cluster is None:
        return
    if not await is_allowed(services, caller, Action.DIAGNOSE, cluster=cluster, namespace=command.namespace):
        return
    if not await is_present(services, caller) or not await exists(services, caller, cluster, command.namespace):
        return
    if command.pod and not await _has_pod(services, caller, cluster, command.namespace, command.pod):
        return
    asked = DiagnosisRequest(
        cluster=cluster,
        namespace=command.namespace,
        pod=command.pod,
        channel=caller.channel,
        thread=caller.thread,
        by=caller.user,
    )
    incident, is_new = await services.service.open(asked, dedup=caller.key)
    await take_up(services, caller, incident, is_new=is_new)


async def take_up(
    services: Services, caller: Caller, incident: Incident, *, is_new: bool
) -> tuple[Incident, Report] | None:
    """A new run of the incident in its own thread, and a word to whoever asks elsewhere where that is.

    None: another run is under way, or there is no verdict; the caller has been notified.
    """
    if not is_new:
        is_running = await is_busy(services, incident, caller.key)
        if is_running or not await _is_in_thread(services, caller, incident):
            link = await permalink(services, incident)
            await ephemeral(services, caller, "attached", notices.attached(incident, link, is_running=is_running))
        if is_running:
            return None
    incident = await services.service.begin(incident, dedup=caller.key, by=caller.user)
    outcome = await run(services, incident, asked_by=caller.user, response_url=caller.response_url)
    await after_run(services, incident.id)
    if isinstance(outcome, Report):
        return incident, outcome
    if isinstance(outcome, UnknownNamespaceError):  # not known in time to say so before anything was posted
        known = [(incident.cluster, one) for one in outcome.nearest]
        nearest = tuple(one for _, one in await permitted(services, caller, Action.DIAGNOSE, known))
        near = views.unknown_namespace(outcome.name, nearest, incident.cluster)
        await ephemeral(services, caller, "unknown-namespace", near)
    if isinstance(outcome, UnknownPodError):
        await _say_unknown_pod(services, caller, incident.cluster, outcome)
    return None


async def _is_in_thread(services: Services, caller: Caller, incident: Incident) -> bool:
    """Whether the caller asks where the answer will appear."""
    return caller.thread == (incident.thread or await services.outbox.ts_of(incident.root_key))


async def cluster_for(services: Services, caller: Caller, action: Action, name: str | None) -> str | None:
    """The name of the cluster that is meant. None: there is none, and those who may know get the names."""
    try:
        return services.service.clusters.named(name).name
    except UnknownClusterError as error:
        if await is_allowed(services, caller, action):
            await ephemeral(services, caller, "cluster", notices.plainly(str(error)))
        return None


async def exists(services: Services, caller: Caller, cluster: str, namespace: str) -> bool:
    """False: the namespace surely does not exist, and the caller is shown the nearest names."""
    check = await services.service.check(cluster, namespace)
    if check.is_known is not False:
        return True
    elsewhere = await permitted(services, caller, Action.DIAGNOSE, [(one, namespace) for one in check.elsewhere])
    nearest = await permitted(services, caller, Action.DIAGNOSE, [(cluster, one) for one in check.nearest])
    content = (
        notices.on_other_clusters(namespace, cluster, tuple(one for one, _ in elsewhere))
        if elsewhere
        else views.unknown_namespace(namespace, tuple(one for _, one in nearest), cluster)
    )
    await ephemeral(services, caller, "unknown-namespace", content)
    return False


async def _has_pod(services: Services, caller: Caller, cluster: str, namespace: str, pod: str) -> bool:
    """False: there surely is no such pod or workload, and the caller is shown the nearest names."""
    error = await services.service.unknown_pod(cluster, namespace, pod)
    if error is not None:
        await _say_unknown_pod(services, caller, cluster, error)
    return error is None


async def _say_unknown_pod(services: Services, caller: Caller, cluster: str, error: UnknownPodError) -> None:
    near = views.unknown_pod(error.namespace, error.name, error.nearest, cluster)
    await ephemeral(services, caller, "unknown-pod", near)


async def is_busy(services: Services, incident: Incident, dedup: str) -> bool:
    """Whether another run of it is under way. One that `dedup` began was cut short, and is to be ended now."""
    if incident.status != "diagnosing" or services.now() - incident.updated_at >= STALE_S:
        return False
    return not await services.service.has_begun(incident, dedup=dedup)
