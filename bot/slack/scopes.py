"""What the Slack side needs to be allowed: scopes by Web API method, scopes by event.

`deploy/slack/manifest.yaml` asks for exactly this, and a test reads the code for the methods that it calls.

Source: https://docs.slack.dev/reference/methods (each page names its scopes)
Source: https://docs.slack.dev/reference/events
"""

METHOD_SCOPES: dict[str, frozenset[str]] = {
    "apps.connections.open": frozenset(),  # the app-level token's connections:write
    "auth.test": frozenset(),
    "chat.getPermalink": frozenset(),
    "chat.delete": frozenset({"chat:write"}),
    "chat.postEphemeral": frozenset({"chat:write"}),
    "chat.postMessage": frozenset({"chat:write"}),
    "chat.update": frozenset({"chat:write"}),
    "conversations.history": frozenset({"channels:history", "groups:history"}),
    "conversations.info": frozenset({"channels:read", "groups:read"}),
    "conversations.replies": frozenset({"channels:history", "groups:history"}),
    "files.completeUploadExternal": frozenset({"files:write"}),
    "files.getUploadURLExternal": frozenset({"files:write"}),
    "files.info": frozenset({"files:read"}),
    "reactions.add": frozenset({"reactions:write"}),
    "reactions.remove": frozenset({"reactions:write"}),
    "usergroups.users.list": frozenset({"usergroups:read"}),
    "users.conversations": frozenset({"channels:read", "groups:read"}),
    "users.info": frozenset({"users:read"}),
    "views.open": frozenset(),
    "views.publish": frozenset(),
    "views.update": frozenset(),
}
"""Bot scopes of each method that the code calls."""

_CHANNELS = frozenset({"channels:read", "groups:read"})

EVENT_SCOPES: dict[str, frozenset[str]] = {
    "app_home_opened": frozenset(),
    "app_mention": frozenset({"app_mentions:read"}),
    "app_uninstalled": frozenset(),
    "channel_id_changed": _CHANNELS,
    "channel_shared": _CHANNELS,
    "channel_unshared": _CHANNELS,
    "message.channels": frozenset({"channels:history"}),
    "message.groups": frozenset({"groups:history"}),
    "subteam_members_changed": frozenset({"usergroups:read"}),
    "tokens_revoked": frozenset(),
}
"""Bot scopes of each event that the app subscribes to. Others are acknowledged and not kept.

Of messages only what programs say about alerts is kept (`bot.slack.incoming`).
"""

FEATURE_SCOPES = frozenset({"commands"})
"""Of slash commands and shortcuts."""


def needed_scopes() -> frozenset[str]:
    """Every bot scope."""
    return FEATURE_SCOPES.union(*METHOD_SCOPES.values(), *EVENT_SCOPES.values())
