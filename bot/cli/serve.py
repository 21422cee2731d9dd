"""`cnibot serve`: the bot."""

import asyncio
from typing import TYPE_CHECKING

from rich.console import Console

from bot.cli.common import USAGE, begin, errors_explained, fail

if TYPE_CHECKING:
    from bot.app import Running


def serve() -> None:
    """Run the bot until SIGTERM or Ctrl-C. `cnibot doctor` tells what is missing.

    Exit code 0: it was asked to end. 2: a setting, a token or a right is wrong. 3: it cannot run, or died.
    """
    from bot import app  # noqa: PLC0415 `cnibot --help` needs none of it

    with errors_explained():
        settings = begin()
        try:
            asyncio.run(app.serve(settings, on_ready=_tell))
        except app.NotReadyError as error:
            fail(str(error), USAGE)


def _tell(running: "Running") -> None:
    Console(soft_wrap=True).print(running.says, markup=False, highlight=False)
