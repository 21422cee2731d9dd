"""Who the bot is in Slack: asked once, and never taken for granted before Slack has said it."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What auth.test says, and the scopes of the token."""

    token: str
    team: str
    team_id: str
    enterprise_id: str | None
    user: str
    user_id: str
    bot_id: str | None
    url: str = ""
    scopes: frozenset[str] = frozenset()
    """Of the header `x-oauth-scopes`."""


async def ask(client: AsyncWebClient) -> Identity:
    """What Slack says about the client's token. Errors: `SlackApiError`, and those of the connection."""
    answer: Any = await cast("Any", client).auth_test()
    headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
    scopes = headers.get("x-oauth-scopes", "").split(",")
    return Identity(
        token=client.token or "",
        team=str(answer.get("team", "")),
        team_id=str(answer.get("team_id", "")),
        enterprise_id=answer.get("enterprise_id"),
        user=str(answer.get("user", "")),
        user_id=str(answer.get("user_id", "")),
        bot_id=answer.get("bot_id"),
        url=str(answer.get("url", "")),
        scopes=frozenset(scope.strip() for scope in scopes if scope.strip()),
    )


def reason_of(error: SlackApiError) -> str:
    """Slack's own word for what is wrong: "invalid_auth"; for an answer that is none of Slack's, its HTTP status."""
    response: Any = error.response
    data = response.data if hasattr(response, "data") else response
    if isinstance(data, dict) and "error" in data:
        return str(cast("dict[str, Any]", data)["error"])
    return f"HTTP {getattr(response, 'status_code', 'unknown')}"


class NotIdentifiedError(Exception):
    """Slack did not say who we are, so nothing can be accepted."""


class WhoAmI:
    """The identity, asked when first needed; a failure is not remembered."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._known: Identity | None = None
        self._asking = asyncio.Lock()

    async def __call__(self) -> Identity:
        """The identity. Errors: `NotIdentifiedError`."""
        async with self._asking:
            if self._known is None:
                try:
                    self._known = await ask(self._client)
                except Exception as error:
                    why = f"auth.test failed: {type(error).__name__}"
                    raise NotIdentifiedError(why) from error
            return self._known
