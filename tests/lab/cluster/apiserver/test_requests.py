"""HTTP manners: methods, media types, limits, dry runs, field validation, collections, and trouble on request."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.lab.cluster.apiserver.http.bodies import MAX_BYTES
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault, Kind
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running

CONFIG_MAPS = "/api/v1/namespaces/shop/configmaps"


@asynccontextmanager
async def cluster(directory: Path) -> AsyncGenerator[Running]:
    async with asyncio.timeout(DEADLINE_S), running(directory) as api:
        build.namespace(api.storage)
        yield api


async def ask(api: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and decoded answer; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, str | io.BytesIO | None) else json.dumps(body)
    if data is not None and "Content-Type" not in named:
        named["Content-Type"] = "application/json"
    async with api.session.request(method, path, data=data, headers=named) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.headers["Content-Type"] else text


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", f"{CONFIG_MAPS}/settings", 405, "MethodNotAllowed"),
        ("PUT", CONFIG_MAPS, 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces", 405, "MethodNotAllowed"),
        ("GET", "/api/v1/namespaces/shop/pods/a/nonsense", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/shop/pods?limit=x", 400, "BadRequest"),
        ("GET", "/api/v1/namespaces/shop/pods?resourceVersion=x", 422, "Invalid"),
        ("GET", "/api/v1/namespaces/shop/pods?resourceVersionMatch=Exact", 422, "Invalid"),
        ("GET", "/api/v1/pods?labelSelector=a%20in%20(b", 400, "BadRequest"),
    ],
)
async def test_refusals(method: str, path: str, status: int, reason: str, pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        code, answer = await ask(api, method, path, {})

    assert (code, answer["reason"]) == (status, reason)


async def test_unknown_paths_are_plain_404s(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        for path in ("/nonsense", "/apis/none.example.org/v1/things", "/apis/apps/v2/deployments", "/openapi/v2"):
            assert await ask(api, "GET", path) == (404, "404 page not found\n")


async def test_who_has_no_token_sees_only_public_paths(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        version = await ask(api, "GET", "/version", Authorization="")
        pods = await ask(api, "GET", "/api/v1/pods", Authorization="")
        metrics = await ask(api, "GET", "/metrics", Authorization="")

    assert version[0] == 200
    assert 'User "system:anonymous" cannot list resource "pods"' in pods[1]["message"]
    assert metrics[1]["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


async def test_only_protobuf_cannot_be_answered(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        code, answer = await ask(api, "GET", "/api/v1/pods", Accept="application/vnd.kubernetes.protobuf")

    assert (code, answer["reason"]) == (406, "NotAcceptable")


async def test_bodies_may_be_yaml_and_must_be_small(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        yaml = "metadata: {name: settings}\ndata: {when: '2026-01-01', at: 2026-01-01}\n"
        made = await ask(api, "POST", CONFIG_MAPS, yaml, Content_Type="application/yaml")
        broken = await ask(api, "POST", CONFIG_MAPS, "a: [", Content_Type="application/yaml")
        text = await ask(api, "POST", CONFIG_MAPS, "a", Content_Type="text/plain")
        huge = await ask(api, "POST", CONFIG_MAPS, io.BytesIO(b" " * (MAX_BYTES + 1)))

    assert made[1]["data"] == {"when": "2026-01-01", "at": "2026-01-01"}
    assert [status for status, _ in (broken, text, huge)] == [400, 415, 413]


async def test_dry_runs_store_nothing(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        before = api.storage.revision
        made = await ask(api, "POST", f"{CONFIG_MAPS}?dryRun=All", build.config_map(a="1"))
        wrong = await ask(api, "POST", f"{CONFIG_MAPS}?dryRun=Some", build.config_map(a="1"))
        after = api.storage.revision

    assert (made[0], wrong[0]) == (201, 422)
    assert before == after


async def test_unknown_fields_are_dropped_with_a_warning_or_refused(pki_directory: Path) -> None:
    pod = build.pod()
    pod["spec"]["containers"][0]["imagee"] = "x"
    async with cluster(pki_directory) as api:
        path = "/api/v1/namespaces/shop/pods"
        strict, refusal = await ask(api, "POST", f"{path}?fieldValidation=Strict", pod)
        async with api.session.post(path, json=pod) as response:
            warning = response.headers["Warning"]
            made = await response.json()
        silent = await ask(api, "POST", f"{path}?fieldValidation=Ignore", pod | {"metadata": {"name": "b"}})

    assert strict == 400
    assert 'strict decoding error: unknown field "spec.containers[0].imagee"' in refusal["message"]
    assert warning == '299 - "unknown field \\"spec.containers[0].imagee\\""'
    assert "imagee" not in made["spec"]["containers"][0]
    assert silent[0] == 201


async def test_a_collection_is_deleted_by_selector(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        for name, tier in (("a", "x"), ("b", "x"), ("c", "y")):
            made = build.config_map(name)
            made["metadata"]["labels"] = {"tier": tier}
            api.storage.create("configmaps", made, namespace="shop")
        code, answer = await ask(api, "DELETE", f"{CONFIG_MAPS}?labelSelector=tier%3Dx")
        left = [each["metadata"]["name"] for each in api.storage.list("configmaps", "shop")]

    assert (code, answer["kind"]) == (200, "ConfigMapList")
    assert left == ["c"]


async def test_exact_lists_show_the_past(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        api.storage.create("configmaps", build.config_map("a"), namespace="shop")
        then = api.storage.revision
        api.storage.delete("configmaps", "a", "shop")
        query = f"resourceVersion={then}&resourceVersionMatch=Exact"
        _, past = await ask(api, "GET", f"{CONFIG_MAPS}?{query}")
        future, refusal = await ask(api, "GET", f"{CONFIG_MAPS}?resourceVersion={then + 999}")

    assert [each["metadata"]["name"] for each in past["items"]] == ["a"]
    assert past["metadata"]["resourceVersion"] == str(then)
    assert (future, refusal["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")


async def test_a_page_of_forgotten_history_can_be_continued_inconsistently(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        for name in "abc":
            api.storage.create("configmaps", build.config_map(name), namespace="shop")
        _, first = await ask(api, "GET", f"{CONFIG_MAPS}?limit=1")
        api.storage.delete("configmaps", "c", "shop")
        api.storage.collection("configmaps").compact(api.storage.revision)
        code, gone = await ask(api, "GET", f"{CONFIG_MAPS}?limit=1&continue={first['metadata']['continue']}")
        _, rest = await ask(api, "GET", f"{CONFIG_MAPS}?continue={gone['metadata']['continue']}")

    assert (code, gone["reason"]) == (410, "Expired")
    assert [each["metadata"]["name"] for each in rest["items"]] == ["b"]


async def test_status_and_ephemeral_containers_are_parts(pki_directory: Path) -> None:
    debugger = {"name": "debug", "image": "busybox:1"}
    patch = {"spec": {"ephemeralContainers": [debugger], "nodeName": "other"}}
    async with cluster(pki_directory) as api:
        api.storage.create("pods", build.pod(), namespace="shop")
        path = "/api/v1/namespaces/shop/pods/a/ephemeralcontainers"
        code, pod = await ask(api, "PATCH", path, patch, Content_Type="application/strategic-merge-patch+json")

    assert code == 200
    assert pod["spec"]["ephemeralContainers"][0]["name"] == "debug"
    assert pod["spec"]["nodeName"] == "node-1"


async def test_evictions_respect_disruption_budgets(pki_directory: Path) -> None:
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    async with cluster(pki_directory) as api:
        api.storage.create("pods", build.pod(), namespace="shop")
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        api.storage.patch("pods", "a", "shop", ready, subresource="status")
        api.storage.create("poddisruptionbudgets.policy", budget, namespace="shop")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
        path = "/api/v1/namespaces/shop/pods/a/eviction"
        code, refusal = await ask(api, "POST", path, eviction)
        api.storage.delete("poddisruptionbudgets.policy", "web", "shop")
        done, _ = await ask(api, "POST", path, eviction)

    assert (code, refusal["message"]) == (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    assert done == 201


async def test_expired_tokens_and_forged_ones_are_unauthorized(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        build.grant(api.storage, [])
        good, _ = api.tokens.issue("shop", "reader")
        old, _ = api.tokens.issue("shop", "reader", lifetime_s=-1)

        async def code(token: str) -> int:
            return (await ask(api, "GET", "/version", Authorization=f"Bearer {token}"))[0]

        codes = [await code(token) for token in (good, old, good[:-4] + "AAAA", "nonsense")]
        api.storage.delete("serviceaccounts", "reader", "shop")
        orphaned = await code(good)

    assert codes == [200, 401, 401, 401]
    assert orphaned == 401


@pytest.mark.parametrize(
    ("kind", "status"),
    [("unauthorized", 401), ("forbidden", 403), ("too-many-requests", 429), ("internal-error", 500), ("expired", 410)],
)
async def test_trouble_on_request(kind: Kind, status: int, pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        trouble = ApiFault(kind=kind, matches=lambda _, path: path.startswith("/api/v1/pods"), times=1)
        api.api_faults.add(trouble)
        codes = [(await ask(api, "GET", "/api/v1/pods"))[0] for _ in range(2)]
        elsewhere, _ = await ask(api, "GET", "/version")

    assert codes == [status, 200]
    assert (elsewhere, trouble.hits) == (200, 1)


async def test_hanging_dropping_cut_and_slow_answers(pki_directory: Path) -> None:
    async with cluster(pki_directory) as api:
        api.api_faults.add(ApiFault(kind="hang"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(api, "GET", "/version")
        api.api_faults.clear()
        api.api_faults.add(ApiFault(kind="drop"))
        with pytest.raises(aiohttp.ClientError):
            await ask(api, "GET", "/version")
        api.api_faults.clear()
        api.api_faults.add(ApiFault(kind="cut"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(api, "GET", "/version")
        api.api_faults.clear()
        api.api_faults.add(ApiFault(kind="slow", delay_s=0.01))

        assert (await ask(api, "GET", "/version"))[0] == 200
