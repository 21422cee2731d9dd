"""How full the queues are, looked at every few seconds; and whether the store answers."""

import asyncio

import structlog
from prometheus_client import Gauge

from bot.slack.services import Services
from bot.store import StoreUnavailableError

log = structlog.get_logger()

EVERY_S = 5.0

INBOX = Gauge("cnibot_inbox_entries", "What came from Slack and is not handled, or was given up.", ("state",))
OUTBOX = Gauge("cnibot_outbox_items", "What is to be said in Slack and is not said, or was given up.", ("state",))
OUTBOX_DONE = Gauge("cnibot_outbox_done", "What the outbox of this process has done since it started.", ("what",))
OUTBOX_AGE = Gauge("cnibot_outbox_oldest_seconds", "How long the oldest waiting item of the outbox has waited.")
DIAGNOSES = Gauge("cnibot_diagnoses", "Diagnoses.", ("state",))
INCIDENTS = Gauge("cnibot_incidents_open", "Open incidents.")


class Measuring:
    """Measures until cancelled."""

    def __init__(self, services: Services, *, every_s: float = EVERY_S) -> None:
        self._services = services
        self._every_s = every_s
        self.store_trouble = "not asked yet"
        """Why the store does not answer; "" when it does."""

    async def run(self) -> None:
        """Look, wait, look again."""
        while True:
            try:
                await self._measure()
                self.store_trouble = ""
            except StoreUnavailableError as error:
                self.store_trouble = str(error)
            await asyncio.sleep(self._every_s)

    async def _measure(self) -> None:
        services = self._services
        inbox, outbox = await services.store.inbox.counts(), await services.outbox.state()
        INBOX.labels("waiting").set(inbox.waiting)
        INBOX.labels("dead").set(inbox.dead)
        OUTBOX.labels("waiting").set(outbox.waiting)
        OUTBOX.labels("dead").set(outbox.dead)
        OUTBOX_AGE.set(max(0.0, services.now() - outbox.oldest_at) if outbox.oldest_at else 0.0)
        counters = services.outbox.counters
        for what in ("sent", "edited", "reacted", "withheld", "retried", "rate_limited", "reconciled", "degraded"):
            OUTBOX_DONE.labels(what).set(getattr(counters, what))
        DIAGNOSES.labels("running").set(services.desk.running)
        DIAGNOSES.labels("waiting").set(services.desk.waiting)
        INCIDENTS.set(len(await services.store.incidents.open_ones()))
