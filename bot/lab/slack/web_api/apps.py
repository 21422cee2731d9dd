"""auth.test, api.test, bots.info, assistant.threads.setStatus and apps.connections.open."""

from bot.lab.slack.errors import SlackError
from bot.lab.slack.web_api.registry import TIER_3, Call, method
from bot.lab.types import Json


@method("api.test", credential="none", takes_json=True)
def api_test(call: Call) -> Json:
    """Echoes the arguments."""
    return {"ok": True, "args": call.args.values}


@method("auth.test", takes_json=True)
def auth_test(call: Call) -> Json:
    """Who the token's owner is."""
    state, app = call.state, call.app
    user = state.users[app.bot_user]
    return {
        "ok": True,
        "url": f"{state.base_url}/",
        "team": state.teams[user.team_id].name,
        "user": user.name,
        "team_id": user.team_id,
        "user_id": user.id,
        "bot_id": app.bot_id,
        "is_enterprise_install": False,
    }


@method("bots.info", "users:read", per_minute=TIER_3)
def bots_info(call: Call) -> Json:
    """A bot by its bot id, as it stands in messages."""
    wanted = call.args.text("bot") or call.app.bot_id
    for app in call.state.apps.values():
        if app.bot_id == wanted:
            about = {"id": app.bot_id, "deleted": False, "name": app.name, "updated": 0, "app_id": app.id}
            return {"ok": True, "bot": {**about, "user_id": app.bot_user, "icons": {}}}
    raise SlackError("bot_not_found")


@method("assistant.threads.setStatus", "chat:write", takes_json=True)
def set_status(call: Call) -> Json:
    """The line under a thread that says what the app is doing; an empty status ends it."""
    channel = call.state.channels.get(call.args.required("channel_id"))
    if channel is None or call.app.bot_user not in channel.members:
        raise SlackError("channel_not_found")
    message = call.state.message(channel, call.args.required("thread_ts"))
    if "status" not in call.args:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: status")
    call.state.thread_status[channel.id, message.ts] = call.args.text("status")
    call.state.changes.note("status", channel=channel.id, ts=message.ts)
    return {"ok": True}


@method("apps.connections.open", "connections:write", per_minute=TIER_3, credential="app")
def connections_open(call: Call) -> Json:
    """A fresh WebSocket address, good for one connection within 30 s."""
    ticket = call.platform.sockets.new_ticket(call.app)
    host = call.state.base_url.replace("http://", "ws://")
    return {"ok": True, "url": f"{host}/link/?ticket={ticket}&app_id={call.app.id}"}
