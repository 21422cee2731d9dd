"""`pods/log`: a container's log as plain text, or as WebSocket messages."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from bot.lab.cluster.apiserver.errors import bad_request
from bot.lab.cluster.apiserver.http.streaming import container_name, is_websocket
from bot.lab.cluster.apiserver.kubelet_api import KubeletApi
from bot.lab.cluster.apiserver.parts import items_of, sub

_HEADERS = {"Cache-Control": "no-cache, private", "Content-Type": "text/plain"}


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _check_started(pod: Mapping[str, Any], container: str) -> None:
    name = pod["metadata"]["name"]
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    status = sub(pod, "status")
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for each in items_of(status, key):
            waiting = sub(each, "state").get("waiting")
            if each["name"] == container and waiting and not each.get("restartCount"):
                reason = waiting.get("reason", "ContainerCreating")
                raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


async def serve(request: web.BaseRequest, kubelet: KubeletApi, pod: dict[str, Any]) -> web.StreamResponse:
    """Answer a log request; raises 400 for a container that is not there or has not started."""
    query = request.query
    container = container_name(pod, query.get("container", ""))
    _check_started(pod, container)
    lines = kubelet.logs(
        pod,
        container,
        follow=query.get("follow", "").lower() in {"1", "true"},
        tail_lines=_number(query, "tailLines"),
        previous=query.get("previous", "").lower() in {"1", "true"},
        limit_bytes=_number(query, "limitBytes"),
    )
    return await (_as_websocket if is_websocket(request) else _as_text)(request, lines)


async def _as_text(request: web.BaseRequest, lines: AsyncIterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for data in lines:
        await response.write(data)
    await response.write_eof()
    return response


async def _as_websocket(request: web.BaseRequest, lines: AsyncIterator[bytes]) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=("binary.k8s.io",))
    await socket.prepare(request)
    async for data in lines:
        await socket.send_bytes(data)
    await socket.close()
    return socket
