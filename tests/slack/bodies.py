"""Bodies as Slack sends them."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def event(event_id: str = "Ev1", **fields: Any) -> dict[str, Any]:
    """An event; a mention by alice where nothing else is said."""
    inner = {"type": "app_mention", "user": "UALICE", "text": "<@UBOT> help", "ts": "1.1", "channel": "C1", **fields}
    return {"type": "event_callback", "event_id": event_id, "team_id": "T1", "api_app_id": "A1", "event": inner}


def command(trigger_id: str = "t1", text: str = "help") -> dict[str, Any]:
    """`/cni` typed by alice."""
    person = {"team_id": "T1", "user_id": "UALICE", "channel_id": "C1"}
    return {"command": "/cni", "text": text, "trigger_id": trigger_id, "response_url": "http://127.0.0.1:9/r", **person}


def press(trigger_id: str | None = "t2", action_id: str = "cni_details") -> dict[str, Any]:
    """A button pressed by alice."""
    pressed = {"action_id": action_id, "block_id": "b", "action_ts": "5.5", "type": "button", "value": "inc-1:1"}
    person = {"team": {"id": "T1"}, "user": {"id": "UALICE", "team_id": "T1"}}
    body: dict[str, Any] = {"type": "block_actions", "actions": [pressed], **person}
    return {**body, "trigger_id": trigger_id} if trigger_id else body


def form(kind: str = "view_submission", view_hash: str = "h1") -> dict[str, Any]:
    """A modal sent off, or closed."""
    view = {"id": "V1", "hash": view_hash, "type": "modal", "callback_id": "cni_not_it_view"}
    return {"type": kind, "team": {"id": "T1"}, "user": {"id": "UALICE", "team_id": "T1"}, "view": view}


def signed(body: bytes, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers with which Slack sends a body."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    kind = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
    return {"x-slack-request-timestamp": timestamp, "x-slack-signature": f"v0={digest}", "content-type": kind}


def encoded(body: dict[str, Any]) -> bytes:
    """As Slack encodes it: events as JSON, commands as a form, interactions as JSON in a form."""
    if body.get("type") in {"event_callback", "url_verification"}:
        return json.dumps(body).encode()
    fields = body if "command" in body else {"payload": json.dumps(body)}
    return urlencode(fields).encode()
