"""An app whose inbox is a list."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.bolt import build_app
from bot.slack.identity import Identity
from bot.store.errors import StoreUnavailableError
from bot.store.inbox.inbox import Kind
from tests.slack.bodies import SECRET

IDENTITY = Identity(
    token="xoxb-1", team="Lab", team_id="T1", enterprise_id=None, user="cni", user_id="UBOT", bot_id="BBOT"
)


@dataclass
class Kept:
    """What was accepted, by id."""

    entries: dict[str, tuple[Kind, Mapping[str, Any]]] = field(default_factory=dict[str, Any])
    is_down: bool = False
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing is accepted until it is set again."""

    def __post_init__(self) -> None:
        self.is_open.set()

    async def accept(self, dedup_id: str, kind: Kind, body: Mapping[str, Any], *, owner: str = "") -> bool:
        await self.is_open.wait()
        if self.is_down:
            raise StoreUnavailableError("127.0.0.1:6379", "connection refused")
        is_new = dedup_id not in self.entries
        self.entries.setdefault(dedup_id, (kind, body))
        return is_new


async def identified() -> Identity:
    return IDENTITY


def app_into(kept: Kept) -> AsyncApp:
    """The app, as if Slack had said who we are."""
    client = AsyncWebClient(token="xoxb-1")
    return build_app(client, signing_secret=SECRET, inbox=kept, who_am_i=identified)
