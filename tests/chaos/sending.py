"""People and Alertmanager at work: each asks until somebody says that it was heard."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import aiohttp

from tests.chaos.requests import Request
from tests.chaos.system import ALERT_TOKEN, System

PATIENCE_S = 60.0
"""How long somebody goes on asking."""
PAUSE_S = 1.0


async def ask(system: System, request: Request) -> None:
    """Ask at the request's time, and again until it is accepted; nobody waits for the answer here."""
    await asyncio.sleep(request.at_s)
    if request.kind == "mention":
        await _mention(system, request)
        return
    again_until = asyncio.get_running_loop().time() + PATIENCE_S
    sending = _command if request.kind == "command" else _alert
    while asyncio.get_running_loop().time() < again_until:
        request.attempts += 1
        if await sending(system, request):
            request.accepted += 1
            system.timeline.note(f"{request}: accepted at attempt {request.attempts}")
            return
        await asyncio.sleep(PAUSE_S)
    system.timeline.note(f"{request}: not accepted in {request.attempts} attempts")


async def _command(system: System, request: Request) -> bool:
    outcome = await system.slack.user("alice").slash(request.channel, "/cni", f"diagnose {request.namespace}")
    return outcome.acked


async def _mention(system: System, request: Request) -> None:
    """Said once: Slack delivers it until it is acknowledged, or gives it up."""
    text = f"{system.slack.mention} diagnose {request.namespace}"
    request.attempts = 1
    request.thread = await system.slack.user("bob").say(request.channel, text)
    event = next(each for each in reversed(system.slack.deliveries.log) if each.type == "app_mention")
    with suppress(TimeoutError):
        await system.slack.until(lambda: event.is_acked or event.is_given_up, PATIENCE_S)
    request.accepted = int(event.is_acked)
    system.timeline.note(f"{request}: {'accepted' if event.is_acked else 'given up by Slack'}")


async def _alert(system: System, request: Request) -> bool:
    labels = {
        "alertname": "PodsUnreachable",
        "namespace": request.namespace,
        "severity": "critical",
        "team": request.channel,
    }
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-29T23:31:02.113Z"}
    headers = {"Authorization": f"Bearer {ALERT_TOKEN}", "Content-Type": "application/json"}
    body = json.dumps({"version": "4", "alerts": [{**alert, "endsAt": "0001-01-01T00:00:00Z"}]})
    try:
        async with system.session.post(
            system.webhook, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=5)
        ) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
