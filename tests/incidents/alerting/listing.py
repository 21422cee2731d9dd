"""An Alertmanager's API as far as it lists alerts, over a real connection."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.incidents.alerting.alertmanager_api import AlertmanagerApi

STARTED = "2026-11-29T23:31:02.113Z"


def listed(name: str, state: str = "active", **labels: str) -> dict[str, Any]:
    """One alert as the API lists it."""
    return {
        "labels": {"alertname": name, **labels},
        "status": {"state": state, "silencedBy": [], "inhibitedBy": []},
        "startsAt": STARTED,
        "endsAt": "2026-11-29T23:36:02.113Z",
    }


@dataclass
class Peer:
    """What it answers, and what it was asked."""

    alerts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    status: int = 200
    url: str = ""
    asked: list[web.Request] = field(default_factory=list[web.Request])

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        headers = {"Location": "http://127.0.0.1:1/"} if self.status in {301, 302} else None
        return web.Response(body=json.dumps(self.alerts).encode(), status=self.status, headers=headers)


@asynccontextmanager
async def peer(*alerts: dict[str, Any]) -> AsyncGenerator[Peer]:
    """One that answers until the block ends."""
    made = Peer(alerts=list(alerts))
    app = web.Application()
    app.router.add_get("/api/v2/alerts", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def api(*peers: Peer, **more: Any) -> AlertmanagerApi:
    """All peers of one highly available Alertmanager."""
    return AlertmanagerApi(name="am", urls=tuple(one.url for one in peers), **more)
