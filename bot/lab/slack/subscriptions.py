"""Which app hears of which event."""

from bot.lab.slack.model import App, Channel
from bot.lab.types import Json

_SCOPE = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "member_joined_channel": "channels:read",
    "channel_shared": "channels:read",
    "channel_unshared": "channels:read",
    "channel_archive": "channels:read",
    "channel_unarchive": "channels:read",
    "channel_id_changed": "channels:read",
    "channel_rename": "channels:read",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "subteam_members_changed": "usergroups:read",
    "subteam_updated": "usergroups:read",
    "user_change": "users:read",
    "file_shared": "files:read",
}
"""Needed beside the subscription; events that are not here need none."""


def wants(app: App, event: Json, channel: Channel | None) -> bool:
    """Subscribed, with the scope for it, and a member of the channel."""
    only = event.get("_only_app")
    if only and only != app.id:
        return False
    if channel is not None and app.bot_user not in channel.members:
        return False
    name = channel.subscription if channel is not None and event["type"] == "message" else str(event["type"])
    return name in app.events and (name not in _SCOPE or _SCOPE[name] in app.scopes)
