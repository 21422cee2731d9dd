"""The bot's side of the worker: begins the process when the first diagnosis is asked for, ends it when none was long.

Where alerts come in it is there from the beginning: an alert waits for nothing that could have been done before it.

Slack wants its acknowledgements within three seconds and people their first word within one. Reading a large cluster
and weighing causes are seconds of computing; in a thread of the bot's own process they kept the loop that answers from
its turn for up to a second. A process of their own does not, and gives its memory back.
"""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from bot.agent.report import NodeReport
from bot.aio.children import child_environment
from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup
from bot.cluster.client import tally
from bot.cluster.client.api_addresses import addresses_in_use
from bot.diagnosis.request import OnProgress, Progress, Request, silent
from bot.domain.errors import BotError, ElsewhereError, PodsHiddenError, UnknownNamespaceError, UnknownPodError, bounded
from bot.domain.redact import redacted_in
from bot.domain.report import Report
from bot.incidents.worker.messages import Called, Cancel, Command, Event, Failed, Prepare, Progressed, Reported, Start

log = structlog.get_logger()

IDLE_S = 600.0
"""How long the process stays without work: beginning it takes two seconds, keeping it 60 MB."""
CLOSE_S = 15.0
"""How long work that is cancelled may clean up: node agents are removed."""
MOST_BYTES = 64 * 2**20
"""Of one message."""


class WorkerError(ElsewhereError):
    """The worker did not do its work by a fault of its own: it died, or failed in a way nobody thought of."""


class DiagnosisError(BotError):
    """Why there is no verdict, in the words of the error in the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A diagnosis, and what it was made from on the nodes."""

    report: Report
    node_reports: Mapping[str, NodeReport]
    """By node."""


@dataclass(slots=True)
class _Job:
    request: Request
    on_progress: OnProgress
    ended: asyncio.Future[Reported]

    def tell(self, progress: Progress) -> None:
        try:
            self.on_progress(progress)
        except Exception as error:  # noqa: BLE001 whose callback fails loses their own diagnosis, nobody else's
            self.ended.set_exception(error)


@dataclass(slots=True)
class _Child:
    """One process, and what it works on."""

    process: Process
    jobs: dict[int, _Job] = field(default_factory=dict[int, _Job])

    def say(self, order: Command) -> None:
        if self.process.stdin and not self.process.stdin.is_closing():
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    def receive(self, word: Progressed | Reported | Failed) -> None:
        job = self.jobs.get(word.number)
        if job is None or job.ended.done():  # cancelled meanwhile
            return
        match word:
            case Progressed():
                job.tell(word.progress)
            case Reported():
                job.ended.set_result(word)
            case Failed(kind="namespace"):
                job.ended.set_exception(UnknownNamespaceError(job.request.namespace, word.nearest))
            case Failed(kind="pod"):
                error = UnknownPodError(job.request.namespace, job.request.pod or "", word.nearest)
                job.ended.set_exception(error)
            case Failed(kind="hidden"):
                job.ended.set_exception(PodsHiddenError(job.request.namespace, word.permission))
            case Failed(kind="environment"):
                job.ended.set_exception(DiagnosisError(word.sentence))
            case Failed():
                job.ended.set_exception(WorkerError(word.sentence))

    def lose(self, why: str) -> None:
        """Tell all who wait that nothing will come."""
        for job in self.jobs.values():
            if not job.ended.done():
                job.ended.set_exception(WorkerError(why))

    def close(self) -> None:
        """Let it cancel what runs, clean up and end; what takes too long is killed."""
        if self.process.stdin and not self.process.stdin.is_closing():
            self.process.stdin.close()
            asyncio.get_running_loop().call_later(CLOSE_S, self.kill)

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


