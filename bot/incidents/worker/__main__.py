"""The process of the worker: orders on standard input, words on standard output. It ends when its input does."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from bot import logs
from bot.aio.cancellation import stray_cancellation_as_error
from bot.aio.groups import TaskGroup
from bot.aio.memory import give_back
from bot.cluster.client import tally
from bot.cluster.client.api import prepare_to_connect
from bot.cluster.client.api_addresses import ApiAddresses, use_addresses
from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.request import Progress
from bot.domain.errors import BotError, PodsHiddenError, UnknownNamespaceError, UnknownPodError
from bot.domain.redact import redact_more
from bot.incidents.worker.client import MOST_BYTES
from bot.incidents.worker.messages import Called, Cancel, Command, Event, Failed, Prepare, Progressed, Reported, Start
from bot.rules.problems import RulesError

log = structlog.get_logger()

NICENESS = 10
"""Whoever answers people goes first."""


class _Worker:
    """Where the orders are done, all at the same time."""

    def __init__(self, playbooks: Sequence[Path], out: BinaryIO) -> None:
        self._playbooks = playbooks
        self._knowledge: Knowledge | None = None
        self._out = out
        self._judges = ThreadPoolExecutor(1, "judge")  # deadlines of the others must pass while one is judged
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def work(self) -> None:
        """Do what is ordered until nothing more can come; then cancel the rest, and let it clean up."""
        orders: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
        reader = asyncio.StreamReader(limit=MOST_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with TaskGroup() as group:
            async for line in reader:
                match orders.decode(line):
                    case Prepare():
                        prepare_to_connect()
                        with suppress(RulesError):  # the first diagnosis says what is wrong
                            self._knows()
                    case Start() as start:
                        self._tasks[start.number] = group.create_task(self._do(start))
                    case Cancel(number=number):
                        self._cancel(number)
            for number in tuple(self._tasks):
                self._cancel(number)

    def _cancel(self, number: int) -> None:
        """Once: a second time would break off the cleaning up."""
        if task := self._tasks.pop(number, None):
            task.cancel()

    async def _do(self, start: Start) -> None:
        try:
            with stray_cancellation_as_error():
                said: Event = await self._reported(start)
        except UnknownPodError as error:
            said = Failed(number=start.number, kind="pod", sentence=str(error), nearest=error.nearest)
        except PodsHiddenError as error:
            said = Failed(number=start.number, kind="hidden", sentence=str(error), permission=error.permission)
        except UnknownNamespaceError as error:
            said = Failed(number=start.number, kind="namespace", sentence=str(error), nearest=error.nearest)
        except BotError as error:
            said = Failed(number=start.number, kind="environment", sentence=str(error))
        except Exception as error:
            log.exception("worker.failed", namespace=start.request.namespace)
            said = Failed(number=start.number, kind="internal", sentence=f"{type(error).__name__} in the worker")
        finally:
            self._tasks.pop(start.number, None)
        self._say(Called(requests=tuple(tally.taken())))
        self._say(said)
        if not self._tasks:
            give_back()

    async def _reported(self, start: Start) -> Reported:
        def tell(progress: Progress) -> None:
            self._say(Progressed(number=start.number, progress=progress))

        done = await diagnose_cluster(
            Path(start.kubeconfig) if start.kubeconfig else None,
            start.context,
            start.request,
            self._knows(),
            on_progress=tell,
            judges=self._judges,
        )
        node_reports = done.recording.reports if start.with_node_reports else {}
        return Reported(number=start.number, report=done.report, node_reports=node_reports)

    def _knows(self) -> Knowledge:
        """Read once: ahead of the first diagnosis, or with it. Errors: `RulesError`."""
        if self._knowledge is None:
            self._knowledge = load_knowledge(self._playbooks)
            gc.collect()
            gc.freeze()  # what lives as long as we do is not looked through again
        return self._knowledge

    def _say(self, word: Event) -> None:
        """One line, without waiting: the bot reads at once whatever we say."""
        with suppress(BrokenPipeError):  # it died, and the end of our input will tell us
            self._out.write(msgspec.json.encode(word) + b"\n")
            self._out.flush()


def main() -> None:
    """Work for the bot that began us. Arguments: the level of logging, what is struck out there, the state directory,
    addresses of the API server, then directories of playbooks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    level, struck, directory, addresses, *playbooks = sys.argv[1:]
    redact_more({"log": msgspec.json.decode(struck, type=list[str])})
    logs.configure(level)
    use_addresses(ApiAddresses(addresses.split(), Path(directory) if directory else None))
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library may print is nothing that the bot should read
    asyncio.run(_Worker([Path(each) for each in playbooks], out).work())


if __name__ == "__main__":
    main()
