"""Is Slack ready for us? Tokens, scopes, connections and membership, each with what to do when it is not."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, cast

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.checks import Check
from bot.domain.listing import and_more
from bot.slack.identity import Identity, ask, reason_of
from bot.slack.scopes import needed_scopes
from bot.slack.socket_connection import open_ticket

Result = TypeVar("Result")

_APP_PAGE = "https://api.slack.com/apps"
_UNREACHED = (aiohttp.ClientError, OSError, TimeoutError)


async def verify(
    client: AsyncWebClient,
    *,
    mode: Literal["socket", "http"],
    app_token: str = "",
    signing_secret: str = "",
) -> list[Check]:
    """Every check, those that need the bot token after it. Never raises for what Slack or the network do."""
    checks = [await _transport(client, mode, app_token, signing_secret)]
    found = await _identity(client)
    if isinstance(found, Check):
        return [found, *checks]
    who = f"workspace {found.team}, as @{found.user}"
    return [Check(name="Slack: bot token", says=who), _scopes(found), *checks, await _membership(client)]


async def _identity(client: AsyncWebClient) -> Identity | Check:
    name = "Slack: bot token"
    if not client.token:
        problem = "There is no bot token."
        return Check(name=name, state="failed", problem=problem, remedy=_where("CNIBOT_SLACK_BOT_TOKEN", "xoxb-"))
    if not client.token.startswith("xoxb-"):  # Bolt takes others for tokens of people; rotated ones are not supported
        problem = "The bot token does not begin with xoxb-."
        return Check(name=name, state="failed", problem=problem, remedy=_where("CNIBOT_SLACK_BOT_TOKEN", "xoxb-"))

    async def identify() -> Identity:
        return await ask(client)

    remedy = f"Install the app to the workspace again ({_APP_PAGE}, Install App) and set the new token."
    return await _tried(name, identify, remedy)


def _scopes(found: Identity) -> Check:
    name = "Slack: scopes"
    if not found.scopes:
        problem = "Slack did not say which scopes the token has."
        return Check(name=name, state="warning", problem=problem, remedy="A proxy may drop the header x-oauth-scopes.")
    missing = sorted(needed_scopes() - found.scopes)
    if missing:
        remedy = f"Update the app from deploy/slack/manifest.yaml and install it again ({_APP_PAGE}, App Manifest)."
        return Check(name=name, state="failed", problem=f"The token lacks {', '.join(missing)}.", remedy=remedy)
    return Check(name=name, says=f"all {len(needed_scopes())} that are needed")


async def _transport(client: AsyncWebClient, mode: str, app_token: str, signing_secret: str) -> Check:
    if mode == "http":
        name = "Slack: signing secret"
        if not signing_secret:
            remedy = f"Set CNIBOT_SLACK_SIGNING_SECRET ({_APP_PAGE}, Basic Information, App Credentials)."
            return Check(
                name=name,
                state="failed",
                problem="No signing secret is set, so every request is rejected.",
                remedy=remedy,
            )
        return Check(name=name, says="set; that it is right shows with the first request")
    name = "Slack: Socket Mode"
    remedy = f"{_where('CNIBOT_SLACK_APP_TOKEN', 'xapp-')} Socket Mode must be enabled on the app's page."
    if not app_token.startswith("xapp-"):
        problem = "The app-level token does not begin with xapp-." if app_token else "There is no app-level token."
        return Check(name=name, state="failed", problem=problem, remedy=remedy)

    async def try_it() -> str:
        return await open_ticket(client, app_token)

    tried = await _tried(name, try_it, remedy)
    return tried if isinstance(tried, Check) else Check(name=name, says="Slack offers a connection")


async def _membership(client: AsyncWebClient) -> Check:
    """Slack lets a bot post only where it was invited."""
    name = "Slack: channels"

    async def channels() -> list[str]:
        answer: Any = await cast("Any", client).users_conversations(
            types="public_channel,private_channel", exclude_archived=True, limit=200
        )
        return [str(channel.get("name", channel.get("id", ""))) for channel in answer.get("channels", [])]

    found = await _tried(name, channels, "Is the scope channels:read granted?", state="warning")
    if isinstance(found, Check):
        return found
    if not found:
        remedy = "Type /invite @cni in the channel where incidents belong."
        return Check(name=name, state="warning", problem="The bot is a member of no channel.", remedy=remedy)
    return Check(name=name, says=f"member of {and_more([f'#{each}' for each in found], 3)}")


def _where(variable: str, prefix: str) -> str:
    kind = "Install App" if prefix == "xoxb-" else "Basic Information, App-Level Tokens, scope connections:write"
    return f"Set {variable} to the token that begins with {prefix} ({_APP_PAGE}, {kind})."


async def _tried(
    name: str, work: Callable[[], Awaitable[Result]], remedy: str, *, state: Literal["warning", "failed"] = "failed"
) -> Result | Check:
    """What `work` gives, or the check that says why not."""
    try:
        return await work()
    except SlackApiError as error:
        reason = reason_of(error)
        is_passing = reason in {"ratelimited", "internal_error", "fatal_error", "service_unavailable"}
        return Check(name=name, state=state, problem=f"Slack says {reason}.", remedy=remedy, may_pass=is_passing)
    except _UNREACHED as error:
        problem = f"{_words(error)}."
        remedy = "Does this machine reach Slack's Web API (CNIBOT_SLACK_API_URL), by HTTPS_PROXY if there is a proxy?"
        return Check(name=name, state=state, problem=problem, remedy=remedy, may_pass=True)


def _words(error: BaseException) -> str:
    """What happened on the way to Slack, in words."""
    if isinstance(error, TimeoutError):
        return "Slack did not answer in time"
    return f"Slack cannot be reached ({type(error).__name__}: {error})"
