"""`pods/exec` over WebSocket, frame by frame, beside what a real kubelet and API server sent."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.lab.cluster.apiserver import build, recordings
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running

Frames = list[tuple[int, bytes]]
_RECORDED = sorted(path.stem for path in recordings.FOLDER.glob("exec-*.json"))
_HEX = re.compile(r"[0-9a-f]{64}")


@asynccontextmanager
async def cluster(directory: Path) -> AsyncGenerator[Running]:
    async with asyncio.timeout(DEADLINE_S), running(directory) as api:
        api.storage.create("pods", build.pod("a"), namespace="default")
        yield api


async def frames_of(socket: aiohttp.ClientWebSocketResponse) -> Frames:
    return [(message.data[0], message.data[1:]) async for message in socket if message.type is aiohttp.WSMsgType.BINARY]


def alike(frames: Frames) -> list[tuple[int, Any]]:
    """Frames with the Status read, and output joined per channel: pieces may be cut anywhere."""
    first, rest = frames[:1], frames[1:]
    joined = {channel: b"".join(data for number, data in rest if number == channel) for channel in (1, 2)}
    status = [(3, json.loads(_HEX.sub("ID", data.decode()))) for channel, data in frames if channel == 3]
    return [*first, *((channel, data) for channel, data in joined.items() if data), *status]


@pytest.mark.parametrize("name", [name for name in _RECORDED if "no-" not in name and "stdout" not in name])
async def test_frames_are_those_of_a_real_kubelet(name: str, pki_directory: Path) -> None:
    recording = json.loads((recordings.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    recorded = [(frame["channel"], frame["data"].encode()) for frame in recording["frames"]]
    async with (
        cluster(pki_directory) as api,
        api.session.ws_connect(recording["request"]["path"], protocols=recording["request"]["subprotocols"]) as socket,
    ):
        if "stdin" in name:
            await socket.send_bytes(b"\x00hello\n")
            await socket.send_bytes(b"\xff\x00")
        frames = await frames_of(socket)

        assert socket.protocol == recording["protocol"]
    assert alike(frames) == alike(recorded)


@pytest.mark.parametrize("name", [name for name in _RECORDED if "no-" in name])
async def test_refusals_come_before_the_handshake(name: str, pki_directory: Path) -> None:
    recording = json.loads((recordings.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    async with cluster(pki_directory) as api:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.session.ws_connect(recording["request"]["path"], protocols=recording["request"]["subprotocols"])

    assert refused.value.status == recording["handshake_error"]["status"]


@pytest.mark.parametrize(
    ("accept", "is_taken"),
    [("*/*", True), ("application/json, */*", True), ("application/json", False), ("text/plain;q=0.5", False)],
)
async def test_a_kubelet_takes_only_clients_that_accept_anything(
    accept: str, *, is_taken: bool, pki_directory: Path
) -> None:
    path = "/api/v1/namespaces/default/pods/a/exec?command=true&stdout=1"
    async with cluster(pki_directory) as api:
        connecting = api.session.ws_connect(path, protocols=["v5.channel.k8s.io"], headers={"Accept": accept})
        if is_taken:
            async with connecting as socket:
                frames = await frames_of(socket)
            assert frames[-1][0] == 3
            return
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connecting
    assert refused.value.status == 406


async def test_success_ends_with_an_empty_status(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        path = "/api/v1/namespaces/default/pods/a/exec?command=true&stdout=1&stderr=1"
        async with api.session.ws_connect(path, protocols=["v4.channel.k8s.io"]) as socket:
            frames = await frames_of(socket)

    assert frames[0] == (1, b"")
    assert frames[-1] == (3, b'{"metadata":{},"status":"Success"}')


async def test_the_first_frame_is_on_the_lowest_channel_that_was_asked_for(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        path = "/api/v1/namespaces/default/pods/a/exec?command=sh&command=-c&command=echo+x&stderr=1"
        async with api.session.ws_connect(path, protocols=["v5.channel.k8s.io"]) as socket:
            frames = await frames_of(socket)

    assert frames == [(2, b""), (3, b'{"metadata":{},"status":"Success"}')]


async def test_a_client_that_leaves_ends_the_command(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        path = "/api/v1/namespaces/default/pods/a/exec?command=sleep&command=1000&stdout=1"
        socket = await api.session.ws_connect(path, protocols=["v5.channel.k8s.io"])
        assert (await socket.receive()).data == b"\x01"
        await socket.close()
        code = await api.kubelet.started[0].wait()

    assert code == 128 + 9


async def test_large_output_arrives_whole(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        command = "command=sh&command=-c&command=head+-c+3000000+/dev/zero"
        path = f"/api/v1/namespaces/default/pods/a/exec?{command}&stdout=1"
        async with api.session.ws_connect(path, protocols=["v5.channel.k8s.io"]) as socket:
            frames = await frames_of(socket)

    assert sum(len(data) for channel, data in frames if channel == 1) == 3_000_000
    assert json.loads(frames[-1][1])["status"] == "Success"


async def test_a_websocket_needs_get_and_create(pki_directory: Path) -> None:
    """Since 1.35 the right to `get` pods/exec alone is not enough."""
    async with cluster(pki_directory) as api:
        rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
        build.grant(api.storage, rules, namespace="default")
        token, _ = api.tokens.issue("default", "reader")
        path = "/api/v1/namespaces/default/pods/a/exec?command=true&stdout=1"
        headers = {"Authorization": f"Bearer {token}"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.session.ws_connect(path, protocols=["v4.channel.k8s.io"], headers=headers)
        api.storage.patch(
            "clusterroles.rbac.authorization.k8s.io",
            "reader",
            None,
            {"rules": [rules[0] | {"verbs": ["get", "create"]}]},
        )
        async with api.session.ws_connect(path, protocols=["v4.channel.k8s.io"], headers=headers) as socket:
            frames = await frames_of(socket)

    assert refused.value.status == 403
    assert frames[-1][0] == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("command=true&stdout=1", "Upgrade request required"),
        ("command=true&stdout=1&container=zz", "container zz is not valid for pod a"),
        ("command=true", "you must specify at least 1 of stdin, stdout, stderr"),
    ],
)
async def test_plain_requests_are_told_what_is_wrong(query: str, message: str, pki_directory: Path) -> None:
    async with (
        cluster(pki_directory) as api,
        api.session.get(f"/api/v1/namespaces/default/pods/a/exec?{query}") as response,
    ):
        status = await response.json()

    assert (response.status, status["message"]) == (400, message)


async def test_several_containers_need_a_choice(pki_directory: Path) -> None:
    containers = [{"name": name, "image": "img:1"} for name in ("one", "two")]
    async with cluster(pki_directory) as api:
        api.storage.create("pods", build.pod("both", containers=containers), namespace="default")
        async with api.session.get("/api/v1/namespaces/default/pods/both/exec?command=x&stdout=1") as response:
            status = await response.json()

    assert status["message"] == "a container name must be specified for pod both, choose one of: [one two]"
