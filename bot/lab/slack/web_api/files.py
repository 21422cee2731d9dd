"""files.*: the three steps of an upload, and what a file is."""

from typing import Any, cast

from bot.lab.slack.errors import SlackError
from bot.lab.slack.message import File
from bot.lab.slack.model import Channel
from bot.lab.slack.web_api.registry import TIER_3, TIER_4, Call, method
from bot.lab.types import Json

_LARGEST = 1 << 30


@method("files.getUploadURLExternal", "files:write", per_minute=TIER_4)
def upload_url(call: Call) -> Json:
    """Step one: an address for the bytes."""
    name = call.args.required("filename")
    length = call.args.number("length", 1, _LARGEST)
    if call.args.required("length") == "0":
        raise SlackError("invalid_arguments", "[ERROR] must be greater than 0 [json-pointer:/length]")
    state, file_id = call.state, call.state.ids.fresh("F0", 9)
    file = File(
        id=file_id,
        name=name,
        length=length,
        app_id=call.app.id,
        user=call.app.bot_user,
        alt_txt=call.args.text("alt_txt"),
        created=int(state.clock()),
        url=f"{state.base_url}/files-pri/{file_id}/{_safe(name)}",
        permalink=f"{state.base_url}/files/{call.app.bot_user}/{file_id}/{_safe(name)}",
    )
    state.files[file.id] = file
    path = call.platform.uploads.new(file)
    return {"ok": True, "upload_url": f"{state.base_url}{path}", "file_id": file.id}


def _safe(name: str) -> str:
    return "".join(one if one.isalnum() or one in "._-" else "_" for one in name.lower())


@method("files.completeUploadExternal", "files:write", per_minute=TIER_4, takes_json=True)
def complete(call: Call) -> Json:
    """The answer comes at once, without the message: sharing happens afterwards."""
    given: Any = call.args.json("files")
    if not isinstance(given, list) or not given:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: files")
    files = [_uploaded(call, one) for one in cast("list[Any]", given)]
    channels = _channels(call)
    thread_ts = _thread(call, channels)
    for file in files:
        file.is_complete = True
    call.platform.uploads.share(call.app, files, channels, thread_ts, call.args.text("initial_comment"))
    return {"ok": True, "files": [file.as_json() for file in files]}


def _uploaded(call: Call, one: object) -> File:
    fields: Json = cast("Json", one) if isinstance(one, dict) else {}
    file = call.state.files.get(str(fields.get("id")))
    if file is None or file.app_id != call.app.id:
        raise SlackError("file_not_found")
    if file.content is None:
        raise SlackError("file_update_failed")
    if file.is_complete:
        raise SlackError("file_already_completed")
    file.title = str(fields.get("title") or "")
    return file


def _channels(call: Call) -> list[Channel]:
    ids = [one for one in (call.args.text("channel_id"), *call.args.text("channels").split(",")) if one]
    channels: list[Channel] = []
    for channel_id in ids:
        channel = call.state.channels.get(channel_id)
        if channel is None or (channel.is_private and call.app.bot_user not in channel.members):
            raise SlackError("channel_not_found")
        if call.app.bot_user not in channel.members:
            raise SlackError("not_in_channel")
        if channel.is_archived:
            raise SlackError("is_archived")
        channels.append(channel)
    return channels


def _thread(call: Call, channels: list[Channel]) -> str:
    thread_ts = call.args.text("thread_ts")
    if not thread_ts:
        return ""
    if len(channels) != 1:
        raise SlackError("invalid_arguments", "[ERROR] thread_ts needs exactly one channel")
    root = channels[0].messages.get(thread_ts)
    if root is None:
        raise SlackError("invalid_thread_ts")
    return root.thread_ts or root.ts


@method("files.info", "files:read", per_minute=TIER_4)
def info(call: Call) -> Json:
    """A file, with the messages that share it."""
    file = _visible(call)
    return {"ok": True, "file": file.as_json(), "comments": [], "response_metadata": {"next_cursor": ""}}


@method("files.delete", "files:write", per_minute=TIER_3, takes_json=True)
def delete(call: Call) -> Json:
    """Deletes a file of the app's own."""
    file = _visible(call)
    if file.app_id != call.app.id:
        raise SlackError("cant_delete_file")
    del call.state.files[file.id]
    call.state.changes.note("file", detail=file.id)
    return {"ok": True}


def _visible(call: Call) -> File:
    file = call.state.files.get(call.args.required("file"))
    if file is None or (file.app_id != call.app.id and not file.shares):
        raise SlackError("file_not_found")
    return file
