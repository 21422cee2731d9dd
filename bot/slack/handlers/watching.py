"""`watch` and `unwatch`, and what happens when a watch is due.

A watch speaks when the verdict changes or an application's answers do, and not otherwise. Not knowing is no change: a
look that came to nothing says nothing by itself, and `status` tells which cluster does not answer.
"""

from dataclasses import replace

import structlog

from bot.domain.authorization import Action, Scope, authorize
from bot.domain.errors import BotError
from bot.domain.incident import SCHEDULE, Incident, Watch
from bot.domain.outgoing import Content, Place, Post
from bot.domain.report import Report
from bot.incidents.service import DiagnosisRequest
from bot.incidents.watches import answers_after, is_news
from bot.remediation.verification import ANSWERS
from bot.slack import views
from bot.slack.caller import Caller, ephemeral, is_allowed, is_present
from bot.slack.commands import StartWatch, StopWatch
from bot.slack.handlers.diagnose import cluster_for, exists, is_busy, take_up
from bot.slack.handlers.runs import run
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import Entry, StoreUnavailableError

log = structlog.get_logger()


async def start_watch(services: Services, caller: Caller, command: StartWatch) -> None:
    """Watch a namespace from now on."""
    cluster = await _cleared(services, caller, command)
    if cluster is None or not await exists(services, caller, cluster, command.namespace):
        return
    place = (cluster, command.namespace, caller.channel)
    watch = Watch(cluster=cluster, namespace=command.namespace, channel=caller.channel, by=caller.user, since=caller.at)
    is_ours = await services.store.watches.add(watch)  # first, for two may ask at once
    known = None if is_ours else await _watch(services, place)
    if known is not None and known.since != caller.at:  # a watch of this very moment is the one that we have begun
        await ephemeral(services, caller, "watch", _was_so(place, caller, is_watched=True))
        return
    content = views.watch_changed(
        command.namespace, cluster, by=caller.user, is_watched=True, every_s=services.watch_every_s
    )
    await _say(services, caller, content)
    asked = DiagnosisRequest(cluster=cluster, namespace=command.namespace, channel=caller.channel, by=caller.user)
    incident, is_new = await services.service.open(asked, dedup=caller.key)
    if is_new:  # a first verdict, so that later ones are a change; an open incident's thread says how it stands
        await take_up(services, caller, incident, is_new=True)


async def stop_watch(services: Services, caller: Caller, command: StopWatch) -> None:
    """Watch it no more."""
    cluster = await _cleared(services, caller, command)
    if cluster is None:
        return
    place = (cluster, command.namespace, caller.channel)
    if await _watch(services, place) is None:
        if await services.outbox.ts_of(f"{caller.key}:watch") is None:  # else we have stopped it ourselves
            await ephemeral(services, caller, "watch", _was_so(place, caller, is_watched=False))
        return
    content = views.watch_changed(command.namespace, cluster, by=caller.user, is_watched=False)
    await _say(services, caller, content)
    await services.store.watches.remove(*place)


async def _watch(services: Services, place: tuple[str, str, str]) -> Watch | None:
    """The watch of this cluster, namespace and channel."""
    found = await services.store.watches.all()
    return next((each for each in found if (each.cluster, each.namespace, each.channel) == place), None)


async def _cleared(services: Services, caller: Caller, command: StartWatch | StopWatch) -> str | None:
    """The cluster's name, where the caller may watch there and we can post."""
    cluster = await cluster_for(services, caller, Action.WATCH, command.cluster)
    if cluster is None:
        return None
    if not await is_allowed(services, caller, Action.WATCH, cluster=cluster, namespace=command.namespace):
        return None
    return cluster if await is_present(services, caller) else None


def _was_so(place: tuple[str, str, str], caller: Caller, *, is_watched: bool) -> Content:
    cluster, namespace, _ = place
    return views.watch_changed(namespace, cluster, by=caller.user, is_watched=is_watched, was_so=True)


async def _say(services: Services, caller: Caller, content: Content) -> None:
    """A record for the channel."""
    place = Place(channel=caller.channel, thread=caller.within)
    await services.outbox.put(Post(key=f"{caller.key}:watch", place=place, content=content))


