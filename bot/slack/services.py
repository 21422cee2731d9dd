"""What handlers work with, given to each of them as one value."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slack_sdk.web.async_client import AsyncWebClient

from bot.aio.latest import Latest
from bot.alerts.extractors import Extractor
from bot.alerts.operator_routes import Route
from bot.domain.authorization import Grant
from bot.domain.report import Report
from bot.incidents.alerting.reconciling import Reconciler
from bot.incidents.alerting.storms import Storms
from bot.incidents.links import Links
from bot.incidents.plans import PlanService
from bot.incidents.service import DiagnosisService
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
    service: DiagnosisService
    plans: PlanService
    outbox: Outbox
    people: People
    channels: Channels
    grants: tuple[Grant, ...] = ()
    watch_every_s: float
    """How often a watched namespace is diagnosed."""
    alert_channel: str = ""
    """Where incidents that alerts open are posted."""
    alert_channels: frozenset[str] = frozenset()
    """Where Alertmanager's own messages are read."""
    alert_extractors: Mapping[str, Extractor] = field(default_factory=dict[str, Extractor])
    """By the id of a channel what alerts of other senders look like in it."""
    takes_webhook: bool = False
    """Whether Alertmanager's webhook comes here, too."""
    anchor_wait_s: float = 1.5
    """How long one of the two waits for the other."""
    alert_routes: tuple[Route, ...] = ()
    known_issues_channel: str = ""
    """Where notes about versions that lie in those of a known issue go; "": nowhere."""
    reconciler: Reconciler | None = None
    """Asks Alertmanager's API; None where no address is known."""
    alert_cards: Latest = field(default_factory=lambda: Latest(pause_s=0.5, rests=10.0))
    """Keeps messages about alerts from being written in the wrong order, and more often than Slack takes them."""
    alert_turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    """So many alerts are joined to incidents at a time: a storm leaves the store to others, too."""
    storms: Storms = field(init=False)
    links: Links | None = None
    """To pages of incidents; None where nobody reaches them."""
    quiet_channels: frozenset[str] = frozenset()
    """Where an incident is posted in one reply."""
    draw: Draw = draw_nothing
    connections: Callable[[], str] = lambda: ""
    """How Slack reaches us, in words: "2 of 2 connections"."""
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        object.__setattr__(self, "storms", Storms(store=self.store, service=self.service))
