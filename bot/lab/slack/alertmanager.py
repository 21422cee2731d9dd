"""Alertmanager's own Slack integration: the attachment that its default template makes, over both its transports.

Source: https://github.com/prometheus/alertmanager (notify/slack/slack.go, template/default.tmpl)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from bot.lab.slack.errors import SlackError
from bot.lab.slack.platform import Platform
from bot.lab.types import Json

_TITLE_MOST = 1024
Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """A group of alerts as Alertmanager notifies of it. `common_labels` include the `group_labels`."""

    group_labels: Mapping[str, str]
    common_labels: Mapping[str, str]
    count: int = 1
    status: Status = "firing"
    receiver: str = "slack"
    external_url: str = "http://alertmanager.example:9093"
    text: str = ""
    callback_id: str = ""
    """`{{ .GroupKey }}` where people templated it so."""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def title(self) -> str:
        """The template `slack.default.title`."""
        count = f":{self.count}" if self.status == "firing" else ""
        names = " ".join(self.group_labels[name] for name in sorted(self.group_labels))
        rest = [value for name, value in sorted(self.common_labels.items()) if name not in self.group_labels]
        others = f" ({' '.join(rest)})" if rest else " "
        return f"[{self.status.upper()}{count}] {names}{others}"[:_TITLE_MOST]

    def attachment(self) -> Json:
        """What Alertmanager sends; it leaves out what is empty."""
        link = f"{self.external_url}/#/alerts?receiver={quote(self.receiver)}"
        shown = [{"title": name, "value": value, "short": True} for name, value in self.fields.items()]
        made: Json = {
            "title": self.title,
            "title_link": link,
            "text": self.text,
            "fallback": f"{self.title} | {link}",
            "callback_id": self.callback_id,
            "fields": shown,
            "color": "danger" if self.status == "firing" else "good",
            "mrkdwn_in": ["fallback", "pretext", "text"],
        }
        return {name: value for name, value in made.items() if value} | {"callback_id": self.callback_id, "footer": ""}


class Alertmanager:
    """Posts over HTTP, as the real one: through its incoming webhook into #alerts, or with its own bot token."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @property
    def webhook_url(self) -> str:
        """Alertmanager's `api_url`."""
        state = self._platform.state
        return f"{state.base_url}{next(iter(state.webhooks))}"

    @property
    def bot_token(self) -> str:
        """Alertmanager's `app_token`."""
        return self._platform.state.apps["A0ALERTMANAGER"].bot_token

    async def notify(self, group: AlertGroup) -> str:
        """Through the webhook; the ts of the message in #alerts."""
        return await self._into_alerts({"username": "Alertmanager", "attachments": [group.attachment()]})

    async def say(self, text: str) -> str:
        """Plain text through the webhook, as other senders post; the ts of the message in #alerts."""
        return await self._into_alerts({"text": text})

    async def _into_alerts(self, body: Json) -> str:
        status, answer = await self._post(self.webhook_url, body, {})
        if status != 200:
            raise SlackError(answer)
        return next(reversed(self._platform.state.channels["C0ALERTS"].messages))

    async def notify_as_bot(self, group: AlertGroup, channel: str = "C0ALERTS", update_ts: str = "") -> str:
        """With the bot token; `update_ts` edits that message, as `update_message: true` does. The message's ts."""
        method = "chat.update" if update_ts else "chat.postMessage"
        place = {"channel": self._platform.state.channel(channel).id, **({"ts": update_ts} if update_ts else {})}
        body = {**place, "username": "Alertmanager", "attachments": [group.attachment()]}
        url = f"{self._platform.state.base_url}/api/{method}"
        answer = await self._json(url, body, {"Authorization": f"Bearer {self.bot_token}"})
        if not answer["ok"]:
            raise SlackError(answer["error"])
        return answer["ts"]

    async def _post(self, url: str, body: Json, headers: Mapping[str, str]) -> tuple[int, str]:
        session = self._platform.push.session
        assert session is not None
        async with session.post(url, json=body, headers=headers) as response:
            return response.status, await response.text()

    async def _json(self, url: str, body: Json, headers: Mapping[str, str]) -> Any:
        session = self._platform.push.session
        assert session is not None
        async with session.post(url, json=body, headers=headers) as response:
            return await response.json()
