"""`cnibot demo`: a cluster, a Slack workspace and the bot on this machine; or the founding story, printed."""

import asyncio
import contextlib
import shlex
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bot.aio.stopping import Stop
from bot.cli.bot_process import BotProcess
from bot.cli.common import NO_DIAGNOSIS, PROBLEM, begin, errors_explained, fail, knowledge_of
from bot.cli.story import FAULT, NAMESPACE, VICTIM, StoryContext, play
from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.errors import LabError
from bot.lab.scratch import scratch

PORT = 8088
"""The page's port, when it is free."""
_READY_S = 60.0


def demo(
    scripted: Annotated[  # noqa: FBT002 a flag
        bool, typer.Option("--scripted", help="Play the founding story on the terminal, then exit.")
    ] = False,
    port: Annotated[int, typer.Option(help="The page's port; 0 takes any free one.", min=0, max=65535)] = PORT,
) -> None:
    """A broken cluster, a Slack workspace and the bot on this machine, to be tried in the browser."""
    console = Console(width=None if Console().is_terminal else 100)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # make has us begin with Ctrl-C ignored, to be silent then
    with errors_explained(), scratch("demo") as directory:
        began = time.monotonic()
        try:
            lab = launch.start(directory / "lab", launch.LabOptions(), attached=True)
        except LabError as error:
            fail(str(error), NO_DIAGNOSIS)
        try:
            console.print(f"A lab with 3 nodes is up after {time.monotonic() - began:.1f} s.", style="dim")
            client = LabClient(directory / "lab")
            if scripted:
                story = StoryContext(client, knowledge_of(begin(), None), console)
                raise typer.Exit(0 if asyncio.run(_play(story, directory)) else PROBLEM)
            asyncio.run(_hold(client, directory, console, port))
        except BotProcess.DiedError as error:
            fail(str(error), NO_DIAGNOSIS)
        except TimeoutError:
            fail(f"the bot was not ready within {_READY_S:g} s", NO_DIAGNOSIS)
        finally:
            lab.stop()
    console.print("Cleaned up.", style="dim")


async def _play(story: StoryContext, directory: Path) -> bool:
    """Both stories; whether cnibot was right at each turn."""
    is_right = await play(story)
    from bot.cli.rollback_story import play_rollback  # noqa: PLC0415 the workspace takes a moment to import

    return await play_rollback(story, directory, _READY_S) and is_right


async def _hold(client: LabClient, directory: Path, console: Console, port: int) -> None:
    """Run workspace, page and bot until a signal comes."""
    stop = Stop()
    async with AsyncExitStack() as stack:
        stack.enter_context(stop.on_signals())
        address, bot = await stack.enter_async_context(_workspace(client, directory, port))
        console.print(Text(await bot.ready(stop.asked, _READY_S), style="dim"))
        if not stop.asked.is_set():
            _tell(console, address, client)
        await bot.watch(stop.asked)


@contextlib.asynccontextmanager
async def _workspace(client: LabClient, directory: Path, port: int) -> AsyncGenerator[tuple[str, BotProcess]]:
    """The page's address, and the bot, which has just been started."""
    # NiceGUI takes a second to import: not for those who only want the story.
    from bot.cli.workspace import options, page_context  # noqa: PLC0415
    from bot.lab.slack import SlackWorkspace  # noqa: PLC0415
    from bot.lab.slack.page.server import page  # noqa: PLC0415

    async with SlackWorkspace.start(options()) as workspace:
        bot = BotProcess(client.kubeconfig, directory, workspace.api_url, (workspace.bot_token, workspace.app_token))
        async with bot, page(page_context(workspace, client, bot), free(port)) as address:
            yield address, bot


def free(port: int) -> int:
    """The port itself, or 0 (any) when somebody else has it."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _tell(console: Console, address: str, client: LabClient) -> None:
    console.print(Text.assemble("\n  Open  ", (address, "bold cyan"), "\n"))
    console.print(Text(f"  Under “Lab”, press “2 a.m. on {VICTIM}: the story”, then type /cni diagnose {NAMESPACE}."))
    console.print(Text("  Ctrl-C ends everything.\n"))
    console.print(Text("  In another terminal, paste this:", style="dim"))
    for line in commands_to_paste(client):
        console.print(Text(f"    {line}"), soft_wrap=True)
    console.print()


def commands_to_paste(client: LabClient) -> tuple[str, ...]:
    """What works in a fresh terminal: this installation's programs, this lab's cluster."""
    state = shlex.quote(str(client.state.path))
    return (
        f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH:/usr/sbin:/sbin",
        f"export KUBECONFIG={shlex.quote(str(client.kubeconfig))}",
        f"cnibot lab break {FAULT} --node {VICTIM} --state {state}",
        f"cnibot diagnose {NAMESPACE}",
        f"cnibot lab heal --state {state}",
    )
