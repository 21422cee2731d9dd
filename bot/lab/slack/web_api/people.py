"""users.*, usergroups.* and team.info."""

from bot.lab.slack.errors import SlackError
from bot.lab.slack.model import Group, User
from bot.lab.slack.web_api import paging
from bot.lab.slack.web_api.registry import TIER_2, TIER_3, TIER_4, Call, method
from bot.lab.types import Json


def as_json(call: Call, user: User) -> Json:
    """The user object as this app sees it. Slack leaves the role flags out for people who left and for strangers."""
    home = call.state.users[call.app.bot_user].team_id
    is_external = user.team_id != home
    is_stranger = is_external and not _shares_channel(call, user)
    about: Json = {
        "id": user.id,
        "team_id": user.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "color": user.color,
        "real_name": user.real_name,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": user.updated,
        "profile": _profile(user),
    }
    if is_external:
        about["is_stranger"] = is_stranger
    if not user.deleted and not is_stranger:
        about |= {
            "tz": "Etc/UTC",
            "tz_label": "Coordinated Universal Time",
            "tz_offset": 0,
            "is_admin": user.is_admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": user.is_restricted,
            "is_ultra_restricted": user.is_ultra_restricted,
            "is_email_confirmed": True,
            "who_can_share_contact_card": "EVERYONE",
        }
    if user.is_invited_user:
        about["is_invited_user"] = True
    return about


def _shares_channel(call: Call, user: User) -> bool:
    channels = call.state.channels.values()
    return any(user.id in one.members and call.app.bot_user in one.members for one in channels)


def _profile(user: User) -> Json:
    bot = {"bot_id": user.bot_id, "api_app_id": user.app_id, "always_active": False} if user.is_bot else {}
    return {
        "title": user.title,
        "real_name": user.real_name,
        "real_name_normalized": user.real_name,
        "display_name": user.name,
        "display_name_normalized": user.name,
        "team": user.team_id,
        **bot,
    }


@method("users.info", "users:read", per_minute=TIER_4)
def info(call: Call) -> Json:
    """One person."""
    user = call.state.users.get(call.args.required("user"))
    if user is None:
        raise SlackError("user_not_found")
    return {"ok": True, "user": as_json(call, user)}


@method("users.list", "users:read", per_minute=TIER_2)
def list_(call: Call) -> Json:
    """Everybody of the workspace, and external people who share a channel."""
    home = call.state.users[call.app.bot_user].team_id
    known = [user for user in call.state.users.values() if user.team_id == home or _shares_channel(call, user)]
    page, cursor = paging.page(call.args, known, most=1000)
    members = [as_json(call, user) for user in page]
    return {
        "ok": True,
        "members": members,
        "cache_ts": int(call.state.clock()),
        "response_metadata": {"next_cursor": cursor},
    }


def _group(group: Group, *, team_id: str, with_users: bool) -> Json:
    users = {"users": list(group.users)} if with_users else {}
    return {
        "id": group.id,
        "team_id": team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": "",
        "handle": group.handle,
        "is_external": False,
        "date_create": group.created,
        "date_update": group.created,
        "date_delete": 1 if group.is_disabled else 0,
        "auto_provision": False,
        "user_count": len(group.users),
        "prefs": {"channels": [], "groups": []},
        **users,
    }


@method("usergroups.list", "usergroups:read", per_minute=TIER_2)
def groups(call: Call) -> Json:
    """The user groups."""
    team_id, with_users = call.state.users[call.app.bot_user].team_id, call.args.flag("include_users")
    shown = [g for g in call.state.groups.values() if not g.is_disabled or call.args.flag("include_disabled")]
    return {"ok": True, "usergroups": [_group(group, team_id=team_id, with_users=with_users) for group in shown]}


@method("usergroups.users.list", "usergroups:read", per_minute=TIER_2)
def group_users(call: Call) -> Json:
    """User ids of a group."""
    group = call.state.groups.get(call.args.required("usergroup"))
    if group is None or (group.is_disabled and not call.args.flag("include_disabled")):
        raise SlackError("no_such_subteam")
    return {"ok": True, "users": list(group.users)}


@method("team.info", "team:read", per_minute=TIER_3)
def team(call: Call) -> Json:
    """The workspace itself."""
    team = call.state.teams[call.state.users[call.app.bot_user].team_id]
    return {"ok": True, "team": {"id": team.id, "name": team.name, "domain": team.domain}}
