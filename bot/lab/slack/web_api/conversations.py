"""conversations.*: what a channel is, who is in it, and what was said."""

from bot.lab.slack.errors import SlackError
from bot.lab.slack.message import Message
from bot.lab.slack.model import Channel
from bot.lab.slack.web_api import paging
from bot.lab.slack.web_api.registry import TIER_2, TIER_3, TIER_4, Call, method
from bot.lab.types import Json

_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
_OF_TYPE = {"channel": "channels", "group": "groups", "im": "im"}


def _need(call: Call, channel: Channel, right: str) -> None:
    """The scope for this kind of channel; having that for another kind does not help."""
    scope = f"{_OF_TYPE[channel.type]}:{right}"
    if scope not in call.app.scopes:
        raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(call.app.scopes)))


def as_json(call: Call, channel: Channel) -> Json:
    """The channel object as this app sees it."""
    if channel.is_im:
        other = next(user for user in channel.members if user != call.app.bot_user)
        return {"id": channel.id, "created": channel.created, "is_im": True, "is_org_shared": False, "user": other}
    note = {"creator": "", "last_set": 0}
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "created": channel.created,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "unlinked": 0,
        "name_normalized": channel.name,
        "is_shared": channel.is_ext_shared or channel.is_org_shared,
        "is_org_shared": channel.is_org_shared,
        "is_pending_ext_shared": channel.is_pending_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "pending_shared": [],
        "context_team_id": call.state.users[call.app.bot_user].team_id,
        "updated": channel.created * 1000,
        "creator": channel.creator,
        "shared_team_ids": channel.shared_team_ids or [call.state.users[call.app.bot_user].team_id],
        "is_member": call.app.bot_user in channel.members,
        "topic": {"value": channel.topic, **note},
        "purpose": {"value": channel.purpose, **note},
    }


@method("conversations.info", *_READ, per_minute=TIER_3)
def info(call: Call) -> Json:
    """One channel."""
    channel = call.channel()
    _need(call, channel, "read")
    extra = {"num_members": len(channel.members)} if call.args.flag("include_num_members") else {}
    return {"ok": True, "channel": {**as_json(call, channel), **extra}}


@method("conversations.list", *_READ, per_minute=TIER_2)
def list_(call: Call) -> Json:
    """The channels that the app may know of."""
    return _listed(call, [one for one in _wanted(call) if one.type == "channel" or call.app.bot_user in one.members])


@method("users.conversations", *_READ, per_minute=TIER_3)
def of_user(call: Call) -> Json:
    """The channels that the app is in."""
    return _listed(call, [one for one in _wanted(call) if call.app.bot_user in one.members])


def _wanted(call: Call) -> list[Channel]:
    kinds = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
    wanted = call.args.text("types", "public_channel").split(",")
    types = {kinds[name.strip()] for name in wanted if name.strip() in kinds}
    if not types:
        raise SlackError("invalid_types")
    without_archived = call.args.flag("exclude_archived")
    return [
        channel
        for channel in call.state.channels.values()
        if channel.type in types and not (without_archived and channel.is_archived)
    ]


def _listed(call: Call, channels: list[Channel]) -> Json:
    page, cursor = paging.page(call.args, [as_json(call, channel) for channel in channels], most=1000)
    return {"ok": True, "channels": page, "response_metadata": {"next_cursor": cursor}}


@method("conversations.members", *_READ, per_minute=TIER_4)
def members(call: Call) -> Json:
    """User ids, bots included."""
    channel = call.channel()
    _need(call, channel, "read")
    page, cursor = paging.page(call.args, channel.members, most=1000)
    return {"ok": True, "members": page, "response_metadata": {"next_cursor": cursor}}


@method("conversations.history", *_HISTORY, per_minute=TIER_3)
def history(call: Call) -> Json:
    """Newest first; replies only when they were broadcast."""
    channel = call.joined()
    _need(call, channel, "history")
    shown = [one for one in channel.messages.values() if one.thread_ts in {"", one.ts} or one.is_broadcast]
    found = paging.between(call.args, list(reversed(shown)))
    page, cursor = paging.page(call.args, found, most=999)
    return {**_messages(call, page, cursor), "pin_count": 0}


@method("conversations.replies", *_HISTORY, per_minute=TIER_3)
def replies(call: Call) -> Json:
    """The root, then its replies, oldest first; the root comes on every page."""
    channel = call.joined()
    _need(call, channel, "history")
    ts = call.args.required("ts")
    message = channel.messages.get(ts)
    if message is None:
        raise SlackError("thread_not_found")
    root, *rest = channel.thread(message.thread_ts or ts)
    page, cursor = paging.page(call.args, paging.between(call.args, rest), most=1000)
    return _messages(call, [root, *page], cursor)


def _messages(call: Call, messages: list[Message], cursor: str) -> Json:
    with_metadata = call.args.flag("include_all_metadata")
    shown = [message.as_json(with_metadata=with_metadata) for message in messages]
    more = {"response_metadata": {"next_cursor": cursor}} if cursor else {}
    return {"ok": True, "messages": shown, "has_more": bool(cursor), **more}


@method("conversations.join", "channels:join", per_minute=TIER_3)
def join(call: Call) -> Json:
    """Join a public channel."""
    channel = call.channel()
    if channel.type != "channel":
        raise SlackError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackError("is_archived")
    already = call.app.bot_user in channel.members
    call.state.join(channel, call.app.bot_user)
    warning = {"warning": "already_in_channel"} if already else {}
    return {"ok": True, "channel": as_json(call, channel), **warning}


@method("conversations.open", "im:write", per_minute=TIER_3, takes_json=True)
def open_(call: Call) -> Json:
    """The direct message channel with one person."""
    users = [user for user in call.args.text("users").split(",") if user]
    if len(users) != 1:
        raise SlackError("users_list_not_supplied" if not users else "not_enough_users")
    user = call.state.users.get(users[0])
    if user is None:
        raise SlackError("user_not_found")
    if user.deleted:
        raise SlackError("user_disabled")
    for channel in call.state.channels.values():
        if channel.is_im and set(channel.members) == {user.id, call.app.bot_user}:
            return {"ok": True, "no_op": True, "already_open": True, "channel": {"id": channel.id}}
    made = Channel(id=call.state.ids.fresh("D0", 9), name="", members=[user.id, call.app.bot_user], is_im=True)
    call.state.channels[made.id] = made
    return {"ok": True, "channel": {"id": made.id}}
