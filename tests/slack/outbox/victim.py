"""A process with an outbox, to be killed: `python -m tests.slack.outbox.victim REDIS API_URL TOKEN STATE_DIR`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot.slack.client import open_client
from bot.slack.outbox import Outbox
from bot.slack.outbox.timing import Timing
from bot.store import open_store

SHORT = Timing(request_s=0.5, settle_s=0.1, lease_s=0.5, scan_s=0.1, post_s=0.1)


async def main(redis: str, api_url: str, token: str, state_dir: str) -> None:
    async with open_store(redis, Path(state_dir)) as store, open_client(token, base_url=api_url) as client:
        await Outbox(store.outbox, client, timing=SHORT).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
