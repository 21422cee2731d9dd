"""Socket Mode: tickets, WebSockets, envelopes to one connection in turn, acknowledgements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from bot.lab.slack.background import Background
from bot.lab.slack.decoding import decode_object
from bot.lab.slack.delivery import Ack, Envelope
from bot.lab.slack.faults import Faults
from bot.lab.slack.model import App
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_CLOSE_S = 1.0


@dataclass(eq=False, kw_only=True)
class Connection:
    """One open WebSocket of an app."""

    id: str
    app: App
    ws: web.WebSocketResponse
    request: web.Request
    opened_at: float
    pending: dict[str, asyncio.Future[Json | None]] = field(default_factory=dict[str, "asyncio.Future[Json | None]"])
    """Awaited acknowledgements; None says that the connection ended first."""
    delivered: int = 0
    pings: int = 0
    is_leaving: bool = False

    def abort(self) -> None:
        """Cut it, without a closing handshake."""
        if self.request.transport is not None:
            self.request.transport.abort()

    def release(self) -> None:
        """Nobody will acknowledge here any more."""
        for future in self.pending.values():
            if not future.done():
                future.set_result(None)


@dataclass(kw_only=True)
class Sockets:
    """All sockets of all apps."""

    state: WorkspaceState
    faults: Faults
    background: Background
    connections: list[Connection] = field(default_factory=list[Connection])
    opened: int = 0
    """How many connections there have been."""
    refused: int = 0
    """How many handshakes came with a bad ticket."""
    _tickets: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])
    _turn: int = 0

    def new_ticket(self, app: App) -> str:
        """Good for one handshake, for 30 s; a dead one is never good."""
        ticket = self.state.ids.secret(32)
        if not self.faults.kills_ticket():
            self._tickets[ticket] = (app.id, self.state.clock() + self.state.options.ticket_ttl_s)
        return ticket

    def _redeem(self, ticket: str) -> App | None:
        app_id, expires_at = self._tickets.pop(ticket, ("", 0.0))
        return self.state.apps.get(app_id) if self.state.clock() <= expires_at else None

    def of(self, app: App) -> list[Connection]:
        """An app's open connections."""
        return [one for one in self.connections if one.app is app]

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """The handshake, and then the connection until it ends."""
        app = self._redeem(request.query.get("ticket", ""))
        if app is None:
            self.refused += 1
            self.state.changes.note("socket", detail="refused")
            return web.Response(status=408, text="ticket expired or unknown")
        ws = web.WebSocketResponse(autoping=False, timeout=_CLOSE_S, max_msg_size=1 << 20)
        await ws.prepare(request)
        if len(self.of(app)) >= self.state.options.max_connections:
            await self._frame(
                ws, {"type": "disconnect", "reason": "too_many_websockets", "debug_info": {"host": "lab"}}
            )
            await ws.close()
            return ws
        connection = Connection(
            id=self.state.ids.secret(12), app=app, ws=ws, request=request, opened_at=self.state.clock()
        )
        await self._serve(connection)
        return ws

    async def _serve(self, connection: Connection) -> None:
        self.connections.append(connection)
        self.opened += 1
        self.state.changes.note("socket", detail=f"opened {connection.id}")
        try:
            await self._hello(connection)
            self.background.spawn(self._refresh(connection), f"refresh {connection.id}")
            async for message in connection.ws:
                await self._received(connection, message)
        except ConnectionError:
            log.debug("socket.reset", connection=connection.id)
        finally:
            self.connections.remove(connection)
            connection.release()
            self.state.changes.note("socket", detail=f"closed {connection.id}")

    async def _hello(self, connection: Connection) -> None:
        options = self.state.options
        hello = {
            "type": "hello",
            "num_connections": len(self.of(connection.app)),
            "debug_info": {
                "host": "lab-slack-0",
                "build_number": 1,
                "approximate_connection_time": int(options.connection_s),
            },
            "connection_info": {"app_id": connection.app.id},
        }
        await self._frame(connection.ws, hello)

    async def _refresh(self, connection: Connection) -> None:
        """Slack's own farewell after hours: a warning, then the request to come again."""
        options = self.state.options
        await asyncio.sleep(max(0.0, options.connection_s - options.warning_s))
        await self._goodbye([connection], "warning")
        await asyncio.sleep(options.warning_s)
        await self._goodbye([connection], "refresh_requested")

    async def _received(self, connection: Connection, message: WSMessage) -> None:
        if self.faults.half_open_sockets:
            return
        if message.type is WSMsgType.PING:
            connection.pings += 1
            await connection.ws.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            self._acknowledged(connection, str(message.data))

    def _acknowledged(self, connection: Connection, text: str) -> None:
        try:
            fields = decode_object(text)
        except ValueError:
            log.warning("socket.unreadable", connection=connection.id)
            return
        future = connection.pending.get(str(fields.get("envelope_id")))
        if future is not None and not future.done():
            future.set_result(fields)

    async def send(self, app: App, envelope: Envelope) -> Ack:
        """To one connection, in turn; waits for the acknowledgement."""
        connection = self._next(app)
        if connection is None:
            return Ack(error="no_connection")
        envelope_id = self.state.ids.secret(24)
        future: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        connection.pending[envelope_id] = future
        connection.delivered += 1
        begun = self.state.clock()
        try:
            async with asyncio.timeout(self.state.options.ack_timeout_s):
                await self._frame_to(connection, envelope, envelope_id)
                frame = await future
        except TimeoutError:
            return Ack(error="timeout", took_s=self.state.clock() - begun)
        except ConnectionError:
            return Ack(error="connection_failed", took_s=self.state.clock() - begun)
        finally:
            del connection.pending[envelope_id]
        took_s = self.state.clock() - begun
        if frame is None:
            return Ack(error="connection_failed", took_s=took_s)
        reply: Any = frame.get("payload")
        has_reply = envelope.accepts_reply and isinstance(reply, dict)
        return Ack(reply=cast("Json", reply) if has_reply else None, took_s=took_s)

    async def _frame_to(self, connection: Connection, envelope: Envelope, envelope_id: str) -> None:
        if self.faults.half_open_sockets:
            return
        retries: Json = {}
        if envelope.kind == "events_api":
            retries = {"retry_attempt": envelope.retry_attempt, "retry_reason": envelope.retry_reason}
        frame = {
            "envelope_id": envelope_id,
            "payload": envelope.payload,
            "type": envelope.kind,
            "accepts_response_payload": envelope.accepts_reply,
            **retries,
        }
        await self._frame(connection.ws, frame)

    def _next(self, app: App) -> Connection | None:
        ready = [one for one in self.of(app) if not one.ws.closed and not one.is_leaving]
        if not ready:
            return None
        self._turn += 1
        return ready[self._turn % len(ready)]

    @staticmethod
    async def _frame(ws: web.WebSocketResponse, frame: Json) -> None:
        await ws.send_str(json.dumps(frame))

    def drop(self, how: str) -> None:
        """End every connection: `abort`, or a `disconnect` frame with this reason first."""
        connections = list(self.connections)
        if how != "abort":
            self.background.spawn(self._goodbye(connections, how), f"disconnect {how}")
            return
        for connection in connections:
            connection.is_leaving = True
            connection.abort()
            connection.release()

    async def _goodbye(self, connections: Iterable[Connection], reason: str) -> None:
        for connection in connections:
            if connection.ws.closed:
                continue
            try:
                await self._frame(
                    connection.ws, {"type": "disconnect", "reason": reason, "debug_info": {"host": "lab"}}
                )
                if reason != "warning":
                    connection.is_leaving = True
                    await connection.ws.close(code=WSCloseCode.OK)
            except ConnectionError:
                log.debug("socket.gone", connection=connection.id)

    async def close(self) -> None:
        """Slack goes away."""
        self.drop("abort")
