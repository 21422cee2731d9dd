"""Commands in pods, over the API server's WebSocket.

Frames carry a channel number and data: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 255 (v5 only) closes the
channel that it names. The Status is the end: some servers close without a close frame after it, and where the stream
ends without a Status, nobody knows how the command ended.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bot.cluster.client.api import Api
from bot.cluster.client.errors import Status, status_of
from bot.cluster.client.paths import api_path
from bot.cluster.client.wire import WebSocket
from bot.domain.errors import DeadlineError, ExecError, ExecNotFoundError, TooLargeError

MAX_BYTES = 32 * 2**20
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")

_STDIN, _STDOUT, _STDERR, _STATUS, _CLOSE = 0, 1, 2, 3, 255
_MAX_STATUS_BYTES = 2**20
_STDIN_FRAME_BYTES = 2**15

# Runtimes have no code for it. containerd and CRI-O pass on what runc or crun says.
_NOT_FOUND_WORDS = ("executable file not found", "no such file or directory", "not found in $PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A word that the command says on stderr, and what it is answered on stdin then."""

    word: bytes
    answer: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How a command ended and what it printed."""

    stdout: bytes
    stderr: bytes
    exit_code: int


async def run_in_pod(  # noqa: PLR0913 - where and what is five names already
    api: Api,
    namespace: str,
    pod: str,
    container: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cue: Cue | None = None,
    deadline_s: float,
    max_bytes: int = MAX_BYTES,
) -> ExecResult:
    """What the command printed, and its exit code. Counted in `api.exec_calls`.

    Errors: `ExecNotFoundError`, `ForbiddenError`, `NotFoundError` (pod), `RejectedError` (container), `DeadlineError`,
    `ServerError` (the kubelet cannot be reached), `ExecError`, `TooLargeError`. The socket is closed in any case; the
    command itself may go on in the pod until it notices.
    """
    api.exec_calls += 1
    where = f"{namespace}/{pod}"
    streams = _Streams(where, max_bytes)
    query = [("command", argument) for argument in argv]
    query += [("container", container)] if container else []
    query += [("stdin", "true")] if stdin else []
    query += [("stdout", "true"), ("stderr", "true")]
    path = f"{api_path('pods/exec', namespace=namespace, name=pod)}?{urlencode(query)}"
    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline, api.websocket(path, protocols=PROTOCOLS) as socket:
            await _send_stdin(socket, stdin, is_all=cue is None)
            await streams.read(socket, cue)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise DeadlineError(f"The command {argv[0]} in {where} did not end", deadline_s) from error
    return streams.result(argv[0], container)


async def _send_stdin(socket: WebSocket, stdin: bytes, *, is_all: bool) -> None:
    """Send all of it, then close it where the protocol can (v4 cannot: such a command must not wait for the end)."""
    for begin in range(0, len(stdin), _STDIN_FRAME_BYTES):
        await socket.send(bytes([_STDIN]) + stdin[begin : begin + _STDIN_FRAME_BYTES])
    if stdin and is_all and socket.protocol.startswith("v5"):
        await socket.send(bytes([_CLOSE, _STDIN]))


@dataclass(slots=True)
class _Streams:
    """What arrived so far."""

    where: str
    max_bytes: int
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: bytearray = field(default_factory=bytearray)

    async def read(self, socket: WebSocket, cue: Cue | None) -> None:
        """Take frames until the Status came or the other side closed; answer the cue once."""
        async for frame in socket.frames():
            if self._take(frame):
                return
            if cue and cue.word in self.stderr:
                await _send_stdin(socket, await cue.answer(), is_all=True)
                cue = None

    def _take(self, frame: bytes) -> bool:
        """Keep what a frame brought; whether it was the end."""
        if not frame:
            return False
        channel, data = frame[0], memoryview(frame)[1:]
        if channel == _STATUS:
            self.status += data[:_MAX_STATUS_BYTES]
            return bool(data)
        if channel in {_STDOUT, _STDERR}:
            (self.stdout if channel == _STDOUT else self.stderr).extend(data)
            if len(self.stdout) + len(self.stderr) > self.max_bytes:
                raise TooLargeError(f"What the command in {self.where} printed", self.max_bytes)
        return False

    def result(self, command: str, container: str) -> ExecResult:
        """How it ended. Errors: `ExecError`, `ExecNotFoundError`."""
        if not self.status:
            raise ExecError(self.where, "the connection broke before the command ended")
        status = status_of(bytes(self.status))
        code = _exit_code(status)
        if code is None:
            if any(word in status.message for word in _NOT_FOUND_WORDS):
                raise ExecNotFoundError(command, self.where, container)
            raise ExecError(self.where, status.message or "the server does not say why")
        return ExecResult(stdout=bytes(self.stdout), stderr=bytes(self.stderr), exit_code=code)


def _exit_code(status: Status) -> int | None:
    """The command's exit code; None when it did not run."""
    if status.status == "Success":
        return 0
    if status.reason != "NonZeroExitCode":
        return None
    codes = (cause.message for cause in status.details.causes if cause.reason == "ExitCode")
    return next((int(code) for code in codes if code.isdecimal() and len(code) < 10), None)
