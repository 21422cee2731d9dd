"""An outbox between a real Redis and the lab's workspace, in a time of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.lab.slack.ids import Ids
from bot.slack.client import open_client
from bot.store import Store
from tests.slack.outbox.rig import Rig, VirtualClock


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    clock = VirtualClock()
    async with SlackWorkspace.start(SlackOptions(share_delay_s=0)) as ws:
        ws.state.clock = clock.now
        ws.state.ids = Ids(clock.now)
        async with open_client(ws.bot_token, base_url=ws.api_url) as client:
            yield Rig(store=store, ws=ws, client=client, clock=clock)
