"""Not allowed is not empty: where pods may not be listed nothing is known, not even whether the namespace exists."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.diagnosis.collect import collect
from bot.diagnosis.request import Request, silent
from bot.domain.errors import PodsHiddenError, UnknownNamespaceError
from tests.cluster.small_cluster import SmallCluster, small_cluster

GETS_NAMESPACES = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncGenerator[SmallCluster]:
    async with small_cluster(tmp_path) as made:
        made.namespace("shop")
        made.node("node-1")
        made.pod("shop", "web")
        yield made


async def ask(cluster: SmallCluster, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
    async with Api.connect(cluster.kubeconfig("eve", rules)) as api:
        await collect(api, Request(namespace=namespace, timeout_s=10, with_trace=False), lambda _: (), silent)


@pytest.mark.parametrize("namespace", ["shop", "no-such-namespace"])
async def test_who_may_list_nothing_hears_the_same_of_what_exists_and_of_what_does_not(
    cluster: SmallCluster, namespace: str
) -> None:
    with pytest.raises(PodsHiddenError) as raised:
        await ask(cluster, namespace, [])

    assert str(raised.value) == (
        f"I may not list pods in {namespace} (403): nothing is known. Needed: list pods in namespace {namespace}."
    )


async def test_a_namespace_that_may_be_read_and_is_not_there_is_a_typing_error(cluster: SmallCluster) -> None:
    with pytest.raises(UnknownNamespaceError):
        await ask(cluster, "no-such-namespace", GETS_NAMESPACES)


async def test_a_namespace_that_is_there_says_nothing_of_pods_that_may_not_be_listed(cluster: SmallCluster) -> None:
    with pytest.raises(PodsHiddenError):
        await ask(cluster, "shop", GETS_NAMESPACES)
