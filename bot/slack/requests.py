"""Slack over HTTP: one signed request in, one answer out, whatever the web framework.

Bolt parses a body before it knows who sent it, and answers 500 to a timestamp or a body that is none. So the signature
is inspected here first: a stranger gets 401 and nothing of theirs is parsed.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack/
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier

from bot.slack.metrics import RECEIVED

log = structlog.get_logger()

_TOLD = ("content-type", "x-slack-no-retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


_NOT_SLACKS = Answer(status=400, body="not a request of Slack's")


class Requests:
    """What `POST /slack/events` does."""

    def __init__(self, app: AsyncApp, signing_secret: str) -> None:
        self._app = app
        self._verifier = SignatureVerifier(signing_secret) if signing_secret else None

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer: 401 not Slack, or older than five minutes; 400 signed, but no request of Slack's; 503 not kept.

        Never raises for what a sender can do.
        """
        text = self._believed(body, headers)
        if text is None:
            RECEIVED.labels("other", "unsigned").inc()
            return Answer(status=401, body="not signed by Slack")
        try:
            request = AsyncBoltRequest(body=text, headers=dict(headers))
        except Exception as error:  # its parser fails in many ways
            log.exception("slack.not_a_request", error=type(error).__name__)
            return _NOT_SLACKS
        if not isinstance(request.body.get("event", {}), Mapping):
            return _NOT_SLACKS
        done = await self._app.async_dispatch(request)
        kept = {name: str(values[0]) for name, values in done.headers.items() if name in _TOLD and values}
        return Answer(status=503 if done.status >= 500 else done.status, body=done.body or "", headers=kept)

    def _believed(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """The body as text, when Slack signed it within the last five minutes."""
        timestamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        if self._verifier is None or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        is_signed = signature.isascii() and self._verifier.is_valid(body=text, timestamp=timestamp, signature=signature)
        return text if is_signed else None
