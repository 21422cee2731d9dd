"""chat.*: posting, editing and deleting messages."""

from typing import cast

from bot.lab.slack.errors import SlackError
from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.model import App, Channel
from bot.lab.slack.validate import refuse, validate_message, validate_view
from bot.lab.slack.web_api.registry import TIER_3, TIER_4, Call, method
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

TEXT_CUT = 40_000
"""Longer texts of new messages are cut."""
EDIT_TEXT_MOST = 4000


def content(call: Call) -> Json:
    """text, blocks, attachments and metadata of the call, validated. Raises what Slack would answer."""
    args = call.args
    given: Json = {
        "text": args.text("text"),
        "blocks": args.json("blocks", "invalid_blocks_format"),
        "attachments": args.json("attachments", "invalid_attachments"),
        "metadata": args.json("metadata", "invalid_metadata_format"),
    }
    refuse(validate_message(given))
    has_text = bool(given["text"].strip())
    if not has_text and not given["blocks"] and not given["attachments"]:
        raise SlackError("no_text")
    return {name: value or ([] if name in {"blocks", "attachments"} else value) for name, value in given.items()}


def written_by(state: WorkspaceState, app: App, given: Json) -> Message:
    """A message of the app that is not yet posted."""
    team_id = state.users[app.bot_user].team_id
    return Message(
        channel="",
        ts="",
        text=given["text"][:TEXT_CUT],
        blocks=given["blocks"],
        attachments=numbered(given["attachments"]),
        metadata=given.get("metadata"),
        user=app.bot_user,
        bot_id=app.bot_id,
        app_id=app.id,
        bot_profile=app.profile(team_id),
        team=team_id,
    )


def numbered(attachments: list[Json]) -> list[Json]:
    """Attachments with the ids and fallbacks that Slack adds."""
    return [
        {"id": number, "fallback": "[no preview available]", **attachment}
        for number, attachment in enumerate(attachments, start=1)
    ]


def thread_of(call: Call, channel: Channel) -> str:
    """The thread's root ts, also where a reply was named; an unknown `thread_ts` is refused.

    Of a root that was deleted nothing is said: what should be a reply lands in the channel.
    """
    thread_ts = call.args.text("thread_ts")
    if not thread_ts:
        return ""
    if thread_ts in channel.deleted:
        return ""
    root = channel.messages.get(thread_ts)
    if root is None:
        raise SlackError("thread_not_found")
    return root.thread_ts or root.ts


def warned(given: Json, answer: Json) -> Json:
    """The answer, with Slack's warnings about the message."""
    warnings: list[str] = []
    if given["blocks"] and not given["text"]:
        warnings.append("missing_text_in_message")
    if len(given["text"]) > TEXT_CUT:
        warnings.append("message_truncated")
    if not warnings:
        return answer
    return {**answer, "warning": ",".join(warnings), "response_metadata": {"warnings": warnings}}


@method("chat.postMessage", "chat:write", takes_json=True)
def post_message(call: Call) -> Json:
    """A new message, as a reply when `thread_ts` is given."""
    channel = call.joined()
    if channel.is_archived:
        raise SlackError("is_archived")
    given = content(call)
    message = written_by(call.state, call.app, given)
    message.thread_ts = thread_of(call, channel)
    if message.thread_ts and call.args.flag("reply_broadcast"):
        message.is_broadcast, message.subtype = True, "thread_broadcast"
    _customize(call, message)
    posted = call.state.post(channel, message)
    return warned(given, {"ok": True, "channel": channel.id, "ts": posted.ts, "message": posted.as_json()})


def _customize(call: Call, message: Message) -> None:
    """A username of its own makes a `bot_message` without user, as old integrations post."""
    username = call.args.text("username")
    if not username and not call.args.text("icon_emoji") and not call.args.text("icon_url"):
        return
    if "chat:write.customize" not in call.app.scopes:
        return  # Slack ignores these arguments without the scope
    message.username, message.subtype, message.user = username or call.app.name, "bot_message", ""


def _own(call: Call, channel: Channel, error: str) -> Message:
    message = call.state.message(channel, call.args.required("ts"))
    if message.app_id != call.app.id:
        raise SlackError(error)
    return message


