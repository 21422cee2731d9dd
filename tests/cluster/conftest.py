from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from tests.cluster.small_cluster import SmallCluster, small_cluster

QUICK = Backoff(attempts=2, first_s=0.001, max_s=0.01)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncGenerator[SmallCluster, None]:
    async with small_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def api(cluster: SmallCluster) -> AsyncGenerator[Api, None]:
    """The API as its administrator."""
    async with Api.connect(cluster.kubeconfig(), backoff=QUICK) as api:
        yield api