class DiagnosisWorker:
    """Makes diagnoses, several at a time. `open_worker` opens one."""

    def __init__(self, group: TaskGroup, program: Sequence[str], *, idle_s: float | None) -> None:
        """`idle_s` is how long the process stays without work; None: as long as we do."""
        self._group = group
        self._program = program
        self._idle_s = idle_s
        self._numbers = itertools.count(1)
        self._child: _Child | None = None
        self._beginning = asyncio.Lock()
        self._retiring: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process that is there now; None: nothing has been asked of it for a while."""
        return self._child.process.pid if self._child else None

    async def prepare(self) -> None:
        """Begin the process, so that the first diagnosis need not wait for it."""
        async with self._beginning:
            child = self._child or await self._begin()
            child.say(Prepare())

    async def diagnose(
        self, kubeconfig: Path | None, context: str | None, request: Request, on_progress: OnProgress
    ) -> Report:
        """The report on the cluster that the kubeconfig names. Cancelling this cancels it, and does not wait for it.

        Errors: `UnknownNamespaceError`; `BotError`: why it is impossible; `WorkerError`.
        """
        return (await self._done(kubeconfig, context, request, on_progress)).report

    async def inspect(self, kubeconfig: Path | None, context: str | None, request: Request) -> Inspected:
        """As `diagnose`, with what the nodes' agents reported."""
        done = await self._done(kubeconfig, context, request, silent, with_node_reports=True)
        return Inspected(report=done.report, node_reports=done.node_reports)

    async def _done(
        self,
        kubeconfig: Path | None,
        context: str | None,
        request: Request,
        on_progress: OnProgress,
        *,
        with_node_reports: bool = False,
    ) -> Reported:
        start = Start(
            number=next(self._numbers),
            kubeconfig=str(kubeconfig or ""),
            context=context,
            request=request,
            with_node_reports=with_node_reports,
        )
        number = start.number
        job = _Job(request, on_progress, asyncio.get_running_loop().create_future())
        async with self._beginning:
            child = self._child or await self._begin()
            child.jobs[number] = job
        if self._retiring:
            self._retiring.cancel()
        try:
            child.say(start)
            return await job.ended
        finally:
            if not job.ended.done() or job.ended.cancelled():
                child.say(Cancel(number=number))
            del child.jobs[number]
            if child is self._child and not child.jobs and self._idle_s is not None:
                self._retiring = asyncio.get_running_loop().call_later(self._idle_s, self.close)

    def close(self) -> None:
        """Cancel what runs and end the process; the next diagnosis begins another."""
        if self._retiring:
            self._retiring.cancel()
        if self._child:
            self._child.close()
            self._child = None

    async def _begin(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=PIPE, stdout=PIPE, limit=MOST_BYTES, env=child_environment(),
            start_new_session=True,  # Ctrl-C reaches us alone; the child ends with its standard input
        )  # fmt: skip
        child = self._child = _Child(process)
        self._group.create_task(self._attend(child), name="worker")
        return child

    async def _attend(self, child: _Child) -> None:
        """Hand on what the process says until it has ended, and never leave it behind."""
        assert child.process.stdout
        words: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
        why = ""
        try:
            async for line in child.process.stdout:
                match words.decode(line):
                    case Called(requests=requests):
                        for method, outcome, number in requests:
                            tally.count(method, outcome, number)
                    case word:
                        child.receive(word)
        except ValueError as error:  # msgspec's own too: not what was agreed, or a line beyond all bounds
            why = f"it said what cannot be read ({bounded(str(error))})"
            child.kill()
        except BaseException:
            child.kill()
            raise
        finally:
            code = await child.process.wait()
            if self._child is child:
                self._child = None
                why = why or (f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}")
                log.error("worker.lost", why=why, diagnoses=len(child.jobs))
            child.lose(f"The process that makes diagnoses was lost: {why or 'it was asked to stop'}.")


@asynccontextmanager
async def open_worker(
    playbooks: Sequence[Path] = (),
    *,
    log_level: str = "warning",
    idle_s: float | None = IDLE_S,
    program: Sequence[str] = (sys.executable, "-m", "bot.incidents.worker"),
) -> AsyncGenerator[DiagnosisWorker]:
    """A worker that knows these directories of playbooks beside our own; at its end everything is cleaned up.

    With `idle_s` None its process is begun at once, and stays.
    """
    try:
        async with TaskGroup() as group:
            known = addresses_in_use()
            struck = json.dumps(redacted_in("log"))
            about = (log_level, struck, str(known.directory or ""), " ".join(known.configured), *map(str, playbooks))
            worker = DiagnosisWorker(group, (*program, *about), idle_s=idle_s)
            if idle_s is None:
                await worker.prepare()
            try:
                yield worker
            finally:
                worker.close()
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from failures
