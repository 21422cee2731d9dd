"""reactions.add, remove and get."""

import re

from bot.lab.slack.errors import SlackError
from bot.lab.slack.web_api.registry import TIER_2, TIER_3, Call, method
from bot.lab.types import Json

_NAME = re.compile(r"[a-z0-9_+'-]{1,100}(::skin-tone-[2-6])?")


def _react(call: Call, *, add: bool) -> Json:
    channel = call.joined()
    message = call.state.message(channel, call.args.required("timestamp"))
    name = call.args.required("name").strip(":")
    if not _NAME.fullmatch(name):
        raise SlackError("invalid_name")
    if channel.is_archived:
        raise SlackError("is_archived")
    call.state.react(channel, message, name, call.app.bot_user, add=add)
    return {"ok": True}


@method("reactions.add", "reactions:write", per_minute=TIER_3)
def add(call: Call) -> Json:
    """Adds the bot's reaction."""
    return _react(call, add=True)


@method("reactions.remove", "reactions:write", per_minute=TIER_2)
def remove(call: Call) -> Json:
    """Removes the bot's reaction."""
    return _react(call, add=False)


@method("reactions.get", "reactions:read", per_minute=TIER_3)
def get(call: Call) -> Json:
    """The message with its reactions."""
    channel = call.joined()
    message = call.state.message(channel, call.args.required("timestamp"))
    return {"ok": True, "type": "message", "channel": channel.id, "message": message.as_json()}