@method("chat.update", "chat:write", per_minute=TIER_3, takes_json=True)
def update(call: Call) -> Json:
    """Replaces text and blocks; `text` without `blocks` removes the blocks."""
    channel = call.joined()
    message = _own(call, channel, "cant_update_message")
    if channel.is_archived:
        raise SlackError("is_archived")
    given = content(call)
    if len(given["text"]) > EDIT_TEXT_MOST:
        raise SlackError("msg_too_long")
    _check_block_kinds(message, given["blocks"])
    new: Json = {"text": given["text"], "blocks": given["blocks"]}
    if "attachments" in call.args:
        new["attachments"] = numbered(given["attachments"])
    if "metadata" in call.args:
        new["metadata"] = given["metadata"] or None
    call.state.edit(channel, message, call.app.bot_user, new)
    answer = {"ok": True, "channel": channel.id, "ts": message.ts, "text": message.text, "message": message.as_json()}
    return warned(given, answer)


def _check_block_kinds(message: Message, blocks: list[Json]) -> None:
    """A message of rich text cannot become one of other blocks."""
    before = [block["type"] for block in message.blocks]
    if before and set(before) == {"rich_text"} and blocks and "rich_text" not in [block["type"] for block in blocks]:
        raise SlackError("block_mismatch")


@method("chat.delete", "chat:write", per_minute=TIER_3, takes_json=True)
def delete(call: Call) -> Json:
    """Deletes a message of the app's own."""
    channel = call.joined()
    message = _own(call, channel, "cant_delete_message")
    call.state.delete(channel, message)
    return {"ok": True, "channel": channel.id, "ts": message.ts}


@method("chat.postEphemeral", "chat:write", per_minute=TIER_4, takes_json=True)
def post_ephemeral(call: Call) -> Json:
    """A message that one member of the channel sees."""
    channel = call.joined()
    if channel.is_archived:
        raise SlackError("is_archived")
    user = call.state.users.get(call.args.required("user"))
    if user is None:
        raise SlackError("user_not_found")
    if user.id not in channel.members or user.deleted:
        raise SlackError("user_not_in_channel")
    given = content(call)
    ephemeral = ephemeral_of(call.app, channel.id, user.id, given)
    ephemeral.thread_ts = thread_of(call, channel)
    return warned(given, {"ok": True, "message_ts": call.state.ephemeral(ephemeral).ts})


def ephemeral_of(app: App, channel: str, user: str, given: Json) -> Ephemeral:
    """An ephemeral message of the app that is not yet shown."""
    return Ephemeral(
        channel=channel,
        ts="",
        user=user,
        text=given["text"],
        blocks=given["blocks"],
        attachments=numbered(given["attachments"]),
        app_id=app.id,
        bot_id=app.bot_id,
    )


@method("chat.getPermalink")
def permalink(call: Call) -> Json:
    """A message's address."""
    channel = call.channel()
    message = call.state.message(channel, call.args.required("message_ts"))
    return {"ok": True, "channel": channel.id, "permalink": permalink_of(call.state, message)}


def permalink_of(state: WorkspaceState, message: Message) -> str:
    """As Slack writes it: the ts without its dot; replies name their thread."""
    path = f"{state.base_url}/archives/{message.channel}/p{message.ts.replace('.', '')}"
    is_reply = message.thread_ts and message.thread_ts != message.ts
    return f"{path}?thread_ts={message.thread_ts}&cid={message.channel}" if is_reply else path


@method("blocks.validate", credential="none", takes_json=True)
def validate(call: Call) -> Json:
    """Slack's public validator of 2026: takes one of `blocks`, `message` and `view`; a missing text is fine."""
    blocks, message, view = (call.args.json(name, "invalid_arguments") for name in ("blocks", "message", "view"))
    if sum(one is not None for one in (blocks, message, view)) != 1:
        raise SlackError("invalid_arguments", "[ERROR] must define exactly one of blocks, message, view")
    if message is not None and not isinstance(message, dict):
        raise SlackError("invalid_arguments", "[ERROR] must provide an object [json-pointer:/message]")
    given: Json = {"blocks": blocks} if message is None else cast("Json", message)
    found = validate_message(given) if view is None else validate_view(view)
    problems = [problem for problem in found if not problem.is_warning]
    if not problems:
        return {"ok": True}
    errors = [{"code": one.error, "message": one.sentence, "pointer": one.pointer} for one in problems]
    raise SlackError("invalid_blocks", errors=errors)
