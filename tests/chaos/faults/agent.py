"""Node agents that do not do what they should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from random import Random

import msgspec
from aiohttp import WSMsgType, web

from bot.agent.report import NetnsState, NodeReport
from tests.chaos.cluster_proxy import Impostor
from tests.chaos.faults.fault import Fault, Inject, switched
from tests.chaos.system import System

STDOUT, STATUS = b"\x01", b"\x03"
CHUNK = b"x" * 2**16
OK = {"status": "Success"}
KILLED = {
    "status": "Failure",
    "reason": "NonZeroExitCode",
    "message": "command terminated with non-zero exit code",
    "details": {"causes": [{"reason": "ExitCode", "message": "137"}]},
}


async def _end(socket: web.WebSocketResponse, status: Mapping[str, object]) -> None:
    await socket.send_bytes(STATUS + json.dumps(status).encode())
    await socket.close()


async def _print(socket: web.WebSocketResponse, *, chunks: int | None) -> None:
    """So many chunks, or until nobody listens."""
    while not socket.closed and chunks != 0:
        await socket.send_bytes(STDOUT + CHUNK)
        chunks = None if chunks is None else chunks - 1


async def _crash(socket: web.WebSocketResponse) -> None:
    await _end(socket, KILLED)


async def _break_off(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(STDOUT + b'{"schema": "cnibot.node-report/v1", "node": ')
    await socket.close()


async def _hang(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type != WSMsgType.CLOSED:
        pass


async def _garbage(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(STDOUT + bytes(range(256)) * 64)
    await _end(socket, OK)


async def _deep(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(STDOUT + b"[" * 200_000)
    await _end(socket, OK)


async def _endless(socket: web.WebSocketResponse) -> None:
    await _print(socket, chunks=None)


async def _huge(socket: web.WebSocketResponse) -> None:
    await _print(socket, chunks=100 * 2**20 // len(CHUNK))
    await _end(socket, OK)


async def _lie(socket: web.WebSocketResponse) -> None:
    report = NodeReport(node="another", started_at="2026-11-30T00:00:00Z", took_s=0.1, root=NetnsState())
    await socket.send_bytes(STDOUT + msgspec.json.encode(report))
    await _end(socket, OK)


def _impostor(speak: Impostor) -> Inject:
    async def until_it_hangs_up(socket: web.WebSocketResponse) -> None:
        try:
            await speak(socket)
        except ConnectionError:
            return

    def on(system: System, _: Random) -> None:
        system.cluster.impostor = until_it_hangs_up

    return switched(on, lambda system: system.cluster.heal_agents())


_fault = partial(Fault, family="agent", met=lambda system: system.cluster.agents_troubled)

FAULTS = (
    _fault(name="crashes", inject=_impostor(_crash)),
    _fault(name="breaks off in its report", inject=_impostor(_break_off)),
    _fault(name="hangs", inject=_impostor(_hang)),
    _fault(name="prints garbage", inject=_impostor(_garbage)),
    _fault(name="prints JSON 200,000 deep", inject=_impostor(_deep)),
    _fault(name="prints without end", inject=_impostor(_endless)),
    _fault(name="prints 100 MB", inject=_impostor(_huge)),
    _fault(name="reports on another node", inject=_impostor(_lie)),
)
