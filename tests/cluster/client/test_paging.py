"""Lists in pages: each object once, whatever the pages are; watches and their ends."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.cluster.objects import Pod
from bot.domain.errors import ExpiredError, ServerError, TooLargeError
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from tests.cluster.small_cluster import SmallCluster
from tests.contracts.scripted_server import Handler, kubeconfig, serving

PODS = "/api/v1/namespaces/shop/pods"
QUICK = Backoff(attempts=2, first_s=0.001, max_s=0.01)


def named(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "uid": name}}


def listing(pages: Mapping[str, dict[str, object]]) -> Handler:
    """A server of one list; its pages by continue token, the first under ""."""

    async def handler(request: web.Request) -> web.StreamResponse:
        page = pages[request.url.query.get("continue", "")]
        return web.json_response(page, status=410 if page.get("code") == 410 else 200)

    return handler


async def read(handler: Handler, directory: Path, *, max_items: int = 1000) -> tuple[list[str], bool]:
    async with serving(handler) as server, Api.connect(kubeconfig(directory, server.url), backoff=QUICK) as api:
        listed = await api.list_all(PODS, Pod, max_items=max_items)
    return [pod.metadata.name for pod in listed.items], listed.is_cut


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
async def test_each_object_once_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]):
    names = iter(range(100))
    expected: list[str] = []
    pages: dict[str, dict[str, object]] = {}
    for number, size in enumerate(sizes):
        page = [f"pod-{next(names)}" for _ in range(size)]
        expected += page
        following = f"t{number + 1}" if number + 1 < len(sizes) else ""
        token = f"t{number}" if number else ""
        pages[token] = {"metadata": {"continue": following}, "items": [named(name) for name in page]}

    assert await read(listing(pages), tmp_path_factory.mktemp("k")) == (expected, False)


async def test_a_list_that_expires_midway_begins_again(tmp_path: Path):
    """Some objects of the first attempt are gone by then, and must not be in the result."""
    attempts: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        token = request.url.query.get("continue", "")
        attempts.append(token)
        if attempts == ["", "old"]:
            return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
        pages = {
            "": ["a", "gone"] if len(attempts) == 1 else ["a", "b"],
            "old": ["c"],
        }
        following = "old" if not token else ""
        body = {"metadata": {"continue": following}, "items": [named(name) for name in pages[token]]}
        return web.json_response(body)

    assert await read(handler, tmp_path) == (["a", "b", "c"], False)
    assert attempts == ["", "old", "", "old"]


async def test_no_more_than_asked_for(tmp_path: Path):
    pages: dict[str, dict[str, object]] = {
        "": {"metadata": {"continue": "t"}, "items": [named("a"), named("b")]},
        "t": {"metadata": {}, "items": [named("c")]},
    }

    assert await read(listing(pages), tmp_path, max_items=2) == (["a", "b"], True)


async def test_a_server_that_pages_in_a_circle(tmp_path: Path):
    pages: dict[str, dict[str, object]] = {
        "": {"metadata": {"continue": "t"}},
        "t": {"metadata": {"continue": "t"}, "items": [named("c")]},
    }
    with pytest.raises(ServerError, match="repeats a page"):
        await read(listing(pages), tmp_path)


async def test_the_lab_server_pages_alike(cluster: SmallCluster, api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bot.cluster.client.api.PAGE_SIZE", 3)
    cluster.namespace("shop")
    expected = [f"pod-{number}" for number in range(8)]
    for name in expected:
        cluster.pod("shop", name)
    listed = await api.list_all(PODS, Pod)

    assert [pod.metadata.name for pod in listed.items] == expected


async def test_selectors(cluster: SmallCluster, api: Api):
    cluster.namespace("shop")
    cluster.pod("shop", "a", "node-1", metadata={"labels": {"app": "x"}})
    cluster.pod("shop", "b", "node-2")
    by_node = await api.list_all("/api/v1/pods", Pod, fieldSelector="spec.nodeName=node-2")
    by_label = await api.list_all(PODS, Pod, labelSelector="app=x")

    assert [pod.metadata.name for pod in by_node.items] == ["b"]
    assert [pod.metadata.name for pod in by_label.items] == ["a"]


async def test_a_watch_tells_changes_in_order(cluster: SmallCluster, api: Api):
    cluster.namespace("shop")
    cluster.pod("shop", "before")
    since = (await api.list_all(PODS, Pod)).resource_version
    cluster.storage.create(
        "pods", {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, namespace="shop"
    )
    cluster.storage.delete("pods", "a", "shop")
    seen: list[tuple[str, str]] = []
    async for change in api.watch(PODS, Pod, timeout_s=10, resourceVersion=since):
        if change.object.metadata.name == "a":
            seen.append((change.type, change.object.metadata.name))
        if change.type == "DELETED":
            break

    assert seen == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_of_too_old_a_version(tmp_path: Path):
    recording = json.loads((Path(__file__).parents[1] / "recordings" / "watch-too-old.json").read_text())

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text="".join(json.dumps(line) + "\n" for line in recording["response"]["body"]))

    async with serving(handler) as server, Api.connect(kubeconfig(tmp_path, server.url)) as api:
        with pytest.raises(ExpiredError):
            async for _ in api.watch(PODS, Pod, timeout_s=5, resourceVersion="2"):
                pass


async def test_a_watch_line_that_never_ends(tmp_path: Path):
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(b"x" * 2**18)
        return answer

    async with serving(handler) as server, Api.connect(kubeconfig(tmp_path, server.url)) as api:
        with pytest.raises(TooLargeError):
            async for _ in api.watch(PODS, Pod, timeout_s=5):
                pass


async def test_a_watch_that_is_refused(cluster: SmallCluster, api: Api):
    cluster.api_faults.add(ApiFault(kind="internal-error"))
    with pytest.raises(ServerError):
        async for _ in api.watch(PODS, Pod, timeout_s=5):
            pass
