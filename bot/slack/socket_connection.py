"""One connection of Socket Mode, from its ticket to its end.

Not the SDK's client: that one closes before it opens anew, asks again with a ticket that is spent, keeps its tasks to
itself, and may wait for ten seconds to close (python-slack-sdk issues 1110, 1446, 1701). Here a connection has one
life: whoever wants another makes a new one. Bolt, its requests and its answers are the library's own.

Source: https://docs.slack.dev/apis/events-api/using-socket-mode/
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.aio.groups import TaskGroup
from bot.slack.identity import reason_of
from bot.slack.metrics import CONNECTIONS

log = structlog.get_logger()

End = Literal["open", "closed", "failed", "refused", "crowded", "disabled", "renewed", "refreshed", "stopped"]
"""How a connection stands: "refused" by Slack with a reason, "crowded": too many of them, "refreshed": Slack asked."""

_ENDS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
_MAX_FRAME_BYTES = 4 * 2**20
_CLOSING = aiohttp.ClientWSTimeout(ws_close=2.0)  # pyright: ignore[reportCallIssue] attrs without annotations
_ANSWER_S = 10.0
_REASONS: dict[str, End] = {"link_disabled": "disabled", "too_many_websockets": "crowded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds."""

    open_s: float = 10.0
    """From asking for a ticket to Slack's greeting."""
    ping_s: float = 10.0
    """Between pings; half of it later without an answer the connection is dead."""
    renew_s: float = 1800.0
    """Age at which a connection is replaced though it seems well: one that answers pings can be deaf all the same."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """What every connection of an app shares."""

    app: AsyncApp
    client: AsyncWebClient
    app_token: str
    session: aiohttp.ClientSession
    timing: Timing


async def open_ticket(client: AsyncWebClient, app_token: str) -> str:
    """The address of a new connection; good once. Errors: `SlackApiError`, and those of the connection."""
    answer: Any = await cast("Any", client).apps_connections_open(app_token=app_token)
    return str(answer["url"])


class Connection:
    """One connection. `live` is its whole life; the events tell those around it how far it got."""

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._deadline: asyncio.Timeout | None = None
        self._is_leaving = False
        self.settled = asyncio.Event()
        """It was greeted, or will never be."""
        self.wants_successor = asyncio.Event()
        """It ends soon, or has ended."""
        self.is_live = False
        """Greeted and not ended."""
        self.end: End = "open"
        self.why = ""

    async def live(self) -> None:
        """Open, answer what comes, close. Never raises for what Slack or the network do."""
        try:
            self.end = await self._live()
        except SlackApiError as error:
            self.end, self.why = "refused", reason_of(error)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self.end, self.why = "failed", f"{type(error).__name__}: {error}"
        finally:
            self.is_live = False
            self.settled.set()
            self.wants_successor.set()

    def leave(self) -> None:
        """Stop reading; what was read is still answered."""
        self._is_leaving = True
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def _live(self) -> End:
        context = self._context
        async with asyncio.timeout(context.timing.open_s):
            url = await open_ticket(context.client, context.app_token)
            websocket = await context.session.ws_connect(
                url,
                heartbeat=context.timing.ping_s,
                timeout=_CLOSING,
                max_msg_size=_MAX_FRAME_BYTES,
                proxy=context.client.proxy,
                ssl=context.client.ssl if context.client.ssl is not None else True,
            )
        try:
            return await self._serve(websocket)
        finally:
            await websocket.close()  # within ws_close

    async def _serve(self, websocket: aiohttp.ClientWebSocketResponse) -> End:
        """Greeting, then work until somebody ends it; then until a successor is there."""
        async with asyncio.timeout(self._context.timing.open_s):
            greeting = await _frame(websocket) or {}
        if greeting.get("type") != "hello":
            return _REASONS.get(str(greeting.get("reason")), "failed")
        self.is_live = True
        self.settled.set()
        with CONNECTIONS.track_inprogress():
            async with TaskGroup() as answers:
                end = await self._read(websocket, answers, self._context.timing.renew_s)
                if self._is_leaving and end == "renewed":
                    return "stopped"
                if end in {"renewed", "refreshed"}:
                    self.wants_successor.set()
                    await self._read(websocket, answers, None)
                return end

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse, answers: TaskGroup, limit_s: float | None) -> End:
        """Answer each envelope in a task of its own. "renewed": the time is over, or we are to leave."""
        if self._is_leaving:
            return "renewed"
        deadline = self._deadline = asyncio.timeout(limit_s)
        try:
            async with deadline:
                while frame := await _frame(websocket):
                    if frame.get("type") == "disconnect":
                        return _REASONS.get(str(frame.get("reason")), "refreshed")
                    request = SocketModeRequest.from_dict(frame)  # pyright: ignore[reportUnknownMemberType] bare dict
                    if request is not None:
                        answers.create_task(self._answer(websocket, request))
                return "closed"
        except TimeoutError:
            if not deadline.expired():
                raise
            return "renewed"
        finally:
            self._deadline = None

    async def _answer(self, websocket: aiohttp.ClientWebSocketResponse, request: SocketModeRequest) -> None:
        """Acknowledge, when Bolt says 200. Nothing is said otherwise, and Slack sends events again."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                response = await run_async_bolt_app(self._context.app, request)
                if response.status != 200:
                    return
                answer: dict[str, Any] = {"envelope_id": request.envelope_id}
                if response.body:
                    answer["payload"] = _payload(response.body)
                await websocket.send_str(json.dumps(answer))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("slack.answer_lost", envelope=request.type, error=f"{type(error).__name__}: {error}")


def _payload(body: str) -> dict[str, Any]:
    """The body of Bolt's answer: JSON as it is, words as the text of a message."""
    return json.loads(body) if body.startswith("{") else {"text": body}


async def _frame(websocket: aiohttp.ClientWebSocketResponse) -> dict[str, Any] | None:
    """What Slack sends next; None when the connection has ended. What is no JSON object is no frame."""
    while True:
        message = await websocket.receive()
        if message.type in _ENDS:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        try:
            frame: object = json.loads(message.data)
        except (ValueError, RecursionError):
            continue
        if isinstance(frame, dict) and frame:
            return cast("dict[str, Any]", frame)
