"""Incoming webhooks, as Alertmanager posts through."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.lab.slack.decoding import decode_object
from bot.lab.slack.errors import SlackError
from bot.lab.slack.message import Message
from bot.lab.slack.platform import Platform
from bot.lab.slack.validate import refuse, validate_message
from bot.lab.slack.web_api.chat import numbered
from bot.lab.types import Json


async def receive(platform: Platform, request: web.Request) -> web.Response:
    """A message into the webhook's channel: `ok`, or the name of what is wrong."""
    channel = platform.state.webhooks.get(request.path)
    if channel is None:
        return web.Response(status=404, text="no_service")
    try:
        payload: Any = await _payload(request)
        _post(platform, request.match_info["bot"], channel, payload)
    except SlackError as error:
        return web.Response(status=400, text=error.code)
    return web.Response(text="ok")


async def _payload(request: web.Request) -> Json:
    raw: Any = await request.read()
    if request.content_type == "application/x-www-form-urlencoded":
        raw = (await request.post()).get("payload", "")
    try:
        return decode_object(raw)
    except (ValueError, TypeError):
        raise SlackError("invalid_payload") from None


def _post(platform: Platform, bot_id: str, channel_id: str, payload: Json) -> None:
    state = platform.state
    app = next(app for app in state.apps.values() if app.bot_id == bot_id)
    channel = state.channels[channel_id]
    if channel.is_archived:
        raise SlackError("channel_is_archived")
    refuse(validate_message(payload))
    if not any(payload.get(name) for name in ("text", "blocks", "attachments")):
        raise SlackError("no_text")
    message = Message(
        channel=channel.id,
        ts="",
        text=str(payload.get("text") or ""),
        blocks=payload.get("blocks") or [],
        attachments=numbered(payload.get("attachments") or []),
        subtype="bot_message",
        bot_id=app.bot_id,
        username=str(payload.get("username") or app.name),
    )
    state.post(channel, message)
