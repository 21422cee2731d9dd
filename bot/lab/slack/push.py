"""HTTP mode: signed requests to the app's address."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from bot.lab.slack.decoding import decode_object
from bot.lab.slack.delivery import Ack, Envelope
from bot.lab.slack.faults import Faults
from bot.lab.slack.model import App
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

_FORM = "application/x-www-form-urlencoded"


@dataclass(kw_only=True)
class Push:
    """Posts to apps; `session` is there while the workspace runs."""

    state: WorkspaceState
    faults: Faults
    session: aiohttp.ClientSession | None = None

    async def send(self, app: App, envelope: Envelope) -> Ack:
        """One request; anything but a 2xx within 3 s is no acknowledgement."""
        if not app.request_url or self.session is None:
            return Ack(error="connection_failed")
        body, content_type = _encoded(envelope)
        headers = {"Content-Type": content_type, "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"}
        headers |= self.signature(app, body)
        if envelope.retry_attempt:
            headers["X-Slack-Retry-Num"] = str(envelope.retry_attempt)
            headers["X-Slack-Retry-Reason"] = _REASONS.get(envelope.retry_reason, envelope.retry_reason)
        return await self._post(app, body, headers, accepts_reply=envelope.accepts_reply)

    async def _post(self, app: App, body: bytes, headers: dict[str, str], *, accepts_reply: bool) -> Ack:
        assert self.session is not None
        begun = self.state.clock()
        timeout = aiohttp.ClientTimeout(total=self.state.options.ack_timeout_s)
        try:
            async with self.session.post(
                app.request_url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                raw, status = await response.read(), response.status
                no_retry = response.headers.get("X-Slack-No-Retry") == "1"
        except TimeoutError:
            return Ack(error="http_timeout", took_s=self.state.clock() - begun)
        except (aiohttp.ClientError, OSError):
            return Ack(error="connection_failed", took_s=self.state.clock() - begun)
        took_s = self.state.clock() - begun
        if not 200 <= status < 300:
            return Ack(error="http_error", took_s=took_s, no_retry=no_retry)
        return Ack(reply=_reply(raw) if accepts_reply else None, took_s=took_s)

    def signature(self, app: App, body: bytes) -> dict[str, str]:
        """The two headers that prove that the request is ours."""
        timestamp = str(int(self.state.clock() + self.faults.clock_skew_s))
        base = b"v0:" + timestamp.encode() + b":" + body
        digest = hmac.new(app.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}

    async def verify_url(self, app: App) -> bool:
        """The handshake when a request URL is entered: the app must echo the challenge."""
        challenge = self.state.ids.secret(48)
        payload = {"token": app.verification_token, "challenge": challenge, "type": "url_verification"}
        body = json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", **self.signature(app, body)}
        ack = await self._post(app, body, headers, accepts_reply=True)
        return ack.ok and challenge in {(ack.reply or {}).get("challenge"), (ack.reply or {}).get("text")}


_REASONS = {"timeout": "http_timeout"}


def _encoded(envelope: Envelope) -> tuple[bytes, str]:
    """Events as JSON, commands as a form, the rest as JSON in a form."""
    match envelope.kind:
        case "events_api":
            return json.dumps(envelope.payload).encode(), "application/json"
        case "slash_commands":
            return urlencode(envelope.payload).encode(), _FORM
        case "interactive":
            return urlencode({"payload": json.dumps(envelope.payload)}).encode(), _FORM


def _reply(raw: bytes) -> Json | None:
    text = raw.decode(errors="replace").strip()
    if not text:
        return None
    try:
        return decode_object(text)
    except ValueError:
        return {"text": text}
