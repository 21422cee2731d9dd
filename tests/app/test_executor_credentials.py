"""Who looks and who changes may be two accounts; a plan's API is then the executor's alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.app.plans import connecting
from bot.cluster.client.api import Api
from bot.settings import ClusterSettings
from tests.cluster.small_cluster import small_cluster

OBSERVER = Path("observer.yaml")


def test_without_credentials_of_its_own_the_executor_is_the_bot() -> None:
    alone = ClusterSettings(kubeconfig=OBSERVER, context="lab")

    assert alone.executor == alone


def test_the_context_of_the_observer_is_not_looked_for_in_the_executors_file() -> None:
    both = ClusterSettings(kubeconfig=OBSERVER, context="lab", executor_kubeconfig=Path("executor.yaml"))

    assert both.executor == ClusterSettings(kubeconfig=Path("executor.yaml"))


def test_a_context_without_its_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="in which file"):
        ClusterSettings(kubeconfig=OBSERVER, executor_context="executor")


async def test_plans_reach_the_cluster_by_the_executors_file(tmp_path: Path) -> None:
    async with small_cluster(tmp_path) as cluster:
        given = ClusterSettings(kubeconfig=OBSERVER, executor_kubeconfig=Path(cluster.kubeconfig()))
        async with connecting({"lab": given.executor})("lab") as api:
            assert isinstance(api, Api)
            assert await api.raw("/readyz") == b"ok"
