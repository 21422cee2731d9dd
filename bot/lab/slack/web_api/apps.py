"""auth.test, api.test and apps.connections.open."""

from bot.lab.names import Json
from bot.lab.slack.web_api.registry import TIER_3, Call, method


@method("api.test", credential="none", takes_json=True)
def api_test(call: Call) -> Json:
    """Echoes the arguments."""
    return {"ok": True, "args": call.args.values}


@method("auth.test", takes_json=True)
def auth_test(call: Call) -> Json:
    """Who the token's owner is."""
    world, app = call.world, call.app
    user = world.users[app.bot_user]
    return {
        "ok": True,
        "url": f"{world.base_url}/",
        "team": world.teams[user.team_id].name,
        "user": user.name,
        "team_id": user.team_id,
        "user_id": user.id,
        "bot_id": app.bot_id,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", "connections:write", per_minute=TIER_3, credential="app")
def connections_open(call: Call) -> Json:
    """A fresh WebSocket address, good for one connection within 30 s."""
    ticket = call.platform.sockets.new_ticket(call.app)
    host = call.world.base_url.replace("http://", "ws://")
    return {"ok": True, "url": f"{host}/link/?ticket={ticket}&app_id={call.app.id}"}
