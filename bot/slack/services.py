"""What handlers work with, given to each of them as one value."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.authorization import Grant
from bot.domain.report import Report
from bot.incidents.desk import Desk
from bot.slack.channels import Channels
from bot.slack.identity import WhoAmI
from bot.slack.outbox import Outbox
from bot.slack.people import People
from bot.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing of a report."""

    name: str
    """Of the file, without directory: "path.png"."""
    title: str
    alt_text: str
    """What it shows, for those who do not see it."""
    png: bytes


Draw = Callable[[Report], Awaitable[Sequence[Picture]]]


async def draw_nothing(_: Report) -> Sequence[Picture]:
    """Where no plots are installed."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The bot's parts as handlers see them."""

    client: AsyncWebClient
    """For questions, and for views, which need their trigger at once; messages go through the outbox."""
    who_am_i: WhoAmI
    store: Store
    desk: Desk
    outbox: Outbox
    people: People
    channels: Channels
    grants: tuple[Grant, ...] = ()
    draw: Draw = draw_nothing
    connections: Callable[[], str] = lambda: ""
    """How Slack reaches us, in words: "2 of 2 connections"."""
    now: Callable[[], float] = time.time
