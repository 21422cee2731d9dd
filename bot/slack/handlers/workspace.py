"""What changes in the workspace while we watch: groups, accounts, channels, and our own installation."""

import dataclasses

import structlog

from bot.slack.caller import inside
from bot.slack.services import Services
from bot.store import Entry

log = structlog.get_logger()


async def group_changed(services: Services, entry: Entry) -> None:
    """Members of a user group came or went: ask anew before the next decision."""
    event = inside(entry.body, "event")
    group = str(event.get("subteam_id") or inside(event, "subteam").get("id") or "")
    services.people.forget_group(group)
    log.info("people.group_changed", group=group)


async def channel_changed(services: Services, entry: Entry) -> None:
    """A channel was shared with another organisation, or is no longer."""
    channel = str(inside(entry.body, "event").get("channel") or "")
    services.channels.forget(channel)
    log.info("channels.changed", channel=channel, what=inside(entry.body, "event").get("type"))


async def channel_renumbered(services: Services, entry: Entry) -> None:
    """A channel has another id: its watches go with it."""
    event = inside(entry.body, "event")
    old, new = str(event.get("old_channel_id") or ""), str(event.get("new_channel_id") or "")
    services.channels.forget(old)
    if not (old and new):
        return
    for watch in await services.store.watches.all():
        if watch.channel == old:
            await services.store.watches.add(dataclasses.replace(watch, channel=new))
            await services.store.watches.remove(watch.cluster, watch.namespace, old)
    log.info("channels.renumbered", old=old, new=new)


async def disconnected(services: Services, entry: Entry) -> None:
    """The app was removed or its tokens were revoked: nothing works until somebody installs it again."""
    del services
    log.error("slack.disconnected", what=inside(entry.body, "event").get("type"), remedy="install the app again")
