"""Answers to interactions: through a response URL, or with the acknowledgement itself."""

from __future__ import annotations

from aiohttp import web

from bot.lab.slack.decoding import decode_object
from bot.lab.slack.errors import SlackError
from bot.lab.slack.handles import ResponseUrl
from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import App, Channel
from bot.lab.slack.platform import Platform
from bot.lab.slack.validate import refuse, validate_message
from bot.lab.slack.web_api.chat import ephemeral_of, numbered, written_by
from bot.lab.types import Json


async def respond(platform: Platform, request: web.Request) -> web.Response:
    """POST to a response URL. Plain text `ok`, or the name of what is wrong."""
    try:
        payload = decode_object(await request.read())
    except ValueError:
        return web.Response(status=400, text="invalid_payload")
    try:
        handle = platform.handles.use_response_url(request.path)
    except SlackError as error:
        return web.Response(status=404, text=error.code)
    try:
        say(platform, handle, payload)
    except SlackError as error:
        return web.json_response(error.as_json(), status=400)
    return web.Response(text="ok")


def say(platform: Platform, handle: ResponseUrl, payload: Json) -> None:
    """Show what the app answered: a new message, or the old one replaced or deleted."""
    state = platform.state
    app, channel = state.apps[handle.app_id], state.channels[handle.channel]
    if payload.get("delete_original"):
        _delete(platform, handle, channel)
        return
    given = _content(payload)
    if payload.get("replace_original") and handle.message_ts:
        _replace(platform, handle, channel, given)
        return
    thread_ts = str(payload.get("thread_ts") or "")
    if payload.get("response_type") == "in_channel":
        message = written_by(state, app, given)
        message.thread_ts = thread_ts if thread_ts in channel.messages else ""
        state.post(channel, message)
        return
    ephemeral = ephemeral_of(app, channel.id, handle.user, given)
    ephemeral.thread_ts = thread_ts or handle.thread_ts
    state.ephemeral(ephemeral)


def _content(payload: Json) -> Json:
    given: Json = {name: payload.get(name) for name in ("text", "blocks", "attachments", "metadata")}
    refuse(validate_message(given))
    if not any(given.values()):
        raise SlackError("no_text")
    return {
        "text": str(given["text"] or ""),
        "blocks": given["blocks"] or [],
        "attachments": given["attachments"] or [],
        "metadata": given["metadata"],
    }


def _own_ephemeral(platform: Platform, handle: ResponseUrl) -> Ephemeral | None:
    shown = (one for one in platform.state.ephemerals if one.ts == handle.message_ts and one.user == handle.user)
    return next(shown, None)


def _delete(platform: Platform, handle: ResponseUrl, channel: Channel) -> None:
    ephemeral = _own_ephemeral(platform, handle)
    if ephemeral is not None:
        platform.state.ephemerals.remove(ephemeral)
        platform.state.changes.note("ephemeral", channel=channel.id, ts=ephemeral.ts, user=ephemeral.user)
    message = channel.messages.get(handle.message_ts)
    if message is not None and message.app_id == handle.app_id:
        platform.state.delete(channel, message)


def _replace(platform: Platform, handle: ResponseUrl, channel: Channel, given: Json) -> None:
    state = platform.state
    app: App = state.apps[handle.app_id]
    new: Json = {"text": given["text"], "blocks": given["blocks"], "attachments": numbered(given["attachments"])}
    ephemeral = _own_ephemeral(platform, handle)
    if ephemeral is not None:
        state.fill_block_ids(new["blocks"])
        ephemeral.text, ephemeral.blocks, ephemeral.attachments = new["text"], new["blocks"], new["attachments"]
        state.changes.note("ephemeral", channel=channel.id, ts=ephemeral.ts, user=ephemeral.user)
        return
    message: Message | None = channel.messages.get(handle.message_ts)
    if message is not None and message.app_id == app.id:
        state.edit(channel, message, app.bot_user, new)
