"""The client that the bot uses, kubernetes.aio, against the lab's server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster.apiserver import build
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running

# Much of the library carries no annotations: here it is Any.
client: Any = import_module("kubernetes.aio.client")
config: Any = import_module("kubernetes.aio.config")
watch: Any = import_module("kubernetes.aio.watch")
ApiException: Any = import_module("kubernetes.aio.client.exceptions").ApiException
WsApiClient: Any = import_module("kubernetes.aio.stream").WsApiClient


@asynccontextmanager
async def connected(directory: Path, *, kind: Any = client.ApiClient) -> AsyncGenerator[tuple[Running, Any]]:
    """A running server with one pod, and a client for it."""
    async with asyncio.timeout(DEADLINE_S), running(directory) as api:
        build.namespace(api.storage)
        api.storage.create("pods", build.pod("a"), namespace="shop")
        kubeconfig = api.kubeconfig(directory)
        configuration = client.Configuration()
        await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        async with kind(configuration=configuration) as connection:
            yield api, client.CoreV1Api(connection)


async def test_lists_are_models(pki_directory: Path) -> None:
    async with connected(pki_directory) as (_, core):
        pods = await core.list_namespaced_pod(
            "shop", label_selector="app in (web)", field_selector="spec.nodeName=node-1"
        )

    assert [pod.metadata.name for pod in pods.items] == ["a"]
    assert pods.items[0].spec.containers[0].ports[0].protocol == "TCP"


async def test_pages_together_are_the_whole_list(pki_directory: Path) -> None:
    async with connected(pki_directory) as (api, core):
        for number in range(7):
            api.storage.create("pods", build.pod(f"b{number}"), namespace="shop")
        names: list[str] = []
        token = None
        while token != "":
            page = await core.list_namespaced_pod("shop", limit=3, _continue=token)
            names += [pod.metadata.name for pod in page.items]
            token = page.metadata._continue or ""

    assert names == ["a", *(f"b{number}" for number in range(7))]


async def test_a_watch_tells_what_happens_after_the_list(pki_directory: Path) -> None:
    async with connected(pki_directory) as (api, core):
        pods = await core.list_namespaced_pod("shop")
        api.storage.create("pods", build.pod("b"), namespace="shop")
        api.storage.delete("pods", "a", "shop", grace_period_s=0)
        seen: list[tuple[str, str]] = []
        async with watch.Watch().stream(
            core.list_namespaced_pod, "shop", resource_version=pods.metadata.resource_version, timeout_seconds=5
        ) as events:
            async for event in events:
                seen.append((event["type"], event["object"].metadata.name))
                if len(seen) == 2:
                    break

    assert seen == [("ADDED", "b"), ("DELETED", "a")]


async def test_exec_gives_output_and_exit_code(pki_directory: Path) -> None:
    async with connected(pki_directory, kind=WsApiClient) as (_, core):
        socket = await core.connect_get_namespaced_pod_exec_without_preload_content(
            "a",
            "shop",
            command=["sh", "-c", "echo out; echo err >&2; exit 3"],
            stdin=False,
            stdout=True,
            stderr=True,
        )
        async with socket as connection:
            messages = [message.data async for message in connection]

    output = {channel: b"".join(data[1:] for data in messages if data[0] == channel) for channel in (1, 2, 3)}
    assert (output[1], output[2]) == (b"out\n", b"err\n")
    assert WsApiClient.parse_error_data(output[3]) == 3


async def test_logs_are_text(pki_directory: Path) -> None:
    async with connected(pki_directory) as (api, core):
        api.kubelet.lines["a", "main"] = [b"one\n", b"two\n"]
        text = await core.read_namespaced_pod_log("a", "shop", tail_lines=1)

    assert text == "two\n"


async def test_refusals_carry_their_status(pki_directory: Path) -> None:
    async with connected(pki_directory) as (_, core):
        with pytest.raises(ApiException) as missing:
            await core.read_namespaced_pod("none", "shop")

    assert missing.value.status == 404
    assert 'pods \\"none\\" not found' in str(missing.value.body)


async def test_a_pod_can_be_created_bound_and_deleted(pki_directory: Path) -> None:
    async with connected(pki_directory) as (api, core):
        spec = client.V1PodSpec(containers=[client.V1Container(name="c", image="img:1")])
        made = await core.create_namespaced_pod(
            "shop", client.V1Pod(metadata=client.V1ObjectMeta(generate_name="probe-"), spec=spec)
        )
        await core.delete_namespaced_pod(made.metadata.name, "shop", grace_period_seconds=0)
        left = [pod["metadata"]["name"] for pod in api.storage.list("pods", "shop")]

    assert made.metadata.name.startswith("probe-")
    assert left == ["a"]


async def test_an_access_review_is_answered_by_rbac(pki_directory: Path) -> None:
    async with connected(pki_directory) as (api, core):
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
        build.grant(api.storage, rules)
        core.api_client.configuration.api_key["BearerToken"] = f"Bearer {api.tokens.issue('shop', 'reader')[0]}"
        reviews = client.AuthorizationV1Api(core.api_client)

        async def may(verb: str) -> bool:
            attributes = client.V1ResourceAttributes(verb=verb, resource="pods", namespace="shop")
            spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            answer = await reviews.create_self_subject_access_review(client.V1SelfSubjectAccessReview(spec=spec))
            return answer.status.allowed

        assert await may("list")
        assert not await may("delete")
        with pytest.raises(ApiException) as forbidden:
            await core.list_node()

    assert forbidden.value.status == 403
