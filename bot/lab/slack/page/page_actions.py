"""What a person at the page can do in the workspace, each deed with the sentence that says why it failed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import aiohttp

from bot.lab.slack.errors import SlackError, UserClientError
from bot.lab.slack.outcome import Outcome
from bot.lab.slack.page.controls import Press
from bot.lab.slack.workspace import SlackWorkspace
from bot.lab.types import Json

Result = TypeVar("Result")
_WEBHOOK_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """How a modal's submission ended. ``errors``: sentences by block id; ``problem``: anything else."""

    errors: dict[str, str] = field(default_factory=dict[str, str])
    problem: str = ""


class PageActions:
    """Acts as any of the workspace's people."""

    def __init__(self, workspace: SlackWorkspace) -> None:
        self.workspace = workspace

    async def say(self, user: str, channel: str, text: str, thread: str) -> str:
        """Post as a person; ``thread`` is a root's ts or empty."""
        return await _said(self.workspace.user(user).say(channel, text, thread or None))

    async def slash(self, user: str, channel: str, command: str, text: str) -> str:
        """Type a slash command."""
        return await _said(self.workspace.user(user).slash(channel, command, text))

    async def press(self, user: str, channel: str, ts: str, press: Press) -> str:
        """Press or choose something in a message."""
        return await _said(self.workspace.user(user).click(channel, ts, press.action_id, press.value))

    async def press_in_view(self, user: str, view_id: str, press: Press) -> str:
        """Press or choose something in a modal or on the Home tab."""
        return await _said(self.workspace.user(user).click_in_view(view_id, press.action_id, press.value))

    async def submit(self, user: str, view_id: str, values: Mapping[str, str | list[str]]) -> Submitted:
        """Send a modal with what was typed and chosen, by action_id."""
        try:
            outcome = await self.workspace.user(user).submit(
                view_id, {key: value or None for key, value in values.items()}
            )
        except (UserClientError, SlackError) as error:
            return Submitted(problem=str(error))
        return Submitted(errors=outcome.errors, problem=outcome.error)

    async def close(self, user: str, view_id: str) -> None:
        """Leave a modal; one that is gone already is no matter."""
        if view_id in self.workspace.state.views:
            await self.workspace.user(user).close(view_id)

    async def shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> str:
        """Use a message's shortcut."""
        return await _said(self.workspace.user(user).shortcut(channel, ts, callback_id))

    async def open_home(self, user: str) -> None:
        """Look at the app's Home tab."""
        await self.workspace.user(user).open_home()

    async def react(self, user: str, channel: str, ts: str, name: str) -> str:
        """Add a reaction, or take one's own away."""
        state = self.workspace.state
        place = state.channel(channel)
        message = place.messages.get(ts)
        if message is None:
            return "That message is gone."
        state.react(place, message, name, user, add=user not in message.reactions.get(name, []))
        return ""

    async def alert(self, *, is_resolved: bool) -> str:
        """Let Alertmanager post into its channel, through its own webhook."""
        state = self.workspace.state
        path = next((path for path, channel in state.webhooks.items() if state.channels[channel].name == "alerts"), "")
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WEBHOOK_S), trust_env=False) as session,
                session.post(state.base_url + path, json=alert(is_resolved=is_resolved)) as answer,
            ):
                return "" if answer.status == 200 else f"Slack answered Alertmanager {answer.status}."
        except (aiohttp.ClientError, TimeoutError):
            return "Alertmanager does not reach Slack."


async def _said(deed: Awaitable[Outcome | str]) -> str:
    """Nothing when all went well. What Slack itself tells the person (Slackbot) is not said twice."""
    try:
        await deed
    except (UserClientError, SlackError) as error:
        return str(error)
    return ""


def alert(*, is_resolved: bool, at: float | None = None) -> Json:
    """What Alertmanager's Slack receiver posts for the founding story, its labels as fields.

    Source: https://github.com/prometheus/alertmanager/blob/main/notify/slack/slack.go
    """
    state, colour = ("RESOLVED", "good") if is_resolved else ("FIRING:1", "danger")
    title = f"[{state}] SeldonModelTimeouts (seldon-mesh sklearn-iris critical)"
    labels = {"namespace": "seldon-mesh", "severity": "critical", "pod": "sklearn-iris", "cluster": "lab"}
    attachment: Json = {
        "title": title,
        "title_link": "http://alertmanager.lab/#/alerts?receiver=slack",
        "text": (
            "*Summary:* Models time out while they dial their scheduler.\n"
            "*Description:* `dial tcp 10.43.51.131:9004: i/o timeout` for 5 minutes.\n"
            "<http://runbooks.lab/seldon|Runbook> · <http://prometheus.lab/graph|Graph>"
        ),
        "fallback": f"{title} | http://alertmanager.lab",
        "callback_id": '{}:{alertname="SeldonModelTimeouts", namespace="seldon-mesh"}',
        "color": colour,
        "fields": [{"title": name, "value": value, "short": True} for name, value in labels.items()],
        "footer": "Alertmanager",
        "ts": int(time.time() if at is None else at),
        "mrkdwn_in": ["fallback", "pretext", "text"],
    }
    return {"username": "Alertmanager", "attachments": [attachment]}
