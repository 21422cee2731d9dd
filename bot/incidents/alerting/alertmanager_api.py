"""Alertmanagers asked over their API: one, or all peers of a highly available one."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from bot.aio.each import each
from bot.alerts.api_answer import ListedAlert, NotAnAnswerError, read_alerts
from bot.domain.errors import BotError, TooLargeError, bounded

ASK_S = 10.0
MOST_BYTES = 32 * 2**20
"""Of one answer: more than 10,000 alerts."""


class AlertmanagerError(BotError):
    """None of the addresses answered."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"The Alertmanager {name} did not answer: {bounded(why)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the peers list together."""

    alerts: tuple[ListedAlert, ...]
    """Each once; active where one peer says so."""
    is_whole: bool
    """All peers answered: what none of them lists, none has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerApi:
    """One Alertmanager, or one highly available one."""

    name: str
    """For logs and the store."""
    urls: tuple[str, ...]
    """Of all its peers, without `/api/v2`."""
    cluster: str = ""
    """The one that its alerts are of; "": their labels say it."""
    receiver: str = ""
    """Whose alerts the poll takes in."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """With which we are known there."""
    tls: ssl.SSLContext | None = None
    """None: the machine's own authorities."""

    async def alerts(self, *, receiver: str = "") -> Listing:
        """What it knows: of all receivers, or of one. Errors: `AlertmanagerError`, when no peer answered."""
        asked = {"receiver": re.escape(receiver)} if receiver else {}
        connector = aiohttp.TCPConnector(ssl=self.tls or True)
        async with aiohttp.ClientSession(connector=connector, headers=self.headers, trust_env=True) as session:

            async def ask(url: str) -> tuple[ListedAlert, ...] | str:
                try:
                    return await _ask(session, url, asked)
                except (BotError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    return f"{url}: {error or type(error).__name__}"

            answers = await each(self.urls, ask)
        failed = [one for one in answers if isinstance(one, str)]
        if len(failed) == len(answers):
            raise AlertmanagerError(self.name, "; ".join(failed))
        found: dict[str, ListedAlert] = {}
        for listed in (one for answer in answers if not isinstance(answer, str) for one in answer):
            if listed.is_active or listed.alert.fingerprint not in found:
                found[listed.alert.fingerprint] = listed
        return Listing(alerts=tuple(found.values()), is_whole=not failed)


async def _ask(session: aiohttp.ClientSession, url: str, asked: Mapping[str, str]) -> tuple[ListedAlert, ...]:
    """Redirects are not followed: they would take our password with them."""
    async with (
        asyncio.timeout(ASK_S),
        session.get(f"{url.rstrip('/')}/api/v2/alerts", params=asked, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise NotAnAnswerError(f"HTTP {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(2**16):
            body += chunk
            if len(body) > MOST_BYTES:
                raise TooLargeError("Alertmanager's answer", MOST_BYTES)
    return await asyncio.to_thread(read_alerts, bytes(body))
