"""The people, channels and apps that every workspace starts with."""

from __future__ import annotations

from bot.lab.slack.ids import TEAM
from bot.lab.slack.model import App, Channel, Group, Team, User
from bot.lab.slack.workspace_state import WorkspaceState

OTHER_TEAM = "T0PARTNER"
BOT_USER = "U0CNIBOT"
_EVERYBODY = ["U0ALICE", "U0BOB"]


def teams() -> list[Team]:
    """Our workspace, and the organisation that external people come from."""
    return [
        Team(id=TEAM, domain="lab", name="Lab"),
        Team(id=OTHER_TEAM, domain="partner", name="Partner Inc"),
    ]


def users() -> list[User]:
    """Alice and bob are members, carol a guest, dave has left, eve comes through Slack Connect."""
    return [
        User(id="U0ALICE", name="alice", real_name="Alice Ash", title="On-call engineer", team_id=TEAM, color="4bbe2e"),
        User(
            id="U0BOB", name="bob", real_name="Bob Birch", title="SRE lead", team_id=TEAM, is_admin=True, color="e7392d"
        ),
        User(
            id="U0CAROL",
            name="carol",
            real_name="Carol Cedar",
            title="Guest",
            team_id=TEAM,
            is_restricted=True,
            color="3c989f",
        ),
        User(
            id="U0DAVE", name="dave", real_name="Dave Dogwood", title="Left", team_id=TEAM, deleted=True, color="674b1b"
        ),
        User(id="U0EVE", name="eve", real_name="Eve Elm", title="Partner Inc", team_id=OTHER_TEAM, color="9b3b45"),
        User(id="USLACKBOT", name="slackbot", real_name="Slackbot", team_id=TEAM, color="757575"),
    ]


def groups() -> list[Group]:
    """The user group @sre."""
    return [Group(id="S0SRE", handle="sre", name="Site reliability", users=["U0ALICE", "U0BOB"])]


def channels(extra: tuple[str, ...]) -> list[Channel]:
    """The bot is in #incidents and #alerts; #shared is shared with another organisation."""
    here = [*_EVERYBODY, "U0CAROL"]
    return [
        Channel(id="C0INCIDENTS", name="incidents", members=[*here, "U0DAVE", BOT_USER], purpose="What is broken now"),
        Channel(id="C0ALERTS", name="alerts", members=[*_EVERYBODY, BOT_USER], purpose="Alertmanager posts here"),
        Channel(id="C0GENERAL", name="general", members=list(_EVERYBODY)),
        Channel(
            id="C0SHARED", name="shared", members=[*_EVERYBODY, "U0EVE"], is_ext_shared=True,
            shared_team_ids=[TEAM, OTHER_TEAM],
        ),
        *(
            Channel(id=f"C0{name.upper().replace('-', '')}", name=name, members=[*_EVERYBODY, BOT_USER])
            for name in extra
        ),
    ]  # fmt: skip


def apps(state: WorkspaceState) -> list[App]:
    """Our bot, and Alertmanager's own app, which posts but listens to nothing."""
    options, secret = state.options, state.ids.secret
    number = "1000000000000"
    return [
        App(
            id="A0CNIBOT",
            name="cni",
            bot_id="B0CNIBOT",
            bot_user=BOT_USER,
            bot_token=f"xoxb-{number}-{secret(24)}",
            app_token=f"xapp-1-A0CNIBOT-{number}-{secret(32)}",
            signing_secret=secret(32),
            verification_token=secret(24),
            scopes=options.scopes,
            events=options.events,
            commands=options.commands,
            shortcuts=options.shortcuts,
            mode=options.mode,
            request_url=options.request_url,
        ),
        App(
            id="A0ALERTMANAGER",
            name="Alertmanager",
            bot_id="B0ALERTMANAGER",
            bot_user="U0ALERTMANAGER",
            bot_token=f"xoxb-{number}-{secret(24)}",
            scopes=frozenset({"chat:write", "incoming-webhook"}),
        ),
    ]


def furnished(state: WorkspaceState) -> WorkspaceState:
    """The workspace, filled with those who are there from the start."""
    state.teams = {team.id: team for team in teams()}
    state.users = {user.id: user for user in users()}
    state.groups = {group.id: group for group in groups()}
    state.channels = {channel.id: channel for channel in channels(state.options.extra_channels)}
    state.apps = {app.id: app for app in apps(state)}
    for app in state.apps.values():
        state.users[app.bot_user] = User(
            id=app.bot_user, name=app.name.lower(), real_name=app.name, team_id=TEAM, is_bot=True, bot_id=app.bot_id,
            app_id=app.id,
        )  # fmt: skip
    state.channels["C0ALERTS"].members.append("U0ALERTMANAGER")
    state.webhooks = {f"/services/{TEAM}/B0ALERTMANAGER/{state.ids.secret(24)}": "C0ALERTS"}
    return state
