"""`pods/exec` over WebSocket: the v4 and v5 channel protocols.

Every message starts with the channel's number: 0 stdin, 1 stdout, 2 stderr, 3 the final `Status`, 4 terminal size.
Version 5 adds 255: "the channel whose number follows is closed", which is how a client ends stdin.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ and kubernetes/enhancements KEP-4006
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from bot.aio.failures import first_failure
from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.errors import ApiError, bad_request
from bot.lab.cluster.apiserver.kubelet_api import ExecError, ExecProcess, KubeletApi
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store.pod_defaults import containers_of

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CLOSE_S = 2.0
"""How long to wait for the client's own close frame."""


class _GoneError(Exception):
    """The client closed the connection."""


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in {"1", "true"}


def container_name(pod: Mapping[str, Any], wanted: str) -> str:
    """The container to talk to; raises 400 when that is unclear or wrong."""
    name = pod["metadata"]["name"]
    regular = [container["name"] for container in items_of(pod["spec"], "containers")]
    if wanted:
        if wanted not in [container["name"] for container in containers_of(pod["spec"])]:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(regular) == 1:
        return regular[0]
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]")


async def serve(request: web.BaseRequest, kubelet: KubeletApi, pod: dict[str, Any]) -> web.StreamResponse:
    """Run the command that the query names and carry its streams; raises 400 before the handshake."""
    query = request.query
    container = container_name(pod, query.get("container", ""))
    if not any(_flag(query, stream) for stream in ("stdin", "stdout", "stderr")):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    if not is_websocket(request):
        raise bad_request("Upgrade request required")
    _check_accept(request.headers.get("Accept", ""))
    socket = web.WebSocketResponse(protocols=(V5, V4), timeout=_CLOSE_S, max_msg_size=32 * 1024 * 1024)
    if not {V5, V4} & {each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}:
        raise ApiError(400, "BadRequest", "the client offers no protocol that this server speaks")
    await socket.prepare(request)
    lowest = STDOUT if _flag(query, "stdout") else STDERR if _flag(query, "stderr") else STATUS
    try:
        await socket.send_bytes(bytes([lowest]))  # tells the client that the stream stands
        status = await _run(socket, kubelet, pod, container, request)
        await socket.send_bytes(bytes([STATUS]) + msgspec.json.encode(status))
        if socket.ws_protocol == V4 and status["status"] == "Success" and request.transport is not None:
            # The real server often just drops the connection: the Status is the end, not the close frame.
            request.transport.close()
        else:  # kubectl, which speaks v5, insists on the frame
            await socket.close()
    except (_GoneError, ConnectionResetError):
        pass  # _run has ended the command
    return socket


def _check_accept(header: str) -> None:
    """Refuse what a kubelet refuses: its exec route declares no media type, so only `*/*` fits.

    Since 1.36 the API server passes WebSockets on as they are, headers included.
    """
    if header and not any(part.partition(";")[0].strip() == "*/*" for part in header.split(",")):
        raise ApiError(406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: ")


async def _run(
    socket: web.WebSocketResponse,
    kubelet: KubeletApi,
    pod: dict[str, Any],
    container: str,
    request: web.BaseRequest,
) -> dict[str, Any]:
    query, argv = request.query, request.query.getall("command", [])
    stdin = _flag(query, "stdin")
    try:
        process = await kubelet.exec(pod, container, argv, stdin=stdin, tty=_flag(query, "tty"))
    except ExecError as error:
        return _not_started(str(error))
    try:
        code = await _carry(socket, process, stdin=stdin, query=query)
    finally:
        process.kill()
    return exit_status(code, argv, socket.ws_protocol)


async def _carry(socket: web.WebSocketResponse, process: ExecProcess, *, stdin: bool, query: Mapping[str, str]) -> int:
    """Move bytes until the command has ended and said everything.

    Raises `_GoneError` or `ConnectionResetError` when the client left.
    """
    if not stdin:
        await process.close_stdin()
    try:
        async with TaskGroup() as group:
            listener = group.create_task(_listen(socket, process, stdin=stdin))
            async with TaskGroup() as streams:
                streams.create_task(_pump(socket, STDOUT, process.stdout, wanted=_flag(query, "stdout")))
                streams.create_task(_pump(socket, STDERR, process.stderr, wanted=_flag(query, "stderr")))
            code = await process.wait()
            listener.cancel()
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from failures
    return code


async def _pump(socket: web.WebSocketResponse, channel: int, stream: AsyncIterator[bytes], *, wanted: bool) -> None:
    async for data in stream:
        if wanted and data:
            await socket.send_bytes(bytes([channel]) + data)


async def _listen(socket: web.WebSocketResponse, process: ExecProcess, *, stdin: bool) -> None:
    async for message in socket:
        data: bytes = message.data if message.type is WSMsgType.BINARY else str(message.data).encode()
        match data[:1]:
            case b"\x00" if stdin and len(data) > 1:
                await process.write_stdin(data[1:])
            case b"\xff" if socket.ws_protocol == V5 and data[1:] == bytes([STDIN]):
                await process.close_stdin()
            case _:
                pass  # terminal sizes, and channels that are not the client's to write
    raise _GoneError


def exit_status(code: int, argv: Sequence[str], protocol: str | None) -> dict[str, Any]:
    """The `Status` on channel 3, worded as the real server words it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    if protocol == V5:
        what = f"command terminated with exit code {code}"
    else:
        what = f"error executing command [{' '.join(argv)}], exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {what}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _not_started(why: str) -> dict[str, Any]:
    what = (
        f"error executing command in container: failed to exec in container: failed to start exec "
        f'"{secrets.token_hex(32)}": OCI runtime exec failed: exec failed: unable to start container process: {why}'
    )
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {what}",
        "reason": "InternalError",
        "details": {"causes": [{"message": what}]},
        "code": 500,
    }
