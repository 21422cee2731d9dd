"""Is Slack ready for us? Each thing that can be wrong is named, with what to do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.domain.checks import Check
from bot.lab.slack.options import BOT_SCOPES, SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.slack.client import open_client
from bot.slack.startup import verify


@asynccontextmanager
async def workspace(**options: Any) -> AsyncGenerator[SlackWorkspace]:
    async with SlackWorkspace.start(SlackOptions(**options)) as slack:
        yield slack


async def checks(slack: SlackWorkspace, *, token: str | None = None, app_token: str | None = None) -> dict[str, Check]:
    """By name."""
    token = slack.bot_token if token is None else token
    app_token = slack.app_token if app_token is None else app_token
    async with open_client(token, base_url=slack.api_url, timeout_s=2) as client:
        found = await verify(client, mode="socket", app_token=app_token)
    return {check.name: check for check in found}


async def test_all_is_well() -> None:
    async with workspace() as slack:
        found = await checks(slack)

    assert {name: check.problem for name, check in found.items() if check.problem} == {}
    assert found["Slack: bot token"].says == "workspace Lab, as @cni"
    assert found["Slack: channels"].says == "member of #incidents, #alerts"


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "There is no bot token."),
        ("xoxp-of-a-person", "The bot token does not begin with xoxb-."),
        ("xoxb-wrong", "Slack says invalid_auth."),
    ],
)
async def test_bot_token(token: str, problem: str) -> None:
    async with workspace() as slack:
        check = (await checks(slack, token=token))["Slack: bot token"]

    assert (check.ok, check.may_pass, check.problem) == (False, False, problem)
    assert check.remedy


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "There is no app-level token."),
        ("xoxb-1", "The app-level token does not begin with xapp-."),
        ("xapp-wrong", "Slack says invalid_auth."),
    ],
)
async def test_app_token(token: str, problem: str) -> None:
    """The SDK's own handler would try a wrong one for ever."""
    async with workspace() as slack:
        check = (await checks(slack, app_token=token))["Slack: Socket Mode"]

    assert (check.ok, check.may_pass, check.problem) == (False, False, problem)
    assert "CNIBOT_SLACK_APP_TOKEN" in check.remedy


async def test_missing_scopes_are_named() -> None:
    async with workspace(scopes=BOT_SCOPES - {"files:write", "reactions:write"}) as slack:
        check = (await checks(slack))["Slack: scopes"]

    assert not check.ok
    assert check.problem == "The token lacks files:write, reactions:write."
    assert "deploy/slack/manifest.yaml" in check.remedy


async def test_a_bot_in_no_channel_is_warned_of() -> None:
    async with workspace() as slack:
        for channel in slack.channels():
            if slack.bot_user_id in channel.members:
                slack.remove(channel.name, "cni")
        check = (await checks(slack))["Slack: channels"]

    assert (check.ok, check.problem) == (True, "The bot is a member of no channel.")


async def test_slack_being_away_may_pass() -> None:
    async with workspace() as slack:
        slack.faults.down()
        found = await checks(slack)

    assert [(check.ok, check.may_pass) for check in found.values()] == [(False, True)] * 2
    assert all("Slack cannot be reached" in check.problem for check in found.values())


@pytest.mark.parametrize(("secret", "is_ok"), [("", False), ("8f742231b10e8888", True)])
async def test_http_mode_needs_a_secret(secret: str, is_ok: bool) -> None:  # noqa: FBT001
    async with (
        workspace(mode="http") as slack,
        open_client(slack.bot_token, base_url=slack.api_url) as client,
    ):
        found = await verify(client, mode="http", signing_secret=secret)

    assert [check.ok for check in found if check.name == "Slack: signing secret"] == [is_ok]
    assert slack.calls.of("apps.connections.open") == []
