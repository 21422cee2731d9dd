"""A workspace, and unmodified Slack libraries connected to it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would send even loopback requests through a proxy of the environment."""
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)


@pytest.fixture
async def ws() -> AsyncIterator[SlackWorkspace]:
    """With more patience than Slack has: a busy machine proves nothing."""
    async with SlackWorkspace.start(SlackOptions(ack_timeout_s=15, trigger_ttl_s=30)) as workspace:
        yield workspace


@pytest.fixture
def client(ws: SlackWorkspace) -> Any:  # the SDK's annotations are partly unknown to strict type checkers
    return AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)


@asynccontextmanager
async def connected(
    ws: SlackWorkspace, app: Any, connections: int = 1, ping_interval: float = 1
) -> AsyncGenerator[Any]:
    """The app, connected by Socket Mode; its handlers."""
    handlers = [AsyncSocketModeHandler(app, ws.app_token, ping_interval=ping_interval) for _ in range(connections)]
    try:
        for handler in handlers:
            await handler.connect_async()
        await ws.until(lambda: len(ws.sockets.connections) == connections)
        yield handlers
    finally:
        for handler in handlers:
            await handler.close_async()


async def refused(call: Any) -> Any:
    """The answer of a call that Slack refuses."""
    with pytest.raises(SlackApiError) as caught:
        await call
    error: Any = caught.value
    return error.response
