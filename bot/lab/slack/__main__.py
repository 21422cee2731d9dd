"""`python -m bot.lab.slack`: the workspace by itself. Prints one line of JSON with addresses and tokens."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from bot.lab.slack.options import SlackOptions
from bot.lab.slack.workspace import SlackWorkspace


def options_of(arguments: list[str]) -> SlackOptions:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bot.lab.slack", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--mode", choices=["socket", "http"], default="socket")
    parser.add_argument("--request-url", default="", help="where the app listens, with --mode http")
    parser.add_argument("--state", type=Path, default=None, help="keep tokens and messages in this directory")
    parser.add_argument("--strict-rates", action="store_true", help="enforce Slack's rate limits")
    given = parser.parse_args(arguments)
    return SlackOptions(
        host=given.host,
        port=given.port,
        mode=given.mode,
        request_url=given.request_url,
        state_dir=given.state,
        strict_rates=given.strict_rates,
    )


async def serve(options: SlackOptions) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SlackWorkspace.start(options) as workspace:
        sys.stdout.write(json.dumps(workspace.connection()) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(options_of(sys.argv[1:])))
