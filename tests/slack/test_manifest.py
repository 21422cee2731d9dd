"""deploy/slack/manifest.yaml asks for exactly what the code needs, by reading the code."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack.options import SlackOptions
from bot.lab.slack.web_api import METHODS
from bot.lab.slack.workspace import SlackWorkspace
from bot.slack import router, scopes
from bot.slack.client import open_client
from bot.slack.scopes import EVENT_SCOPES, METHOD_SCOPES, needed_scopes
from bot.slack.startup import verify

ROOT = Path(__file__).resolve().parents[2]
OF_ITS_OWN = {"api_call", "BASE_URL"}
SDK = {name for name in dir(AsyncWebClient) if "_" in name and not name.startswith("_")} - OF_ITS_OWN
SLACK_METHODS = {name.replace("_", ".") for name in SDK}


def manifest() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load((ROOT / "deploy/slack/manifest.yaml").read_text(encoding="utf-8")))


def methods_in(source: str) -> Iterator[str]:
    """The Web API methods that code calls: by the SDK's own functions, or by name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) if name in SDK:
                yield name.replace("_", ".")
            case ast.Constant(value=str(name)) if name in SLACK_METHODS:
                yield name
            case _:
                continue


def methods_called() -> set[str]:
    sources = [path for path in (ROOT / "bot/slack").rglob("*.py") if path != Path(scopes.__file__)]
    return {name for path in sources for name in methods_in(path.read_text(encoding="utf-8"))}


NOT_CALLS = {"views.open", "conversations.open"}
"""Named where it is told which methods change something."""


def test_reading_the_code_finds_each_way_to_call() -> None:
    source = 'client.chat_postMessage(text="x")\nself._call("reactions.add", {})\nclient.session.post("chat")\n'

    assert set(methods_in(source)) == {"chat.postMessage", "reactions.add"}


def test_each_method_that_is_called_has_its_scopes() -> None:
    called = methods_called()

    assert called - METHOD_SCOPES.keys() - NOT_CALLS == set()
    assert METHOD_SCOPES.keys() - called == set()


@pytest.mark.parametrize("method", METHOD_SCOPES)
def test_scopes_are_those_that_the_method_takes(method: str) -> None:
    """The lab has them from Slack's reference."""
    taken = {scope for scope in METHODS[method].scopes if scope != "connections:write"}

    assert METHOD_SCOPES[method] <= taken
    assert bool(METHOD_SCOPES[method]) == bool(taken)


def test_the_manifest_asks_for_these_scopes_and_no_others() -> None:
    assert set(manifest()["oauth_config"]["scopes"]["bot"]) == needed_scopes()
    assert "user" not in manifest()["oauth_config"]["scopes"]


def test_the_manifest_subscribes_to_what_is_handled() -> None:
    assert set(manifest()["settings"]["event_subscriptions"]["bot_events"]) == set(router.EVENTS)
    assert set(EVENT_SCOPES) == set(router.EVENTS)


def test_the_manifest_offers_what_is_handled() -> None:
    features = manifest()["features"]

    assert [command["command"] for command in features["slash_commands"]] == ["/cni"]
    assert all(command["should_escape"] for command in features["slash_commands"])
    assert {shortcut["callback_id"] for shortcut in features["shortcuts"]} == set(router.SHORTCUTS)


def test_the_manifest_keeps_slacks_limits() -> None:
    shown, features = manifest()["display_information"], manifest()["features"]

    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert all(len(shortcut["name"]) <= 24 for shortcut in features["shortcuts"])
    assert all(len(command["usage_hint"]) <= 1000 for command in features["slash_commands"])


async def test_a_workspace_with_nothing_more_is_enough() -> None:
    asked = manifest()
    options = SlackOptions(
        scopes=frozenset(asked["oauth_config"]["scopes"]["bot"]),
        events=frozenset(asked["settings"]["event_subscriptions"]["bot_events"]),
    )
    async with (
        SlackWorkspace.start(options) as slack,
        open_client(slack.bot_token, base_url=slack.api_url) as client,
    ):
        checks = await verify(client, mode="socket", app_token=slack.app_token)

    assert [check.problem for check in checks if check.problem] == []
