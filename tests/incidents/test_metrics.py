"""What a report adds to the metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bot.cluster.client.api import Api
from bot.diagnosis.request import silent
from bot.domain.errors import BotError
from bot.incidents import metrics
from bot.incidents.clusters import KubeCluster
from bot.incidents.worker import open_worker
from tests.conftest import LabUnderTest
from tests.incidents.test_worker import SHOP
from tests.slack.views.goldens import report


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_gateways_that_are_silent_count_by_node() -> None:
    labels = {"cluster": "metrics", "node": "node-2", "symptom": "gateway-silent"}
    before = sample("cnibot_gateway_failures_total", **labels)
    metrics.count_report("metrics", report("one-cause"), seconds=1.0)

    assert sample("cnibot_gateway_failures_total", **labels) == before + 1


def test_latency_counts_by_the_class_of_the_pair() -> None:
    found = report("one-cause")
    timed = [pair for pair in found.connectivity if pair.latency_ms is not None and pair.source != pair.target]
    labels = {"cluster": "metrics", "path": "other-node"}
    before = sample("cnibot_node_latency_seconds_count", **labels), sample("cnibot_node_latency_seconds_sum", **labels)
    metrics.count_report("metrics", found, seconds=1.0)

    assert timed
    assert sample("cnibot_node_latency_seconds_count", **labels) == before[0] + len(timed)
    seconds = sum(pair.latency_ms or 0.0 for pair in timed) / 1_000
    assert sample("cnibot_node_latency_seconds_sum", **labels) == pytest.approx(before[1] + seconds)


async def test_requests_that_reach_no_server_count_by_the_reason(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [{"name": "a", "user": {}}],'
        ' "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:9"}}],'
        ' "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}'
    )
    metrics.count_api_requests()
    before = sample("cnibot_api_requests_total", method="GET", outcome="refused")
    async with Api.connect(kubeconfig) as api:
        with pytest.raises(BotError):
            await api.raw("/livez")
    metrics.count_api_requests()

    assert sample("cnibot_api_requests_total", method="GET", outcome="refused") > before


@pytest.mark.lab
async def test_the_workers_requests_count_with_our_own(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker:
        cluster = KubeCluster(name="lab", kubeconfig=calico_lab.kubeconfig, worker=worker)
        metrics.count_api_requests()
        before = sample("cnibot_api_requests_total", method="WEBSOCKET", outcome="1xx")
        gets = sample("cnibot_api_requests_total", method="GET", outcome="2xx")
        await cluster.diagnose(SHOP, silent)
        metrics.count_api_requests()

    assert sample("cnibot_api_requests_total", method="WEBSOCKET", outcome="1xx") >= before + 3
    assert sample("cnibot_api_requests_total", method="GET", outcome="2xx") > gets + 10
