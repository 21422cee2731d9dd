"""`watch` and `unwatch`, and what happens when a watch is due.

A watch speaks when the verdict changes, and not otherwise. Not knowing is no change: a look that came to nothing says
nothing by itself, and `status` tells which cluster does not answer.
"""

import structlog

from bot.domain.authorization import Action
from bot.domain.errors import BotError
from bot.domain.incident import SCHEDULE, Incident, Watch
from bot.domain.outgoing import Content, Place, Post
from bot.domain.report import Report
from bot.incidents.desk import Asked
from bot.incidents.watching import is_news
from bot.slack import views
from bot.slack.caller import Caller, inside, is_allowed, is_present, whisper
from bot.slack.commands import StartWatch, StopWatch
from bot.slack.handlers.diagnose import cluster_for, exists, is_busy
from bot.slack.handlers.running import run
from bot.slack.services import Services
from bot.store import Entry, StoreUnavailableError

log = structlog.get_logger()


async def start_watch(services: Services, caller: Caller, command: StartWatch) -> None:
    """Watch a namespace from now on."""
    cluster = await _cleared(services, caller, command)
    if cluster is None or not await exists(services, caller, cluster, command.namespace):
        return
    place = (cluster, command.namespace, caller.channel)
    known = await _watch(services, place)
    if known is not None and known.since != caller.at:  # a watch of this very moment is the one that we have begun
        await whisper(services, caller, "watch", _was_so(place, caller, is_watched=True))
        return
    content = views.watch_changed(command.namespace, cluster, by=caller.user, is_watched=True)
    await _say(services, caller, content)
    watch = Watch(cluster=cluster, namespace=command.namespace, channel=caller.channel, by=caller.user, since=caller.at)
    await services.store.watches.add(watch)


async def stop_watch(services: Services, caller: Caller, command: StopWatch) -> None:
    """Watch it no more."""
    cluster = await _cleared(services, caller, command)
    if cluster is None:
        return
    place = (cluster, command.namespace, caller.channel)
    if await _watch(services, place) is None:
        if await services.outbox.ts_of(f"{caller.key}:watch") is None:  # else we have stopped it ourselves
            await whisper(services, caller, "watch", _was_so(place, caller, is_watched=False))
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
    event = inside(entry.body, "event")
    cluster, namespace, channel = (str(event.get(name) or "") for name in ("cluster", "namespace", "channel"))
    if not await _is_still_wanted(services, cluster, namespace, channel):
        return
    incident = await _open_incident(services, cluster, namespace, channel)
    if incident is not None and await is_busy(services, incident, entry.id):
        return  # somebody is at it
    report = await _examined(services, cluster, namespace)
    if report is None or not is_news(incident, report):
        return
    asked = Asked(cluster=cluster, namespace=namespace, channel=channel, by=SCHEDULE)
    taken, _ = await services.desk.open(asked, dedup=entry.id)
    begun = await services.desk.begin(taken, dedup=entry.id)
    await services.desk.keep(begun, report)
    await run(services, begun, asked_by=SCHEDULE)


async def _is_still_wanted(services: Services, cluster: str, namespace: str, channel: str) -> bool:
    """Whether the watch is still there, and its channel still ours alone."""
    if await _watch(services, (cluster, namespace, channel)) is None:
        return False
    where = await services.channels.channel(channel)
    if where.is_external is not False or where.is_member is False:
        log.warning("watch.silent", namespace=namespace, channel=channel, is_external=where.is_external)
        return False
    return True


async def _open_incident(services: Services, cluster: str, namespace: str, channel: str) -> Incident | None:
    found = await services.store.incidents.open_ones(cluster)
    return next(
        (each for each in found if (each.namespace, each.pod, each.channel) == (namespace, None, channel)), None
    )


async def _examined(services: Services, cluster: str, namespace: str) -> Report | None:
    """The report; None where none could be had."""
    try:
        return await services.desk.examine(cluster, namespace)
    except StoreUnavailableError:
        raise
    except BotError as error:
        log.warning("watch.blind", cluster=cluster, namespace=namespace, why=str(error))
        return None
