"""How to set up a workspace."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BOT_SCOPES = frozenset(
    {
        "app_mentions:read",
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "files:write",
        "groups:history",
        "groups:read",
        "reactions:write",
        "usergroups:read",
        "users:read",
    }
)
BOT_EVENTS = frozenset(
    {
        "app_home_opened",
        "app_mention",
        "app_uninstalled",
        "channel_id_changed",
        "channel_shared",
        "channel_unshared",
        "message.channels",
        "message.groups",
        "subteam_members_changed",
        "tokens_revoked",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackOptions:
    """Settings of a workspace. Times are Slack's, but for `retry_delays_s`: Slack waits 0 s, 1 min and 5 min."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    mode: Literal["socket", "http"] = "socket"
    request_url: str = ""
    """Where the app listens, in HTTP mode; may also be set later, with `SlackWorkspace.set_request_url`."""
    scopes: frozenset[str] = BOT_SCOPES
    events: frozenset[str] = BOT_EVENTS
    commands: frozenset[str] = frozenset({"/cni"})
    shortcuts: frozenset[str] = frozenset({"cni_diagnose_message"})
    strict_rates: bool = False
    """Enforce 1 post a second and channel (with a small burst) and the tiers of the methods."""
    ack_timeout_s: float = 3.0
    trigger_ttl_s: float = 3.0
    retry_delays_s: tuple[float, ...] = (0.0, 0.2, 1.0)
    response_url_ttl_s: float = 1800.0
    response_url_uses: int = 5
    ticket_ttl_s: float = 30.0
    max_connections: int = 10
    share_delay_s: float = 0.02
    """Until an uploaded file shows up in its channel: Slack scans it first."""
    connection_s: float = 18060.0
    """Until Slack asks a socket to reconnect."""
    warning_s: float = 10.0
    """How long before that it warns."""
    state_dir: Path | None = None
    """Keep tokens and messages here, to find them again after a restart."""
    extra_channels: tuple[str, ...] = field(default=())
    """Further public channels, with the bot in them."""
