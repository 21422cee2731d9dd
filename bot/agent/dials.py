"""Questions in an application's own protocol: an HTTP request, a gRPC call, a name asked of a DNS server.

A connection that opens says that the network carries it; only an answer says that somebody is at home. What comes back
is reported by its status alone: the text of an answer never leaves the node.
"""

import asyncio
import contextlib
import errno
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from bot.agent.attempts import dns_question, make_socket
from bot.agent.grpc import NotUnderstoodError, health
from bot.agent.report import Dial, DialAnswer
from bot.agent.sources import Source
from bot.agent.waiting import Patience, Stopwatch
from bot.aio.groups import TaskGroup

CONNECT_S = 1.3
ANSWER_S = 2.0
"""How long an application may think once it is connected."""
MOST_BYTES = 16_384
"""Of an answer: enough for a status and the beginning of a page."""
DETAIL_CHARACTERS = 200
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")


async def ask_all(dials: Sequence[Dial], sources: Sequence[Source], done: Callable[[DialAnswer], None]) -> None:
    """Ask each question from its pods, all at once.

    `done` is called as each is answered, so a cut keeps what is there.
    """
    of = {source.key: source for source in sources}

    async def one(dial: Dial, source: Source) -> None:
        done(await ask(dial, source.make_socket, source.key))

    async with TaskGroup() as group:
        for dial in dials:
            for uid in dial.sources:
                if uid in of:
                    group.create_task(one(dial, of[uid]))


async def ask(dial: Dial, make: make_socket, source: str = "") -> DialAnswer:
    """What comes of one question, over a socket from `make`."""
    watch = Stopwatch()
    answer = DialAnswer(source=source, name=dial.name, kind=dial.kind)
    try:
        answer = await (_asked_for_a_name if dial.kind == "dns" else _spoken)(dial, make, answer)
    except (NotUnderstoodError, ssl.SSLError) as error:
        answer = replace(answer, outcome="not-understood", detail=str(error)[:DETAIL_CHARACTERS])
    except TimeoutError:
        answer = replace(answer, outcome="silent")
    except (EOFError, ConnectionResetError, BrokenPipeError):
        answer = replace(answer, outcome="closed")
    except OSError as error:
        answer = replace(answer, outcome="no-connection", detail=_named(error))
    return replace(answer, latency_ms=watch.ms)


def _named(error: OSError) -> str:
    """What the kernel calls it: ECONNREFUSED."""
    return errno.errorcode.get(error.errno or 0, str(error)[:DETAIL_CHARACTERS])


async def _asked_for_a_name(dial: Dial, make: make_socket, answer: DialAnswer) -> DialAnswer:
    patience = Patience(first_s=ANSWER_S, more_s=ANSWER_S, is_unresolved=lambda: False)
    found = await dns_question(make, dial.ip, dial.path, "udp", patience)
    if found.outcome != "ok":
        is_silent = found.outcome == "timeout"
        return replace(answer, outcome="silent" if is_silent else "no-connection", detail=found.detail or found.outcome)
    return replace(answer, outcome="answered", rcode=found.rcode, addresses=found.answers)


async def _spoken(dial: Dial, make: make_socket, answer: DialAnswer) -> DialAnswer:
    if dial.kind == "grpc":
        async with _connection(dial, make) as (reader, writer):
            authority = f"{dial.host}:{dial.port}"
            return replace(answer, outcome="answered", status=await health(reader, writer, authority, dial.path))
    if dial.tls == "no":
        return await _got(dial, make, answer)
    try:
        return await _got(dial, make, answer, encrypted())
    except (ssl.SSLError, EOFError, ConnectionResetError, TimeoutError):
        if dial.tls == "yes":
            raise
    return await _got(dial, make, answer)


async def _got(dial: Dial, make: make_socket, answer: DialAnswer, tls: ssl.SSLContext | None = None) -> DialAnswer:
    """The answer to one GET, whose connection ends with it."""
    head = (f"GET {dial.path} HTTP/1.1", f"Host: {dial.host}:{dial.port}", "User-Agent: cnibot", "Connection: close")
    async with _connection(dial, make, tls) as (reader, writer):
        writer.write("".join(f"{line}\r\n" for line in (*head, "")).encode())
        said = await _beginning(reader)
    if not said:
        raise EOFError
    found = STATUS_LINE.match(said)
    if not found:
        raise NotUnderstoodError
    has_text = dial.contains.encode() in said if dial.contains else None
    return replace(answer, outcome="answered", status=int(found[1]), has_text=has_text)


async def _beginning(reader: asyncio.StreamReader) -> bytes:
    """The first bytes of an answer: what came until its end, or until there was no more time for it."""
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            while len(said) < MOST_BYTES and (part := await reader.read(MOST_BYTES)):
                said += part
    if not said and not reader.at_eof():
        raise TimeoutError
    return said


@asynccontextmanager
async def _connection(
    dial: Dial, make: make_socket, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection from the pod's namespace, with time for one question. Errors: OSError, TimeoutError."""
    sock = make(socket.AF_INET6 if ":" in dial.ip else socket.AF_INET, socket.SOCK_STREAM, 0)
    with sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, (dial.ip, dial.port))
        except TimeoutError:
            raise OSError("timeout") from None
        async with asyncio.timeout(CONNECT_S + ANSWER_S):
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=tls, server_hostname="" if tls else None, limit=MOST_BYTES
            )
            try:
                yield reader, writer
            finally:
                writer.transport.abort()


def encrypted() -> ssl.SSLContext:
    """TLS with whoever answers: this asks whether somebody does, not who; no secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