async def watch_due(services: Services, entry: Entry) -> None:
    """A watch's turn has come: diagnose, and speak when the verdict is another one than last time."""
    cluster, namespace, channel = (str(entry.body.get(name) or "") for name in ("cluster", "namespace", "channel"))
    watch = await _still_wanted(services, cluster, namespace, channel)
    if watch is None:
        return
    incident = await _open_incident(services, cluster, namespace, channel)
    if incident is not None and await is_busy(services, incident, entry.id):
        return  # somebody is at it
    report = await _examined(services, cluster, namespace)
    if report is None:
        return
    await _tell_answers(services, entry, watch, report)
    if not is_news(incident, report):
        return
    asked = DiagnosisRequest(cluster=cluster, namespace=namespace, channel=channel, by=SCHEDULE)
    taken, _ = await services.service.open(asked, dedup=entry.id)
    begun = await services.service.begin(taken, dedup=entry.id, by=SCHEDULE)
    await services.service.keep(begun, report)
    await run(services, begun, asked_by=SCHEDULE)


async def _tell_answers(services: Services, entry: Entry, watch: Watch, report: Report) -> None:
    """What applications answer is no matter of the verdict, so a change of it is a post of its own."""
    now = answers_after(watch.wrong_answers, report)
    if now == watch.wrong_answers:
        return
    begun, over = set(now) - set(watch.wrong_answers), sorted(set(watch.wrong_answers) - set(now))
    wrong = [one.sentence for one in report.findings if one.probe == ANSWERS and one.subject in begun]
    content = notices.answers_changed(watch.namespace, watch.cluster, wrong=wrong, right=over)
    await services.outbox.put(Post(key=f"{entry.id}:answers", place=Place(channel=watch.channel), content=content))
    await services.store.watches.replace(replace(watch, wrong_answers=now))


async def _still_wanted(services: Services, cluster: str, namespace: str, channel: str) -> Watch | None:
    """The watch, if it is still there and its channel still ours alone."""
    watch = await _watch(services, (cluster, namespace, channel))
    if watch is None or not await _may_still(services, watch):
        return None
    where = await services.channels.channel(channel)
    if where.is_external is not False or where.is_member is False:
        log.warning("watch.silent", namespace=namespace, channel=channel, is_external=where.is_external)
        return None
    return watch


async def _may_still(services: Services, watch: Watch) -> bool:
    """Whether its owner may watch there as of now. Who may not has no watch any more, and the channel is notified.

    Where Slack cannot say who they are, this turn is left out and nothing is lost.
    """
    principal = await services.people.principal(watch.by, fresh=True)
    where = await services.channels.channel(watch.channel)
    scope = Scope(
        cluster=watch.cluster,
        namespace=watch.namespace,
        channel=watch.channel,
        is_channel_external=where.is_external,
    )
    decision = authorize(principal, Action.WATCH, scope, services.grants)
    if (
        decision.allowed or where.is_external is not False
    ):  # nothing is posted in a shared channel, which keeps its watch
        return decision.allowed
    if principal.unknown:
        log.warning("watch.owner_unknown", namespace=watch.namespace, channel=watch.channel, why=principal.unknown)
        return False
    log.warning("watch.ended", namespace=watch.namespace, channel=watch.channel, by=watch.by, why=decision.reason)
    place = Place(channel=watch.channel)
    content = notices.watch_ended(watch.namespace, watch.cluster, by=watch.by)
    key = f"watch-ended:{watch.cluster}:{watch.namespace}:{watch.channel}:{watch.since}"
    await services.outbox.put(Post(key=key, place=place, content=content))
    await services.store.watches.remove(watch.cluster, watch.namespace, watch.channel)
    return False


async def _open_incident(services: Services, cluster: str, namespace: str, channel: str) -> Incident | None:
    found = await services.store.incidents.open_ones(cluster)
    scope = (namespace, None, None, channel)
    return next((each for each in found if (each.namespace, each.pod, each.node, each.channel) == scope), None)


async def _examined(services: Services, cluster: str, namespace: str) -> Report | None:
    """The report; None where none could be had."""
    try:
        return await services.service.diagnose_namespace(cluster, namespace)
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("watch.blind", cluster=cluster, namespace=namespace, why=str(error))
        return None
