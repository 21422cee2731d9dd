"""What a channel is, as Slack says now: whether we are in it, and whether another organisation reads it.

`is_ext_shared` tells; `is_shared` also means shared within one organisation.

Source: https://docs.slack.dev/apis/slack-connect/
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.lookups import NOT_ANSWERED, CachedLookup, why

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel. None where Slack did not say."""

    id: str
    is_member: bool | None = None
    """Whether the bot is in it."""
    is_external: bool | None = None
    """Whether people of another organisation are in it, or are invited."""
    is_archived: bool | None = None
    unknown: str = ""
    """Why Slack said nothing at all; "" when it answered."""


class Channels:
    """The channels that people ask from."""

    def __init__(self, client: AsyncWebClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client: Any = client  # the SDK's methods are not fully annotated
        self._known = CachedLookup(self._ask, clock=clock)

    async def channel(self, channel_id: str, *, fresh: bool = False) -> Channel:
        """The channel as of at most a minute ago. Never raises for what Slack does."""
        try:
            channel = await self._known.of(channel_id, fresh=fresh)
            if channel.is_member or fresh:
                return channel
            return await self._known.of(channel_id, fresh=True)  # somebody may just have invited us
        except NOT_ANSWERED as error:
            log.warning("channels.unknown", channel=channel_id, why=why(error))
            return Channel(id=channel_id, unknown=why(error))

    def forget(self, channel_id: str) -> None:
        """Something about it changed: shared, joined, renamed."""
        self._known.forget(channel_id)

    async def _ask(self, channel_id: str) -> Channel:
        """A private channel that we are not in does not exist for us."""
        try:
            answer = await self._client.conversations_info(channel=channel_id)
        except NOT_ANSWERED as error:
            if why(error) in {"channel_not_found", "missing_scope"}:
                return Channel(id=channel_id, is_member=False)
            raise
        found: object = answer.data.get("channel")
        return _channel(channel_id, cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {})


def _channel(channel_id: str, found: Mapping[str, Any]) -> Channel:
    shared = (_flag(found, "is_ext_shared"), _flag(found, "is_pending_ext_shared"))
    return Channel(
        id=channel_id,
        is_member=_flag(found, "is_member"),
        is_external=True if True in shared else (False if shared[0] is False else None),
        is_archived=_flag(found, "is_archived"),
    )


def _flag(found: Mapping[str, Any], name: str) -> bool | None:
    value = found.get(name)
    return value if isinstance(value, bool) else None
