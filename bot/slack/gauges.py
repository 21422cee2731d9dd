"""How full the queues are, and whether the store, Slack and the clusters still answer us: inspected every few seconds
and minutes.
"""

import asyncio
from dataclasses import asdict

import aiohttp
import structlog
from prometheus_client import Gauge, Histogram
from slack_sdk.errors import SlackApiError

from bot.aio.groups import TaskGroup
from bot.domain.errors import BotError
from bot.incidents import metrics
from bot.incidents.clusters import Cluster
from bot.slack.identity import ask, reason_of
from bot.slack.services import Services
from bot.store import StoreUnavailableError

log = structlog.get_logger()

EVERY_S = 5.0
ASK_EVERY_S = 300.0
REACH_EVERY_S = 60.0
REVOKED = {"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"}
_NAP_S = 0.25

INBOX = Gauge("cnibot_inbox_entries", "Requests from Slack that are waiting, or were given up.", ("state",))
INBOX_AGE = Gauge("cnibot_inbox_oldest_seconds", "How long the oldest request of the inbox has waited or been handled.")
OUTBOX = Gauge("cnibot_outbox_items", "Messages that wait to be posted in Slack, or were given up.", ("state",))
OUTBOX_DONE = Gauge("cnibot_outbox_done", "What the outbox of this process has done since it started.", ("what",))
OUTBOX_AGE = Gauge("cnibot_outbox_oldest_seconds", "How long the oldest waiting item of the outbox has waited.")
DIAGNOSES = Gauge("cnibot_diagnoses", "Diagnoses.", ("state",))
LAG = Histogram(
    "cnibot_loop_lag_seconds",
    "How late the event loop that answers Slack runs; sampled four times a second.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0),
)
KNOWN_ISSUES = Gauge(
    "cnibot_known_issue_versions",
    "1 for each known issue whose affected versions include those of the cluster. A version is no fault.",
    ("cluster", "issue"),
)
INCIDENTS = Gauge("cnibot_incidents_open", "Open incidents.")
CONTACT = Gauge(
    "cnibot_last_contact_timestamp_seconds",
    "When the store, Slack or a cluster's API server last did what this process asked of it; 0: never.",
    ("peer", "cluster"),
)


class Gauges:
    """Measures until cancelled."""

    def __init__(
        self,
        services: Services,
        *,
        every_s: float = EVERY_S,
        ask_every_s: float = ASK_EVERY_S,
        reach_every_s: float = REACH_EVERY_S,
    ) -> None:
        self._services = services
        self._every_s = every_s
        self._ask_every_s = ask_every_s
        self._reach_every_s = reach_every_s
        self._known_issues = {issue.id for issue in services.service.knowledge.known_issues}
        self._shown: set[tuple[str, str]] = set()
        self.store_trouble = "not asked yet"
        """Why the store did not take our last write; "" when it did."""
        self.token_trouble = ""
        """Why Slack no longer takes the bot token (it was revoked, the app was removed); "" when it does."""

    async def run(self) -> None:
        """Look, wait, look again."""
        async with TaskGroup() as group:
            group.create_task(_lag())
            group.create_task(self._look())
            group.create_task(self._ask())
            for cluster in self._services.service.clusters:
                group.create_task(self._reach(cluster))

    async def _look(self) -> None:
        while True:
            try:
                await self._measure()
                self.store_trouble = ""
                self._in_contact("store")
            except StoreUnavailableError as error:
                self.store_trouble = str(error)
            await asyncio.sleep(self._every_s)

    async def _ask(self) -> None:
        """A token that works is asked for rarely; that Slack is away says nothing about it."""
        CONTACT.labels("slack", "")
        while True:
            try:
                await ask(self._services.client)
                self.token_trouble = ""
                self._in_contact("slack")
            except SlackApiError as error:
                reason = reason_of(error)
                if reason in REVOKED:
                    log.warning("slack.token_refused", reason=reason)
                    self.token_trouble = f"Slack says {reason}: install the app again and set the new token"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("slack.not_asked", error=type(error).__name__)
            await asyncio.sleep(self._ask_every_s)

    async def _reach(self, cluster: Cluster) -> None:
        """One small request from time to time: a diagnosis is asked for when the network is in trouble, not before."""
        CONTACT.labels("cluster", cluster.name)
        while True:
            try:
                await cluster.reach()
                self._in_contact("cluster", cluster.name)
            except BotError as error:
                log.warning("cluster.not_reached", cluster=cluster.name, why=str(error))
            await asyncio.sleep(self._reach_every_s)

    def _in_contact(self, peer: str, cluster: str = "") -> None:
        CONTACT.labels(peer, cluster).set(self._services.now())

    async def _measure(self) -> None:
        services = self._services
        await services.store.prove_writable()
        inbox, outbox = await services.store.inbox.counts(), await services.outbox.state()
        INBOX.labels("waiting").set(inbox.waiting)
        INBOX.labels("dead").set(inbox.dead)
        INBOX_AGE.set(max(0.0, services.now() - inbox.oldest_at) if inbox.oldest_at else 0.0)
        OUTBOX.labels("waiting").set(outbox.waiting)
        OUTBOX.labels("dead").set(outbox.dead)
        OUTBOX_AGE.set(max(0.0, services.now() - outbox.oldest_at) if outbox.oldest_at else 0.0)
        for what, count in asdict(services.outbox.counters).items():
            OUTBOX_DONE.labels(what).set(count)
        DIAGNOSES.labels("running").set(services.service.running)
        DIAGNOSES.labels("waiting").set(services.service.waiting)
        INCIDENTS.set(len(await services.store.incidents.open_ones()))
        metrics.count_api_requests()
        await self._measure_known_issues()

    async def _measure_known_issues(self) -> None:
        noted = await self._services.store.noted_issues.all()
        clusters, issues = self._services.service.clusters.names, self._known_issues
        found = {(name, issue) for name in clusters if name in noted for issue in noted[name].found if issue in issues}
        for gone in self._shown - found:
            KNOWN_ISSUES.remove(*gone)
        for each in found:
            KNOWN_ISSUES.labels(*each).set(1)
        self._shown = found


async def _lag() -> None:
    clock = asyncio.get_running_loop().time
    while True:
        wanted = clock() + _NAP_S
        await asyncio.sleep(_NAP_S)
        LAG.observe(max(0.0, clock() - wanted))
