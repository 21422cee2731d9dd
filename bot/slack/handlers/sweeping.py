"""A sweep of all nodes is due: diagnose, and speak when the verdict is another one than last time."""

import structlog

from bot.domain.alert import AlertScope
from bot.domain.errors import BotError
from bot.domain.incident import SCHEDULE, Incident
from bot.domain.report import Report
from bot.incidents.alerting.locating import Located
from bot.incidents.service import DiagnosisRequest
from bot.incidents.watches import is_news
from bot.slack.handlers.diagnose import is_busy
from bot.slack.handlers.firing import may_post
from bot.slack.handlers.runs import run
from bot.slack.services import Services
from bot.store import Entry, StoreUnavailableError

log = structlog.get_logger()


async def sweep_due(services: Services, entry: Entry) -> None:
    """Healthy sweeps say nothing; one that came to nothing says nothing either, and is logged."""
    cluster, channel = str(entry.body.get("cluster") or ""), services.alert_channel
    if cluster not in services.service.clusters.names or not channel or not await may_post(services, channel):
        return
    try:
        where = await services.service.clusters.named(cluster).locate(AlertScope(kind="cluster"))
        assert where is not None
        incident = await _open_incident(services, cluster, where, channel)
        if incident is not None and await is_busy(services, incident, entry.id):
            return  # somebody is at it
        report = await services.service.diagnose_namespace(cluster, where.namespace, node=where.node)
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("sweep.blind", cluster=cluster, why=str(error))
        return
    if is_news(incident, report):
        await _tell(services, entry, cluster, where, report)


async def _tell(services: Services, entry: Entry, cluster: str, where: Located, report: Report) -> None:
    asked = DiagnosisRequest(
        cluster=cluster, namespace=where.namespace, node=where.node, channel=services.alert_channel, by=SCHEDULE
    )
    taken, _ = await services.service.open(asked, dedup=entry.id)
    begun = await services.service.begin(taken, dedup=entry.id)
    await services.service.keep(begun, report)
    await run(services, begun, asked_by=SCHEDULE)


async def _open_incident(services: Services, cluster: str, where: Located, channel: str) -> Incident | None:
    found = await services.store.incidents.open_ones(cluster)
    scope = (where.namespace, None, where.node, channel)
    return next((one for one in found if (one.namespace, one.pod, one.node, one.channel) == scope), None)
