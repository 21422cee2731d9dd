"""Watches over HTTP: selectors, forms, and their ends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.lab.cluster.apiserver.http.watching import INITIAL_EVENTS_END
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running

PODS = "/api/v1/namespaces/shop/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
Lines = list[dict[str, Any]]


@asynccontextmanager
async def cluster(directory: Path) -> AsyncGenerator[Running]:
    async with asyncio.timeout(DEADLINE_S), running(directory) as api:
        build.namespace(api.storage)
        api.storage.create("pods", build.pod("a"), namespace="shop")
        yield api


async def read(api: Running, query: str, count: int, act: Any = None, accept: str = "application/json") -> Lines:
    """The first lines of a watch, during which `act` is done once."""
    lines: Lines = []
    async with api.session.get(f"{PODS}?watch=1&{query}", headers={"Accept": accept}) as response:
        if act is not None:
            act()
        async for line in response.content:
            lines.append(json.loads(line))
            if len(lines) == count:
                break
    return lines


async def test_objects_enter_and_leave_a_selection(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:

        def act() -> None:
            for labels in ({"tier": "x"}, {"tier": "y"}, {"tier": None}):
                api.storage.patch("pods", "a", "shop", {"metadata": {"labels": labels}})

        query = f"labelSelector=tier%20in%20(x,y)&resourceVersion={api.storage.revision}"
        lines = await read(api, query, 3, act)

    assert [line["type"] for line in lines] == ["ADDED", "MODIFIED", "DELETED"]
    assert "tier" not in lines[2]["object"]["metadata"]["labels"]


async def test_other_namespaces_are_not_told(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:

        def act() -> None:
            build.namespace(api.storage, "shop2")
            api.storage.create("pods", build.pod("b"), namespace="shop2")
            api.storage.create("pods", build.pod("c"), namespace="shop")

        lines = await read(api, f"resourceVersion={api.storage.revision}", 1, act)

    assert lines[0]["object"]["metadata"]["name"] == "c"


async def test_tables_have_their_header_once(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        lines = await read(
            api, "", 2, lambda: api.storage.create("pods", build.pod("b"), namespace="shop"), accept=TABLE
        )

    assert [line["object"]["rows"][0]["cells"][0] for line in lines] == ["a", "b"]
    assert [bool(line["object"]["columnDefinitions"]) for line in lines] == [True, False]


async def test_partial_metadata_leaves_the_rest_out(pki_directory: Path) -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with cluster(pki_directory) as api:
        added, bookmark = await read(api, query, 2, accept=PARTIAL)

    assert set(added["object"]) == {"kind", "apiVersion", "metadata"}
    assert bookmark["object"]["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
    assert bookmark["object"]["kind"] == "PartialObjectMetadata"


async def test_a_watch_that_lost_its_history_ends_with_an_error(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        api.storage.collection("pods").compact(api.storage.revision)
        async with api.session.get(f"{PODS}?watch=1&resourceVersion=1") as response:
            lines = [json.loads(line) async for line in response.content]

    assert [(line["type"], line["object"]["code"]) for line in lines] == [("ERROR", 410)]


@pytest.mark.parametrize(
    ("query", "code"),
    [("resourceVersion=x", 422), ("sendInitialEvents=true", 422), ("fieldSelector=spec.image%3Dx", 400)],
)
async def test_wrong_questions_are_refused(query: str, code: int, pki_directory: Path) -> None:
    async with cluster(pki_directory) as api, api.session.get(f"{PODS}?watch=1&{query}") as response:
        assert response.status == code


async def test_the_old_spelling_works_too(pki_directory: Path) -> None:
    path = "/api/v1/watch/namespaces/shop/pods?timeoutSeconds=1"
    async with cluster(pki_directory) as api, api.session.get(path) as response:
        lines = [json.loads(line) async for line in response.content]

    assert [line["type"] for line in lines] == ["ADDED"]


async def test_the_right_to_list_is_not_the_right_to_watch(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        build.grant(api.storage, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])
        headers = {"Authorization": f"Bearer {api.tokens.issue('shop', 'reader')[0]}"}
        async with api.session.get(f"{PODS}?watch=1", headers=headers) as response:
            refusal = await response.json()

    assert response.status == 403
    assert "cannot watch resource" in refusal["message"]
